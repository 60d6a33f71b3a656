"""Runs the server: takes the home, listens, drains on SIGTERM."""

import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

import structlog
import uvicorn

from serinus.assembly import System, assembled, logger
from serinus.core.errors import InvalidInput, SerinusError, Unavailable
from serinus.home import Home
from serinus.http.app import application
from serinus.http.guard import LOOPBACK
from serinus.settings import ServerSettings, read_settings

DRAIN_S = 20


def run(*, host: str = "127.0.0.1", port: int = 8000, home: Path | None = None, insecure: bool = False) -> int:
    """Serve until told to stop; gives 0, or raises a SerinusError that says why it could not start.

    Args:
        host, port: where to listen; port 0 takes a free one. home: the home folder, before SERINUS_HOME.
        insecure: listen on other addresses than this machine's own although callers need no key.
    """
    # uvicorn drains on SIGTERM and then raises it once more: by then this server has done its work, and ends well.
    signal.signal(signal.SIGTERM, _end_well)
    settings = read_settings(home=home)
    _check_host(host, insecure=insecure)
    _log_to_stderr(settings)
    with Home(settings.home) as taken, _listening(host, port) as listener:
        url = _url(host, listener.getsockname()[1])
        refusals: list[SerinusError] = []
        app = application(
            settings,
            lambda: _noting(refusals, assembled(settings, taken)),
            loopback_only=host in LOOPBACK and not insecure,
        )
        server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=DRAIN_S,
                timeout_keep_alive=30,
                backlog=2048,
            )
        )
        server.on_ready = lambda: _announce(taken, url)
        logging.getLogger("uvicorn.error").addFilter(lambda _: not refusals)  # it would write down the whole trace
        with suppress(SystemExit):  # with a code of uvicorn's own
            server.run(sockets=[listener])
        if refusals:
            raise refusals[0]
        if not server.started:
            raise Unavailable(
                "The server could not start; the log above says why.", remedy="Mend that and start again."
            )
    return 0


class _Server(uvicorn.Server):
    """uvicorn, telling when it listens."""

    on_ready = staticmethod(lambda: None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_ready()


@asynccontextmanager
async def _noting(refusals: list[SerinusError], system: AbstractAsyncContextManager[System]) -> AsyncIterator[System]:
    """Enter a system; why it cannot be entered is noted for who started the server."""
    async with AsyncExitStack() as stack:
        try:
            made = await stack.enter_async_context(system)
        except SerinusError as refusal:
            refusals.append(refusal)
            raise
        yield made


def _end_well(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _announce(home: Home, url: str) -> None:
    home.announce(url)
    logger.info("listening", url=url, docs=f"{url}/docs", home=str(home.folder.absolute()))


def _check_host(host: str, *, insecure: bool) -> None:
    if host not in LOOPBACK and not insecure:
        raise InvalidInput(
            f"--host {host} would let other machines call this server, and it asks its callers for no key.",
            field="host",
            remedy="Listen on 127.0.0.1 and put a proxy that authenticates in front of it, or add --insecure if the "
            "network around it is yours alone.",
        )


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as trouble:
        listener.close()
        raise Unavailable(
            f"Cannot listen on {host}:{port}: {trouble.strerror}.",
            field="port",
            remedy="Choose another port with --port; --port 0 takes a free one.",
        ) from trouble
    return listener


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _log_to_stderr(settings: ServerSettings) -> None:
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([structlog.processors.format_exc_info] if as_json else []),
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
