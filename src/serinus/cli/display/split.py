"""The bar that shows how traffic is divided."""

from rich.text import Text

from serinus.cli.display.screen import Screen
from serinus.cli.display.words import number

BASELINE_STYLE = "cyan"
CANARY_STYLE = "yellow"


def split_bar(weight: object, width: int, screen: Screen) -> Text:
    """Draw ``weight`` percent for the canary from the right; a share that exists shows at least one mark."""
    share = min(100.0, max(0.0, number(weight) or 0.0))
    canary = round(width * share / 100)
    canary = max(canary, 1) if share > 0 else 0
    canary = min(canary, width - 1) if share < 100 else width  # noqa: PLR2004  # percent
    bar = Text(screen.glyph("\N{BOX DRAWINGS HEAVY HORIZONTAL}", "=") * (width - canary), BASELINE_STYLE)
    bar.append(screen.glyph("\N{BOX DRAWINGS LIGHT HORIZONTAL}", "-") * canary, CANARY_STYLE)
    return bar
