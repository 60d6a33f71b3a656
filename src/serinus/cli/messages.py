"""What is said to the person at the terminal, on stderr: errors, warnings, hints, questions. Data is not said here."""

import re
import sys

from serinus.core.errors import InvalidInput, SerinusError

ONE_LINE = 90
"""Characters up to which a warning is one line."""
_END_OF_GIST = re.compile(r"(?<=[:.])\s+")
_END_OF_SENTENCE = re.compile(r"(?<=\.)\s+(?=[A-Z`])")


def explain(error: SerinusError) -> None:
    """Say what went wrong, and what can be done."""
    document = getattr(error, "document", error.details)
    possible = document.get("possible") if isinstance(document, dict) else None
    _say("Error", "bold red", error.message)
    if isinstance(possible, list):
        _say("", "", f"  State: {document.get('state', 'unknown')}")
        from serinus.cli.display.words import commands

        _say("", "", f"  Possible now: {commands(possible) or 'nothing'}")
    elif error.remedy:
        _say("", "", f"  {error.remedy}")
    place = f"{error.code}, {error.field}" if error.field else error.code
    if place:
        _say("", "dim", f"  ({place})")


def warn(text: str) -> None:
    """Say what the user should know although it worked: what it is about, and below that the rest of a long one."""
    gist, *rest = [text] if len(text) <= ONE_LINE else _END_OF_GIST.split(text, maxsplit=1)
    _say("Warning", "bold yellow", gist)
    for detail in rest:
        for sentence in _END_OF_SENTENCE.split(detail):
            _say("", "", f"  {sentence}")


def note(text: str) -> None:
    """Say something in passing."""
    _say("", "dim", text)


def confirm(consequence: str, *, yes: bool) -> bool:
    """Ask whether to go on.

    Args:
        consequence: what will happen, as a sentence.
        yes: the answer was given with the command.

    Raises:
        InvalidInput: there is nobody to ask.
    """
    if yes:
        return True
    if not can_ask():
        raise InvalidInput(
            f"There is no terminal to confirm this at: {consequence}",
            field="--yes",
            remedy="Add --yes to the command if that is what you want.",
        )
    _say("", "", consequence)
    sys.stderr.write("Go on? [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if answer.strip().lower() in {"y", "yes"}:
        return True
    note("Nothing was changed.")
    return False


def can_ask() -> bool:
    """Whether somebody is there who sees a question and can answer it."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _say(label: str, style: str, text: str) -> None:
    from rich.text import Text

    from serinus.cli.display.screen import stderr_console
    from serinus.cli.display.words import plain

    line = Text(f"{label}: ", style).append(plain(text), "") if label else Text(plain(text), style)
    # Lines are not broken: what looks for a message in a log shall find it.
    stderr_console().print(line, soft_wrap=True)
