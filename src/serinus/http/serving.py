"""Runs the server: takes the home, listens, drains on SIGTERM."""

import asyncio
import logging
import multiprocessing
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import structlog
import uvicorn
from fastapi import FastAPI

from serinus.assembly import System, assembled, logger
from serinus.core.errors import InvalidInput, SerinusError, Unavailable
from serinus.home import Home
from serinus.http.app import application, control_plane
from serinus.http.asgi import Application
from serinus.http.draining import Draining, DrainingServer
from serinus.http.guard import LOOPBACK
from serinus.http.hot import HotProtocol, HotRoute
from serinus.http.workers import keep_running
from serinus.settings import ServerSettings, read_settings

DRAIN_S = 20
CLOSING_S = 30
"""How much longer than its requests a worker may take to end."""


@dataclass(frozen=True, slots=True)
class Serving:
    """What a server process does: answer predictions (``serves``), judge canaries (``checks``), or both.

    ``siblings`` is the folder through which the workers of one machine show their metrics as one.
    """

    settings: ServerSettings
    url: str
    loopback_only: bool
    serves: bool = True
    checks: bool = True
    siblings: Path | None = None

    def __call__(self) -> Application:
        """Make a worker's application, in the worker's process."""
        _log_to_stderr(self.settings)
        logging.getLogger("uvicorn.error").addFilter(lambda record: record.levelno >= logging.ERROR)
        home = Home(self.settings.home, exclusive=False)
        return self.application(home, refused=lambda refusal: logger.error(str(refusal)), announce=True)

    def application(
        self, home: Home, refused: Callable[[SerinusError], None], *, announce: bool = False
    ) -> Application:
        """Make the application; why its system cannot be entered is told to ``refused``."""
        plane: FastAPI
        draining = Draining(self.settings.drain_delay)

        @asynccontextmanager
        async def entered() -> AsyncIterator[System]:
            work = assembled(self.settings, home, serves=self.serves, checks=self.checks, siblings=self.siblings)
            async with _telling(refused, work) as system:
                draining.listen(plane)
                server = multiprocessing.parent_process() if announce else None
                if server is not None:
                    _announce(home, self.url, server.pid)
                    _end_without(server.sentinel)
                yield system

        def hot(system: System) -> HotRoute | None:
            if system.gateway is None:
                return None
            return HotRoute(
                system.gateway,
                self.settings.max_request_bytes,
                loopback_only=self.loopback_only,
                ending=lambda: draining.has_begun,
            )

        plane = control_plane(entered, serves=self.serves, route=hot)
        return draining.around(application(self.settings, plane, loopback_only=self.loopback_only))


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    home: Path | None = None,
    insecure: bool = False,
    checks: bool = True,
    workers: int | None = None,
) -> int:
    """Serve until told to stop; gives 0, or raises a SerinusError that says why it could not start.

    Args:
        host, port: where to listen; port 0 takes a free one. home: the home folder, before SERINUS_HOME.
        insecure: listen on other addresses than this machine's own although callers need no key.
        checks: judge canaries too. workers: processes that serve, before SERINUS_WORKERS.
    """
    settings = read_settings(home=home, workers=workers)
    _check_host(host, insecure=insecure)
    if settings.is_embedded and not checks:
        raise InvalidInput(
            "--no-checker would leave canaries without anybody who judges them: the board is embedded in this process, "
            "and no other one can see it.",
            field="--no-checker",
            remedy="Leave it out, or set SERINUS_REDIS_URL and run `canary check` somewhere.",
        )
    _log_to_stderr(settings)
    with _listening(host, port) as listener:
        url = _url(host, listener.getsockname()[1])
        serving = Serving(settings, url, loopback_only=host in LOOPBACK and not insecure, checks=checks)
        if settings.workers > 1:
            return _run_workers(serving, listener)
        return _run_alone(serving, listener)


def check(*, host: str = "127.0.0.1", port: int = 8001, home: Path | None = None, insecure: bool = False) -> int:
    """Judge canaries, and answer no predictions, until told to stop; see ``serve``."""
    settings = read_settings(home=home)
    _check_host(host, insecure=insecure)
    if settings.is_embedded:
        raise InvalidInput(
            "A checker of its own needs a board that it shares with the gateways, and SERINUS_REDIS_URL is not set.",
            field="SERINUS_REDIS_URL",
            remedy="Set it as the gateways have it. Without Redis, `canary serve` judges its canaries itself.",
        )
    _log_to_stderr(settings)
    with _listening(host, port) as listener:
        url = _url(host, listener.getsockname()[1])
        return _run_alone(
            Serving(settings, url, loopback_only=host in LOOPBACK and not insecure, serves=False), listener
        )


def _run_alone(serving: Serving, listener: socket.socket) -> int:
    # uvicorn drains on SIGTERM and then raises it once more: by then this server has done its work, and ends well.
    signal.signal(signal.SIGTERM, _end_well)
    refusals: list[SerinusError] = []
    with Home(serving.settings.home, exclusive=serving.settings.is_embedded) as home:
        server = _Server(_configuration(serving.application(home, refusals.append)), at_once=_AT_ONCE)
        server.on_ready = lambda: _announce(home, serving.url)
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


def _run_workers(serving: Serving, listener: socket.socket) -> int:
    """Run several processes on one port: each that dies is replaced, SIGHUP replaces them one by one."""
    listener.listen(_BACKLOG)
    home = Home(serving.settings.home, exclusive=False)
    with home, tempfile.TemporaryDirectory(prefix="serinus-") as siblings:
        each = Serving(
            serving.settings, serving.url, serving.loopback_only, checks=serving.checks, siblings=Path(siblings)
        )
        ending_s = serving.settings.drain_delay + DRAIN_S + CLOSING_S
        keep_running(_configuration(each), listener, number=serving.settings.workers, ending_s=ending_s)
    return 0


_BACKLOG = 2048
_AT_ONCE = 16
"""Connections that are taken in a turn of the event loop."""


def _configuration(app: Application | Serving) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, Serving),
        http=HotProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_S,
        timeout_keep_alive=30,
        backlog=_BACKLOG,
    )


class _Server(DrainingServer):
    """A server that tells when it listens."""

    on_ready = staticmethod(lambda: None)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.on_ready()


@asynccontextmanager
async def _telling(
    refused: Callable[[SerinusError], None], system: AbstractAsyncContextManager[System]
) -> AsyncIterator[System]:
    """Enter a system, and tell why it cannot be entered."""
    async with AsyncExitStack() as stack:
        try:
            made = await stack.enter_async_context(system)
        except SerinusError as refusal:
            refused(refusal)
            raise
        yield made


def _end_well(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _end_without(server: int) -> None:
    """End this worker when its server was killed: nobody else would, and the port would stay taken.

    Args:
        server: what can be read from when the server has ended.
    """
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(server)
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(server, end)


def _announce(home: Home, url: str, pid: int | None = None) -> None:
    home.announce(url, pid)
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
