"""Checks of a running system: board and store agree, canaries are judged, gateways follow, model files are there."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import httpx2

from serinus.adapters import common_board, common_key
from serinus.core.deployment import Deployment
from serinus.core.names import VersionRef
from serinus.core.records import Lease
from serinus.core.routing import LARGEST, Split, split_of
from serinus.dependencies import OK
from serinus.doctor.machine import announced
from serinus.doctor.objects import Sizes
from serinus.doctor.reports import Report
from serinus.ports import CHECKER, Board, Store
from serinus.settings import ServerSettings

SETTLING_S = 1.5
"""How long what disagrees is given to come to agree: a reconciler takes half a second."""
LEASE_HEARD_S = 2.0
SHOWN = 10
"""How many of a kind are named."""
AT_ONCE = 8

_POLL_S = 0.1
_EVERY_STAMP = 2 * LARGEST
"""A stamp that no gateway has acknowledged, so that all that live are behind it."""


@dataclass(frozen=True, slots=True)
class Running:
    """What runs, as far as it can be seen from here."""

    gateways: Sequence[str]
    leases: Mapping[str, Lease]

    @property
    def anything(self) -> bool:
        """Whether any server does."""
        return bool(self.gateways) or CHECKER in self.leases


# ----------------------------------------------------------------------------------------------- the board


async def check_splits(report: Report, running: Running, store: Store, board: Board) -> None:
    """Compare what the board routes by with what the store says, twice where that differs."""
    troubles, count = await _disagreements(store, board)
    if troubles and running.anything:
        await asyncio.sleep(SETTLING_S)
        troubles, count = await _disagreements(store, board)
    report.fact(f"{_number(count, 'deployment')} in the store")
    if not running.anything and troubles:
        report.fact("the board is filled when a server starts")
        troubles = [trouble for trouble in troubles if trouble.lasting]
    if not troubles:
        report.fact("the board agrees")
    for trouble in troubles[:SHOWN]:
        report.wrong(trouble.what, trouble.remedy)
    if len(troubles) > SHOWN:
        report.wrong(f"{len(troubles) - SHOWN} more deployments disagree.", "See those above.")


@dataclass(frozen=True, slots=True)
class _Trouble:
    """A deployment of which board and store say different things; ``lasting`` if no server mends it by itself."""

    what: str
    remedy: str
    lasting: bool = False


async def _disagreements(store: Store, board: Board) -> tuple[list[_Trouble], int]:
    states, splits = await asyncio.gather(store.deployments(), board.splits())
    found = [trouble for state in states if (trouble := _disagreement(state, splits.get(state.name)))]
    strangers = sorted(splits.keys() - {state.name for state in states})
    if strangers:
        shown = ", ".join(repr(name) for name in strangers[:SHOWN])
        found.append(
            _Trouble(
                f"The board has splits of deployments that the store does not know: {shown}.",
                "If another database uses this Redis, give each a SERINUS_REDIS_PREFIX of its own; what is left of an "
                "old one goes after a day.",
                lasting=True,
            )
        )
    return found, len(states)


def _disagreement(state: Deployment, raw: object) -> _Trouble | None:
    remedy = "A server that runs mends this within a second: see its log, and that it has these same settings."
    wanted, split = split_of(state), Split.decoded(raw)
    name = f"Deployment {state.name!r}"
    if raw is None:
        return _Trouble(f"{name} is in the store at generation {state.generation}, and not on the board.", remedy)
    if split is None:
        return _Trouble(f"{name} has something on the board that is no split.", remedy)
    if split.generation > state.generation:
        return _Trouble(
            f"{name}: the board is ahead, at generation {split.generation}, and the store is at {state.generation}.",
            "If the database was restored from a backup, empty the board (the keys that begin with "
            "SERINUS_REDIS_PREFIX). If two databases use this Redis, give each a prefix of its own.",
            lasting=True,
        )
    if split.generation < state.generation:
        return _Trouble(
            f"{name}: the board is behind, at generation {split.generation}, and the store is at {state.generation}.",
            remedy,
        )
    if split.cut is not None and state.active is not None:
        return _Trouble(
            f"{name}: its canary is cut off on the board since {split.cut.at}, and the rollback is not on record.",
            "A server that runs records it within seconds, when the database takes writes.",
        )
    if split.cut is None and split != wanted:
        return _Trouble(f"{name}: the board has another split of generation {state.generation}.", remedy)
    return None


def check_in_common(report: Report, settings: ServerSettings, leases: Mapping[str, Lease]) -> None:
    """See that servers of this store that run have what one with these settings would have."""
    wanted = [common_board(settings)] if settings.is_embedded else [common_board(settings), common_key(settings)]
    for common in wanted:
        held = leases.get(common.lease)
        if held is not None and held.holder != common.ours:
            report.wrong(f"{common.others.format(held.holder)} Here it is {common.ours}.", common.remedy)


# --------------------------------------------------------------------------------- checkers and gateways


async def check_checker(report: Report, running: Running, store: Store, board: Board) -> None:
    """See that a checker leads, and that canaries have their lease."""
    leader = running.leases.get(CHECKER)
    if leader is None and not running.gateways:
        report.skip("no server runs")
        return
    if leader is None:
        report.wrong(
            "No checker leads: nobody judges canaries, and they get no traffic.",
            "Run `canary check`, or a `canary serve` without --no-checker, with these settings.",
        )
    else:
        report.fact(f"{leader.holder} leads, term {leader.term}")
    if await _comes_true(board.leased):
        report.fact("canaries are leased")
        return
    canaries = [state.name for state in await store.deployments() if state.active is not None]
    if canaries:
        report.wrong(
            f"The lease of the canaries has run out: {', '.join(canaries[:SHOWN])} route to their baselines alone.",
            "See the log of the checker, and that it reaches this Redis under this SERINUS_REDIS_PREFIX.",
        )
    else:
        report.note("Canaries have no lease, and there is none that needs one.", "See the log of the checker.")


async def check_gateways(report: Report, running: Running, store: Store, board: Board) -> None:
    """Name the gateways that live, and those that do not route by the newest split."""
    if not running.gateways:
        if running.anything or await store.deployments():
            report.note("No gateway is live: nobody answers predictions.", "Run `canary serve` with these settings.")
        else:
            report.skip("no server runs")
        return
    report.fact(f"{_number(len(running.gateways), 'gateway')}: {', '.join(running.gateways[:SHOWN])}")
    behind = await _behind(store, board)
    if behind:
        await asyncio.sleep(SETTLING_S)
        behind = await _behind(store, board)
    for deployment, names in list(behind.items())[:SHOWN]:
        report.wrong(
            f"Deployment {deployment!r}: {', '.join(names[:SHOWN])} "
            f"{'does' if len(names) == 1 else 'do'} not route by its newest split.",
            "See the log of that gateway: it may not be able to load a model, or not reach the artifact store.",
        )


async def live_gateways(board: Board) -> list[str]:
    """Name the gateways that are on the board now."""
    return await board.unacknowledged("", _EVERY_STAMP, 0)


async def _behind(store: Store, board: Board) -> dict[str, list[str]]:
    behind = {}
    for state in await store.deployments():
        split = Split.decoded(await board.split(state.name))
        names = await board.unacknowledged(state.name, split.stamp, 0) if split else []
        if names:
            behind[state.name] = names
    return behind


async def _comes_true(holds: Callable[[], bool]) -> bool:
    deadline = asyncio.get_running_loop().time() + LEASE_HEARD_S
    while not holds():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(_POLL_S)
    return True


# ------------------------------------------------------------------------------------- one process alone


async def check_embedded_server(report: Report, settings: ServerSettings) -> None:
    """Ask the server on this home, whose board nobody else can see, how it does."""
    url = announced(settings.home)
    if not url:
        report.skip("no server runs on this home")
        return
    report.fact(f"at {url}")
    try:
        async with httpx2.AsyncClient(trust_env=False, timeout=2.0) as http:
            said = (await http.get(f"{url}/health/ready")).json()
        checks = {str(name): str(state) for name, state in said["checks"].items()}
        report.fact(str(said["status"]))
    except (httpx2.HTTPError, ValueError, KeyError, TypeError, AttributeError) as trouble:
        report.note(
            f"The server that announced {url} does not answer ({type(trouble).__name__}): it was killed, or it hangs.",
            "See whether its process is still there; start it again.",
        )
        return
    for name, state in checks.items():
        if state != OK:
            report.wrong(f"Its {name}: {state}", "See its log.")


# ------------------------------------------------------------------------------------------ model files


async def check_models(report: Report, store: Store, size_of: Sizes) -> None:
    """See that the model file of each version that may have to serve is there, whole as far as its size tells."""
    users: dict[VersionRef, list[str]] = {}
    for state in await store.deployments():
        for ref in {*state.versions, *state.previous[-1:]}:
            users.setdefault(ref, []).append(state.name)
    gate = asyncio.Semaphore(AT_ONCE)

    async def look(ref: VersionRef, names: list[str]) -> None:
        async with gate:
            await _check_model(report, store, size_of, ref, names)

    await asyncio.gather(*(look(ref, names) for ref, names in sorted(users.items(), key=str)))
    report.fact(f"{_number(len(users), 'version')} in use")
    if users and not report.problems:
        report.fact("their files are there")


async def _check_model(report: Report, store: Store, size_of: Sizes, ref: VersionRef, names: Sequence[str]) -> None:
    version = await store.version(ref)
    used = f"{ref}, which {', '.join(names[:SHOWN])} may have to serve,"
    if version is None:
        report.wrong(f"{used} is not in the store.", "Restore the database from a backup.")
        return
    size = await size_of(version.draft.digest)
    if size is None:
        report.wrong(
            f"{used} has no model file: {version.draft.digest} is missing.",
            "Restore it from a backup, or register the same file again; see that SERINUS_ARTIFACTS_URL is the place "
            "where it was registered.",
        )
    elif size != version.draft.size:
        report.wrong(
            f"{used} has a model file of {size} bytes, where {version.draft.size} were registered.",
            "Restore it from a backup, or delete it and register the same file again.",
        )


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
