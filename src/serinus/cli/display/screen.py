"""What is printed on: a width, a set of glyphs that it can show, and the time it is."""

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TextIO

from rich.box import SIMPLE_HEAD, Box
from rich.console import Console
from rich.table import Table

NARROW = 84
"""Below this many columns a view leaves out what is dispensable."""

_ASCII_HEAD = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)


@dataclass(frozen=True, slots=True)
class Screen:
    """Where a view will be shown. ``unicode`` is False where only ASCII gets through."""

    width: int
    unicode: bool
    now: datetime

    @property
    def narrow(self) -> bool:
        """Whether there is room for the essential only."""
        return self.width < NARROW

    def glyph(self, pretty: str, ascii_only: str) -> str:
        """Pick the glyph that can be shown."""
        return pretty if self.unicode else ascii_only

    def table(self, *columns: str, right: tuple[str, ...] = ()) -> Table:
        """Begin a table; ``right`` names the columns of numbers."""
        table = Table(
            box=SIMPLE_HEAD if self.unicode else _ASCII_HEAD,
            header_style="dim",
            pad_edge=False,
            safe_box=False,
            show_edge=False,
        )
        for name in columns:
            table.add_column(name, justify="right" if name in right else "left", overflow="fold")
        return table


def console_on(stream: TextIO) -> Console:
    """Make a console: colour only on a terminal (NO_COLOR and FORCE_COLOR are obeyed), text as it is."""
    return Console(file=stream, highlight=False, markup=False, emoji=False, legacy_windows=False)


def screen_of(console: Console) -> Screen:
    """Describe a console as it is now."""
    unicode = console.encoding.lower().replace("-", "").startswith("utf")
    return Screen(console.width, unicode, datetime.now(UTC))


def stdout_console() -> Console:
    """Make the console for data."""
    return console_on(sys.stdout)


def stderr_console() -> Console:
    """Make the console for messages."""
    return console_on(sys.stderr)
