"""How many threads the native libraries of models use in this process: one, unless who runs a model says otherwise.

A process that runs one model says so once, before it loads it; OpenMP's and BLAS' own settings are as global.
"""

_allowed = 1


def allow(number: int) -> None:
    """Let models that are loaded from now on use so many threads."""
    global _allowed  # noqa: PLW0603 - it is the process's, as the libraries have it
    _allowed = number


def allowed() -> int:
    """Give how many threads a model may use."""
    return _allowed
