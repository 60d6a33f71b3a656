"""Small pieces of HTML: all text in them is escaped, and what they look like is in ``style.css``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

from serinus.words import plain


def styles() -> Path:
    """Give the style sheet."""
    return Path(str(files("serinus.dashboard") / "style.css"))


def text(value: object) -> str:
    """Write a value so that it can stand in HTML."""
    return escape(plain(value))


def element(name: str, inside: str, **attributes: str) -> str:
    """Make an element of HTML that is ready; ``class_`` is its class, ``aria_label`` its label."""
    written = "".join(f' {key.strip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return f"<{name}{written}>{inside}</{name}>"


@dataclass(frozen=True, slots=True)
class Badge:
    """A symbol and a word; the tone only repeats what the two say."""

    symbol: str
    word: str
    tone: str

    @property
    def html(self) -> str:
        """Draw it."""
        symbol = element("span", text(self.symbol), aria_hidden="true")
        return element("span", f"{symbol} {text(self.word)}", class_=f"sr-badge sr-{self.tone}")


def table(heads: Sequence[str], lines: Iterable[Sequence[str]], *, caption: str, numeric: Iterable[int] = ()) -> str:
    """Make a table: ``heads`` are texts, the cells of ``lines`` are HTML, the first of each names its line.

    ``caption`` is what a screen reader calls it; ``numeric`` are the columns of numbers.
    """
    right = set(numeric)

    def kind(column: int) -> str:
        return "sr-number" if column in right else ""

    head = "".join(element("th", text(each), scope="col", class_=kind(at)) for at, each in enumerate(heads))
    body = ""
    for first, *others in lines:
        cells = element("th", first, scope="row")
        cells += "".join(element("td", cell, class_=kind(at)) for at, cell in enumerate(others, 1))
        body += element("tr", cells)
    inside = element("caption", text(caption), class_="sr-hidden")
    inside += element("thead", element("tr", head)) + element("tbody", body)
    # It scrolls by itself where it is wider than the page, and so has to be reached by keyboard.
    return element(
        "div", element("table", inside, class_="sr-table"), class_="sr-scroll", tabindex="0", aria_label=caption
    )
