"""Starts Streamlit on the dashboard, set so that it listens here, tells nobody, and looks like one thing."""

import os
import socket
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

from serinus.core.errors import InvalidInput, SerinusError, Unavailable

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
PATIENCE_S = 10.0
"""Seconds to wait for an answer that is drawn."""
LIBRARIES = ("streamlit", "altair")
"""What the extra ``dashboard`` brings."""

BASELINE, CANARY = "#4f7cac", "#b7791f"
"""The colours of the two roles: each stands out from a light and from a dark page (3:1 and more)."""

_FONTS = {
    "font": "ui-sans-serif, system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', Arial, sans-serif",
    "codeFont": "ui-monospace, 'Cascadia Mono', 'DejaVu Sans Mono', Menlo, Consolas, monospace",
    "headingFontSizes": ["1.6rem", "1.15rem", "1rem"],
    "headingFontWeights": [650, 600, 600],
    "baseRadius": "6px",
    "showWidgetBorder": True,
}
_LIGHT = {
    "primaryColor": "#2f5d8a",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f3f5f7",
    "textColor": "#1d2630",
    "borderColor": "#d3dae1",
    "linkColor": "#24578a",
}
_DARK = {
    "primaryColor": "#3f76ab",
    "backgroundColor": "#12171d",
    "secondaryBackgroundColor": "#1c242d",
    "textColor": "#e6eaee",
    "borderColor": "#36424e",
    "linkColor": "#8fc1ee",
}


class ExtraMissing(SerinusError):
    """The libraries of the dashboard are not installed."""

    code = "SERINUS-EXTRA"
    title = "An extra is not installed"


def script() -> Path:
    """Give the file that Streamlit runs."""
    return Path(str(files("serinus.dashboard") / "entry" / "start.py"))


def options(host: str, port: int, *, insecure: bool) -> dict[str, Any]:
    """Give Streamlit's options by name: they go before those of the user's own files."""
    given: dict[str, Any] = {
        "server.address": host,
        "server.port": port,
        "server.headless": True,
        "server.fileWatcherType": "none",
        "server.enableCORS": True,
        "server.enableXsrfProtection": True,
        # A page of another name that leads here (DNS rebinding) is not answered.
        "server.allowedHosts": [] if insecure else sorted(LOOPBACK),
        "server.maxUploadSize": 1,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "viewer",
        "client.showErrorDetails": "none",
        "runner.magicEnabled": False,
        "logger.level": "warning",
        "logger.hideWelcomeMessage": True,
    }
    given |= {f"theme.{name}": value for name, value in _FONTS.items()}
    for mode, colours in (("light", _LIGHT), ("dark", _DARK)):
        given |= {f"theme.{mode}.{name}": value for name, value in colours.items()}
    return given


def checked(host: str, port: int, *, insecure: bool) -> int:
    """Look whether the dashboard can be started there; gives the port, a free one for 0.

    Raises:
        ExtraMissing: Streamlit is not installed.
        InvalidInput: others could reach it.
        Unavailable: the address is taken.
    """
    lacking = [library for library in LIBRARIES if find_spec(library) is None]
    if lacking:
        raise ExtraMissing(
            f"The dashboard needs {' and '.join(lacking)}.", remedy="Install it: pip install 'serinus[dashboard]'"
        )
    if host not in LOOPBACK and not insecure:
        raise InvalidInput(
            f"Whoever reaches {host} could promote and roll back: the dashboard asks its visitors for no key.",
            field="--host",
            remedy="Put something that authenticates in front and listen at 127.0.0.1, or say --insecure.",
        )
    return _free(host, port)


def run(host: str, port: int, url: str | None, *, insecure: bool) -> None:
    """Show the dashboard until it is told to stop; the address has been ``checked``.

    Args:
        host, port: where to listen. url: the server that it shows, before SERINUS_URL.
        insecure: answer whatever name the visitor calls it by.
    """
    from streamlit.web import bootstrap

    if url is not None:
        os.environ["SERINUS_URL"] = url
    given = {name.replace(".", "_"): value for name, value in options(host, port, insecure=insecure).items()}
    bootstrap.load_config_options(given)
    import_all()
    bootstrap.run(str(script()), False, [], given)  # noqa: FBT003 - Streamlit's signature: no, this is not its own demo


def import_all() -> None:
    """Import now what pages need: the first visitors' threads would do it side by side, and see modules half made."""
    import serinus.dashboard

    ours = [module.name for module in walk_packages(serinus.dashboard.__path__, "serinus.dashboard.")]
    for name in ("pandas", *LIBRARIES, *ours):
        import_module(name)


def address(host: str, port: int) -> str:
    """Give the URL to open."""
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "::1": "[::1]"}.get(host, host)  # noqa: S104 - not listened at here
    return f"http://{shown}:{port}"


def _free(host: str, port: int) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((host, port))
        except OSError as trouble:
            raise Unavailable(
                f"Cannot listen on {host}:{port}: {trouble.strerror}.",
                field="port",
                remedy="Choose another port with --port; --port 0 takes a free one.",
            ) from trouble
        return int(listener.getsockname()[1])
