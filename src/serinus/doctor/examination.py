"""Which checks there are, and in what order: those that need no other side by side, then those that go on from them."""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from serinus.core.errors import InvalidInput
from serinus.core.records import Lease
from serinus.doctor.agreement import (
    Running,
    check_checker,
    check_embedded_server,
    check_gateways,
    check_in_common,
    check_models,
    check_splits,
    live_gateways,
)
from serinus.doctor.database import Found, check_database
from serinus.doctor.machine import check_home
from serinus.doctor.objects import Sizes, check_artifacts
from serinus.doctor.reports import Report, Status, bounded
from serinus.ports import Board, Store
from serinus.settings import ServerSettings, read_settings
from serinus.stores.sql import open_store

T = TypeVar("T")

_REMEDIES = {
    "home": "See that SERINUS_HOME is on a local disk that answers.",
    "database": "See that the database runs, and that SERINUS_DATABASE_URL is right.",
    "board": "See that Redis runs, and that SERINUS_REDIS_URL is right.",
    "artifacts": "See that the artifact store runs, and that SERINUS_ARTIFACTS_URL and SERINUS_S3_… are right.",
    "server": "See the log of the server on this home.",
    "models": "Try again; a store or a network that is this slow keeps models from being loaded, too.",
    "splits": "Try again, and see the logs of the servers.",
    "checker": "Try again, and see the logs of the servers.",
    "gateways": "Try again, and see the logs of the servers.",
}


async def examine(**chosen: object) -> list[Report]:
    """Check everything; ``chosen`` are settings that go before the environment, as in ``read_settings``."""
    first = Report("settings")
    try:
        settings = read_settings(**chosen)
    except InvalidInput as wrong:
        for problem in wrong.details["problems"]:  # type: ignore[attr-defined]
            first.wrong(problem["message"], problem["remedy"])
        return [first]
    given = len(settings.model_fields_set)
    first.fact(f"{given} given, {len(ServerSettings.model_fields) - given} as they are by default")
    examination = _Examination(settings)
    await examination.run()
    return [first, *examination.reports.values()]


class _Examination:
    """One look at everything; the reports are in the order in which they are shown."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        rest = ("server",) if settings.is_embedded else ("splits", "checker", "gateways")
        self.reports = {name: Report(name) for name in ("home", "database", "board", "artifacts", "models", *rest)}

    async def run(self) -> None:
        """Check what servers need, then what runs on it."""
        settings, reports = self._settings, self.reports
        _, found, board_answers, sizes = await asyncio.gather(
            self._bounded("home", check_home(reports["home"], settings)),
            self._bounded("database", check_database(reports["database"], settings)),
            self._bounded("board", _check_board(reports["board"], settings)),
            self._bounded("artifacts", check_artifacts(reports["artifacts"], settings)),
        )
        found = found or Found()
        check_in_common(reports["board"], settings, found.leases)
        async with AsyncExitStack() as stack:
            store = await self._opened(stack, ready=found.ready)
            checks = [self._check_models(store, sizes)]
            if settings.is_embedded:
                checks.append(self._bounded("server", check_embedded_server(reports["server"], settings)))
            else:
                checks.append(self._check_running(stack, store, found.leases, board_answers=bool(board_answers)))
            await asyncio.gather(*checks)

    async def _check_models(self, store: Store | None, sizes: Sizes | None) -> None:
        report = self.reports["models"]
        if store is None:
            report.skip(self._why_no_store())
        elif sizes is None:
            report.skip("the artifact store cannot be asked")
        else:
            await self._bounded("models", check_models(report, store, sizes))

    async def _check_running(
        self, stack: AsyncExitStack, store: Store | None, leases: Mapping[str, Lease], *, board_answers: bool
    ) -> None:
        names = ("splits", "checker", "gateways")
        if store is None or not board_answers:
            for name in names:
                self.reports[name].skip("the board does not answer" if store is not None else self._why_no_store())
            return
        board = await self._board(stack)
        gateways = await self._bounded("gateways", live_gateways(board)) or []
        running = Running(gateways, leases)
        await asyncio.gather(
            self._bounded("splits", check_splits(self.reports["splits"], running, store, board)),
            self._bounded("checker", check_checker(self.reports["checker"], running, store, board)),
            self._bounded("gateways", check_gateways(self.reports["gateways"], running, store, board)),
        )

    async def _opened(self, stack: AsyncExitStack, *, ready: bool) -> Store | None:
        """Open the store where that changes nothing."""
        if not ready:
            return None
        store = await self._bounded("database", open_store(self._settings.database))
        if store is not None:
            stack.push_async_callback(store.close)
        return store

    async def _board(self, stack: AsyncExitStack) -> Board:
        from serinus.boards.redis import open_board

        board = open_board(self._settings.redis_url, prefix=self._settings.redis_prefix, on_trouble=lambda _: None)
        stack.push_async_callback(board.close)
        return board

    def _why_no_store(self) -> str:
        wrong = self.reports["database"].status is Status.WRONG
        return "the database cannot be asked" if wrong else "a server has to make or upgrade the database first"

    async def _bounded(self, name: str, work: Coroutine[Any, Any, T]) -> T | None:
        return await bounded(self.reports[name], work, _REMEDIES[name])


async def _check_board(report: Report, settings: ServerSettings) -> bool:
    """Look at what the live splits are kept in; say whether a board can be opened on it from here."""
    if settings.is_embedded:
        report.fact("in the server's own process, which is the only one")
        return False
    try:
        from serinus.doctor.board import check_redis
    except ImportError as missing:
        raise InvalidInput(
            "A board on Redis needs the library redis, which is not installed.",
            remedy="pip install 'serinus[redis]'",
        ) from missing
    return await check_redis(report, settings)
