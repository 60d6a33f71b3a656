"""How the demo speaks: headings, lines, and a picture that moves where there is a terminal to move it on."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from serinus.cli.display.screen import Screen, screen_of

INDENT = 3
LINE_EVERY_S = 2.0
"""Seconds between lines where nothing can move."""

Picture = Callable[[RenderableType, str], None]
"""Shows the present state: as a picture on a terminal, as the line elsewhere."""


class Narrator:
    """Tells the story on a console."""

    def __init__(self, console: Console) -> None:
        self.console = console
        # Without colour the reader may be a screen reader or a log: lines that stay, then.
        self._moving = (
            console.is_terminal and console.file.isatty() and not console.is_dumb_terminal and not console.no_color
        )

    @property
    def screen(self) -> Screen:
        """The console as it is now."""
        return screen_of(self.console)

    def title(self, name: str, subtitle: str) -> None:
        """Say what this is."""
        self.console.print()
        self.console.print(Text(name, "bold").append(f"  {subtitle}", "not bold dim"))

    def heading(self, number: int, text: str) -> None:
        """Begin an act."""
        self.console.print()
        self.console.print(Text(f"{number}  ", "bold cyan").append(text, "bold"))

    def say(self, *parts: str | Text | tuple[str, str], style: str = "") -> None:
        """Say a line; a pair is a text and its style."""
        self.show(Text.assemble(*parts, style=style))

    def show(self, picture: RenderableType) -> None:
        """Show something below the heading."""
        self.console.print(Padding(picture, (0, 0, 0, INDENT), expand=False))

    def copyable(self, line: str | Text) -> None:
        """Show a line that is never broken, for it may be copied."""
        self.console.print(Text(" " * INDENT).append_text(Text.assemble(line)), soft_wrap=True)

    def gap(self) -> None:
        """Leave a line empty."""
        self.console.print()

    def fact(self, sentence: str, *, came_true: bool) -> None:
        """Say what came of an expectation."""
        mark = self.screen.glyph("\N{CHECK MARK}", "+") if came_true else self.screen.glyph("\N{BALLOT X}", "x")
        self.say((f"{mark} ", "green" if came_true else "bold red"), sentence)

    def wrong(self, message: str) -> None:
        """Say what went wrong."""
        self.console.print()
        self.console.print(Text.assemble(("Error: ", "bold red"), message))

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Say what is being done, for as long as it is."""
        if self._moving:
            with self.console.status(Text(what, "dim"), spinner=self.screen.glyph("dots", "line")):
                yield
        else:
            self.say(f"{what} ...")
            yield

    @contextmanager
    def moving(self) -> Iterator[Picture]:
        """Give what shows a state that changes; the picture is gone afterwards, the lines stay."""
        if not self._moving:
            yield self._lines()
            return
        with Live(console=self.console, auto_refresh=False, transient=True) as live:
            yield lambda picture, _: live.update(Padding(picture, (0, 0, 0, INDENT)), refresh=True)

    def _lines(self) -> Picture:
        due = time.monotonic() + LINE_EVERY_S

        def show(_: RenderableType, line: str) -> None:
            nonlocal due
            if time.monotonic() >= due:
                due = time.monotonic() + LINE_EVERY_S
                self.say(line)
                self.console.file.flush()

        return show
