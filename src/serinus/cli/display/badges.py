"""States as a symbol and a word; the colour only repeats what the two say."""

from dataclasses import dataclass

from rich.text import Text

from serinus.cli.display.screen import Screen
from serinus.cli.display.words import plain


@dataclass(frozen=True, slots=True)
class Badge:
    """A symbol, the one that stands for it in ASCII, and a style."""

    symbol: str
    ascii_symbol: str
    style: str
    word: str = ""


_UNKNOWN = Badge("\N{BULLET}", "*", "")

_STATUS = {
    "stable": Badge("\N{BLACK CIRCLE}", "o", "green"),
    "canary": Badge("\N{CIRCLE WITH LEFT HALF BLACK}", "%", "yellow"),
    "paused": Badge("\N{DOUBLE VERTICAL LINE}", "=", "magenta"),
    "baking": Badge("\N{CIRCLE WITH RIGHT HALF BLACK}", "^", "green"),
}
_FINDINGS = {
    "pass": Badge("\N{CHECK MARK}", "+", "green"),
    "fail": Badge("\N{BALLOT X}", "x", "bold red"),
    "inconclusive": Badge("?", "?", "cyan"),
    "error": Badge("!", "!", "yellow"),
}
_HEALTH = {
    "healthy": Badge("\N{CHECK MARK}", "+", "green"),
    "degraded": Badge("\N{BLACK UP-POINTING SMALL TRIANGLE}", "!", "yellow"),
    "critical": Badge("\N{BALLOT X}", "x", "bold red"),
    "inconclusive": Badge("?", "?", "cyan"),
}
_EVENTS = {
    "deployment_created": Badge("+", "+", "green", "created"),
    "configured": Badge("\N{IDENTICAL TO}", "=", "blue", "configured"),
    "canary_refused": Badge("\N{CIRCLED DIVISION SLASH}", "x", "red", "canary refused"),
    "canary_started": Badge("\N{BLACK RIGHT-POINTING SMALL TRIANGLE}", ">", "yellow", "canary started"),
    "traffic_adjusted": Badge("\N{RIGHTWARDS ARROW OVER LEFTWARDS ARROW}", "~", "blue", "traffic adjusted"),
    "paused": Badge("\N{DOUBLE VERTICAL LINE}", "=", "magenta", "paused"),
    "resumed": Badge("\N{BLACK RIGHT-POINTING SMALL TRIANGLE}", ">", "magenta", "resumed"),
    "step_reached": Badge("\N{RIGHTWARDS ARROW FROM BAR}", ">", "blue", "step reached"),
    "approved": Badge("\N{CHECK MARK}", "+", "magenta", "approved"),
    "promoted": Badge("\N{BLACK UP-POINTING SMALL TRIANGLE}", "^", "bold green", "promoted"),
    "bake_ended": Badge("\N{BLACK CIRCLE}", "o", "green", "bake ended"),
    "rolled_back": Badge("\N{ANTICLOCKWISE TOP SEMICIRCLE ARROW}", "<", "bold red", "rolled back"),
    "promotion_undone": Badge("\N{ANTICLOCKWISE TOP SEMICIRCLE ARROW}", "<", "red", "promotion undone"),
    "health_check_passed": Badge("\N{CHECK MARK}", "+", "green", "check passed"),
    "health_check_failed": Badge("\N{BALLOT X}", "x", "red", "check failed"),
    "health_check_inconclusive": Badge("?", "?", "cyan", "check inconclusive"),
    "health_check_error": Badge("!", "!", "red", "check error"),
    "auto_rollback_triggered": Badge("\N{DOWNWARDS ZIGZAG ARROW}", "!", "bold red", "auto-rollback"),
    "auto_promotion_triggered": Badge("\N{UPWARDS ARROW FROM BAR}", "^", "bold green", "auto-promotion"),
    "rollback_recommended": Badge("\N{RIGHTWARDS ARROW}", ">", "red", "rollback advised"),
    "promotion_recommended": Badge("\N{RIGHTWARDS ARROW}", ">", "green", "promotion advised"),
    "holding": Badge("\N{DOUBLE VERTICAL LINE}", "=", "yellow", "holding"),
    "progress_overdue": Badge("!", "!", "red", "overdue"),
}


def status_badge(status: object, screen: Screen) -> Text:
    """Show a deployment's status."""
    return _shown(_STATUS.get(str(status), _UNKNOWN), plain(status), screen)


def health_badge(health: object, screen: Screen) -> Text:
    """Show a verdict; nothing measured is shown as nothing, never as good."""
    if health is None:
        return Text("-", "dim")
    return _shown(_HEALTH.get(str(health), _UNKNOWN), plain(health), screen)


def finding_badge(finding: object, screen: Screen) -> Text:
    """Show what is known of a metric."""
    return _shown(_FINDINGS.get(str(finding), _UNKNOWN), plain(finding), screen)


def event_badge(kind: object, screen: Screen) -> Text:
    """Show what kind of event it is."""
    badge = _EVENTS.get(str(kind), _UNKNOWN)
    return _shown(badge, badge.word or plain(kind).replace("_", " "), screen)


def _shown(badge: Badge, word: str, screen: Screen) -> Text:
    return Text(f"{screen.glyph(badge.symbol, badge.ascii_symbol)} {word}", badge.style)
