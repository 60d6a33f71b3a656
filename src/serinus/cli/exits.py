"""Exit codes, and which error gives which."""

from enum import IntEnum

from serinus.core.errors import Conflict, InvalidInput, NotFound, SerinusError


class ExitCode(IntEnum):
    """What a script can tell from the exit code."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    UNHEALTHY = 6
    UNREACHABLE = 7
    INTERRUPTED = 130


def exit_code_of(error: SerinusError) -> ExitCode:
    """Find the exit code for an error, of the server or of our own."""
    from serinus.client import ConflictError, InvalidError, NotFoundError, UnreachableError

    codes: dict[ExitCode, tuple[type[SerinusError], ...]] = {
        ExitCode.USAGE: (InvalidInput, InvalidError),
        ExitCode.NOT_FOUND: (NotFound, NotFoundError),
        ExitCode.CONFLICT: (Conflict, ConflictError),
        ExitCode.UNREACHABLE: (UnreachableError,),
    }
    return next((code for code, kinds in codes.items() if isinstance(error, kinds)), ExitCode.FAILURE)
