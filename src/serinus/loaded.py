"""Models in memory: each version is loaded once per process, warmed, and kept while a deployment may need it."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from serinus.core.answers import Answer
from serinus.core.contract import check_contract
from serinus.core.errors import ArtifactMissing, ContractBroken, ModelError, ModelTimeout, NotFound, SerinusError
from serinus.core.names import VersionRef
from serinus.core.records import ModelVersion
from serinus.core.signature import Row
from serinus.core.work import Work
from serinus.ports import Artifacts, Predictor, PredictorFactory, Store

LOADING_TIMEOUT_S = 120.0
"""How long a model may take to come up from its bytes; one that hangs must not hold up its deployment for ever."""
WARMING_TIMEOUT_S = 30.0
"""How long one example row may take while a model is warmed: a first call may compile or allocate."""
DEADLINE_TRIES = 3
"""How often a warm model is tried against the deadline: one slow answer may be the machine's."""
GRACE_S = 5.0
"""How long a model that is no longer needed stays, for the requests that still wait for it."""


class LoadedModels:
    """Predictors by version. However many callers wait for a version, it is loaded once.

    A canary has to answer its examples, once warm, within ``deadline_s``, the time that a model has for a request.
    ``grace_s`` has to outlast the longest request: what still waits when a model is given back goes without an answer.
    """

    def __init__(
        self,
        store: Store,
        artifacts: Artifacts,
        factory: PredictorFactory,
        *,
        deadline_s: float = math.inf,
        grace_s: float = GRACE_S,
        loading_timeout_s: float = LOADING_TIMEOUT_S,
    ) -> None:
        self._store = store
        self._artifacts = artifacts
        self._factory = factory
        self._deadline_s = deadline_s
        self._grace_s = grace_s
        self._loading_timeout_s = loading_timeout_s
        self._loads: dict[VersionRef, asyncio.Task[Predictor]] = {}
        self._hanging: dict[VersionRef, asyncio.Task[Predictor]] = {}
        self._needed: frozenset[VersionRef] = frozenset()
        self._held: Counter[VersionRef] = Counter()
        self._leaving: set[Predictor] = set()
        self._past: dict[VersionRef, Work] = {}

    async def get(self, ref: VersionRef) -> Predictor:
        """Give the version's predictor, warm; a load that failed is tried anew by the next caller.

        One that hangs is let go on, for it may be in this process: meanwhile no other of its version is begun.

        Raises:
            NotFound: no such version. ArtifactMissing, ArtifactCorrupt, FormatRefused, ModelError: it cannot be loaded.
            ModelTimeout: it was not loaded in time, now or by a load that still runs.
            ContractBroken: it does not answer its own example rows.
        """
        load = self._loads.get(ref)
        if load is None:
            load = self._loads[ref] = asyncio.create_task(self._load(ref), name=f"load {ref}")
            load.add_done_callback(lambda done: self._forget_failed(ref, done))
        return await asyncio.shield(load)

    async def prepare(self, canary: VersionRef, baseline: VersionRef) -> tuple[str, ...]:
        """Load and warm a canary and check it against the baseline; give the warnings.

        Raises:
            ContractBroken: other inputs, another kind of output, no usable answer to its own examples, or none within
            the deadline. ArtifactMissing, Unavailable: other gateways could not load it. And what ``get`` raises.
        """
        present, new = await self.get(baseline), await self.get(canary)
        await self._check_kept(new.version)
        warnings = check_contract(present.version.signature, new.version.signature)
        await self._check_deadline(new)
        return warnings

    async def _check_kept(self, version: ModelVersion) -> None:
        """See that the artifact is where every gateway can read it: one that is loaded here may be gone from there."""
        if await self._artifacts.size(version.draft.digest) is None:
            raise ArtifactMissing(
                f"The artifact {version.draft.digest} of {version.ref} is not in the artifact store any more.",
                field="version",
                remedy="Restore it from a backup, or register the version anew.",
                digest=version.draft.digest,
            )

    async def _check_deadline(self, predictor: Predictor) -> None:
        if not predictor.version.draft.examples or math.isinf(self._deadline_s):
            return
        for _ in range(DEADLINE_TRIES):
            with suppress(ModelTimeout):
                await _try(predictor, len(predictor.version.draft.examples) - 1, self._deadline_s)
                return
        raise ContractBroken(
            f"{predictor.version.ref} needs more than the {self._deadline_s:g} s that a model has for a request: "
            f"it did not answer one of its own example rows in {DEADLINE_TRIES} tries.",
            field="version",
            remedy="Register a faster version, or raise SERINUS_PREDICT_TIMEOUT.",
        )

    @asynccontextmanager
    async def holding(self, *refs: VersionRef) -> AsyncIterator[None]:
        """Keep versions in memory that no deployment needs yet; those that none needs afterwards are given back."""
        self._held.update(refs)
        try:
            yield
        finally:
            self._held -= Counter(refs)
            self._give_back()

    def retain(self, needed: Iterable[VersionRef]) -> None:
        """Give back, after a grace, every version that is loaded, not needed and not held."""
        self._needed = frozenset(needed)
        self._give_back()

    def _give_back(self) -> None:
        for ref in self.refs():
            if ref not in self._needed and ref not in self._held:
                predictor = self._loads.pop(ref).result()
                self._leaving.add(predictor)
                asyncio.get_running_loop().call_later(self._grace_s, self._let_go, predictor)

    def _let_go(self, predictor: Predictor) -> None:
        self._leaving.discard(predictor)
        ref = predictor.version.ref
        self._past[ref] = self._past.get(ref, Work()) + predictor.work
        predictor.close()

    def work(self) -> dict[VersionRef, Work]:
        """Give what each version has done here, also those that are no longer in memory."""
        done = {ref: replace(work) for ref, work in self._past.items()}
        for predictor in [*self._leaving, *(self._loads[ref].result() for ref in self.refs())]:
            ref = predictor.version.ref
            done[ref] = done.get(ref, Work()) + predictor.work
        return done

    def refs(self) -> list[VersionRef]:
        """Name the versions in memory."""
        return [ref for ref, load in self._loads.items() if load.done() and not _failed(load)]

    async def close(self) -> None:
        """Give back everything."""
        for load in list(self._loads.values()):
            if not load.done():
                load.cancel()
        for hanging in list(self._hanging.values()):
            hanging.cancel()
        await asyncio.gather(*self._hanging.values(), return_exceptions=True)
        done = await asyncio.gather(*self._loads.values(), return_exceptions=True)
        self._loads.clear()
        for predictor in [*self._leaving, *(each for each in done if not isinstance(each, BaseException))]:
            self._let_go(predictor)

    async def _load(self, ref: VersionRef) -> Predictor:
        if ref in self._hanging:
            raise self._too_slow(ref)
        version = await self._store.version(ref)
        if version is None:
            raise NotFound(
                f"There is no model version {ref}.",
                field="version",
                remedy="See the registered versions with `canary models`.",
            )
        data = await self._artifacts.get(version.draft.digest)
        predictor = await self._started(version, data)
        try:
            await _warm(predictor)
        except BaseException:
            predictor.close()
            raise
        return predictor

    async def _started(self, version: ModelVersion, data: bytes) -> Predictor:
        start = asyncio.create_task(self._factory.start(version, data), name=f"start {version.ref}")
        try:
            await asyncio.wait({start}, timeout=self._loading_timeout_s)
        except asyncio.CancelledError:
            start.cancel()
            start.add_done_callback(_close_late)
            raise
        if start.done():
            return start.result()
        self._hanging[version.ref] = start
        start.add_done_callback(lambda late: self._end_of_hanging(version.ref, late))
        raise self._too_slow(version.ref)

    def _too_slow(self, ref: VersionRef) -> ModelTimeout:
        return ModelTimeout(
            f"{ref} was not loaded within {self._loading_timeout_s:g} s; while that load hangs, no other is begun.",
            field="version",
            remedy="Register a model that loads faster.",
        )

    def _end_of_hanging(self, ref: VersionRef, late: asyncio.Task[Predictor]) -> None:
        del self._hanging[ref]
        _close_late(late)

    def _forget_failed(self, ref: VersionRef, load: asyncio.Task[Predictor]) -> None:
        if _failed(load) and self._loads.get(ref) is load:
            del self._loads[ref]


def _failed(load: asyncio.Task[Predictor]) -> bool:
    return load.cancelled() or load.exception() is not None


def _close_late(start: asyncio.Task[Predictor]) -> None:
    if not _failed(start):
        start.result().close()


async def _warm(predictor: Predictor) -> None:
    for index in range(len(predictor.version.draft.examples)):
        try:
            await _try(predictor, index, WARMING_TIMEOUT_S)
        except ModelTimeout as failure:
            raise _unanswered(predictor, index, failure) from failure


async def _try(predictor: Predictor, index: int, timeout_s: float) -> None:
    """Ask for an example row; ModelTimeout, or ContractBroken for any other failure."""
    try:
        await _answer(predictor, list(predictor.version.draft.examples[index]), timeout_s)
    except ModelTimeout:
        raise
    except ModelError as failure:
        raise _unanswered(predictor, index, failure) from failure


async def _answer(predictor: Predictor, row: Row, timeout_s: float) -> None:
    """Ask for one row and wait for its answer; raises what the predictor settles with."""
    settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(outcome: Sequence[Answer] | Exception) -> None:
        if settled.done():
            return
        if isinstance(outcome, Exception):
            settled.set_exception(outcome)
        else:
            settled.set_result(None)

    ticket = predictor.ask([row], timeout_s, settle)
    try:
        await settled
    except asyncio.CancelledError:
        ticket.withdraw()
        raise


def _unanswered(predictor: Predictor, index: int, failure: ModelError) -> ContractBroken:
    return ContractBroken(
        f"{predictor.version.ref} does not answer its own example row {index}: {failure.message}",
        field="version",
        remedy="Register a version that answers the rows it was trained on.",
    )


def cause_of(error: BaseException) -> str:
    """Say in one line why something could not be loaded."""
    return str(error) if isinstance(error, SerinusError) else f"{type(error).__name__}: {error}"
