"""A server's parts put together by hand, on a real store, board and artifact folder, with models that are puppets."""

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tests.service_layer.doubles import SIGNATURE, Clock, Puppet, Puppets, Unreliable

from serinus.artifacts import ObjectArtifacts, open_artifacts
from serinus.boards.memory import MemoryBoard
from serinus.checker import HealthChecker
from serinus.core.commands import Command, Create, StartCanary
from serinus.core.deployment import Deployment, Rollout
from serinus.core.events import Event, EventKind
from serinus.core.evidence import Counts, Evidence, Key, bucket_of
from serinus.core.judge import Verdict
from serinus.core.names import VersionRef
from serinus.core.policy import Settings, ThresholdPolicy
from serinus.core.records import EvidenceReport, HealthSnapshot, VersionDraft
from serinus.core.routing import Cut, Role, Split
from serinus.core.signature import Scalar, Signature
from serinus.engine import DeploymentEngine, Done
from serinus.gateway import Gateway, Prediction
from serinus.gathering import Gatherer
from serinus.hashing import HashKey
from serinus.journal import FileJournals
from serinus.leadership import Leadership
from serinus.loaded import LoadedModels
from serinus.ports import Board, Store
from serinus.predictions import PredictionLog
from serinus.stores.sql import SqlStore, open_store

V1, V2, V3 = (VersionRef("risk", number) for number in (1, 2, 3))
NAME = "credit"
DATABASE = "serinus.db"
LEASE_S = 3600.0
ROW = {"x": 1.0, "y": 2.0}


def counts(requests: int, *, failed: int = 0, ms: float = 20.0) -> Counts:
    """Give the counts of an arm whose requests all took the same time."""
    return Counts(requests, model_errors=failed, latency={bucket_of(ms): requests} if requests else {})


def both(baseline: Counts, canary: Counts, rollout: str = f"{NAME}:1") -> dict[Key, Counts]:
    """Give the evidence of a rollout of V2 against V1."""
    return {
        Key(rollout, str(V1), 1, Role.BASELINE): baseline,
        Key(rollout, str(V2), 1, Role.CANARY): canary,
    }


POLICY = ThresholdPolicy(interval_s=30.0, window_s=300.0, min_requests=100)
WATCHING: dict[str, Any] = {"auto_rollback": False, "auto_promote": False}
GOOD, BAD = both(counts(1000), counts(1000)), both(counts(1000), counts(1000, failed=500))
FEW = both(counts(1000), counts(50))


@dataclass
class World:
    """One server process; ``restarted`` gives the next one on the same database, ``beside`` one on its board too."""

    folder: Path
    real_store: SqlStore
    clock: Clock
    artifacts: ObjectArtifacts
    store: Unreliable = field(init=False)
    shaky_board: Unreliable = field(init=False)
    models: Puppets = field(default_factory=Puppets)
    troubles: list[str] = field(default_factory=list)
    point: float = 0.999
    number: int = 1
    shared_board: MemoryBoard | None = None
    others: "list[World]" = field(default_factory=list)
    """The processes that were made of this one, or of the one it was made of; the first ends them all."""

    def __post_init__(self) -> None:
        self.boot, gateway = f"boot-{self.number}", f"gateway-{self.number}"
        self.board = self.shared_board or MemoryBoard(self.clock.monotonic)
        self.store, self.shaky_board = Unreliable(self.real_store), Unreliable(self.board)
        store, board = cast("Store", self.store), cast("Board", self.shaky_board)
        tell = self.troubles.append
        self.loaded = LoadedModels(store, self.artifacts, self.models, grace_s=0.0)
        journals = FileJournals(self.folder / "journal", "store", self.boot, limit=2**20, on_trouble=tell)
        self.log = PredictionLog(store, journals, interval_s=0.001, on_trouble=tell)
        self.engine = DeploymentEngine(
            store=store, board=board, loaded=self.loaded, clock=self.clock, acknowledgement_timeout_s=20.0
        )
        numbers = itertools.count(1)
        self.gateway = Gateway(
            gateway,
            self.boot,
            store=store,
            board=board,
            loaded=self.loaded,
            log=self.log,
            clock=self.clock,
            timeout_s=20.0,
            evidence_interval_s=0.001,
            key=HashKey(b"k" * 32),
            new_id=lambda: f"{self.boot}-{next(numbers)}",
            on_trouble=tell,
            on_cut=self.engine.cuts.note,
            draw=lambda: self.point,
            retry_interval_s=0.001,
        )
        self.leadership = Leadership(store, self.boot, self.clock, tell, renew_s=0.001)
        self.gatherer = Gatherer(store, board)
        self.checker = HealthChecker(
            store=store,
            board=board,
            engine=self.engine,
            gatherer=self.gatherer,
            leadership=self.leadership,
            clock=self.clock,
            interval_s=0.001,
            lease_s=LEASE_S,
            on_trouble=tell,
        )

    @classmethod
    async def opened(cls, folder: Path) -> "World":
        store = await open_store(f"sqlite:///{folder / DATABASE}")
        world = cls(folder, store, Clock(), open_artifacts(folder / "artifacts"))
        await world.judged()
        return world

    async def replaced(self) -> "World":
        """Stop the checker, and give the next process with a checker that leads."""
        await self.checker.stop()
        next_one = self.restarted()
        await next_one.judged()
        return next_one

    async def judged(self) -> int:
        """Let this process's checker lead, and canaries have traffic; give its term."""
        await self.leadership.renew()
        assert self.leadership.term is not None
        await self.board.renew(self.leadership.term, LEASE_S)
        return self.leadership.term

    async def closed(self) -> None:
        for process in (self, *self.others):
            process.store.mended()
            process.shaky_board.mended()
            await process.gateway.stop()
            await process.loaded.close()
            await process.log.close()
        await self.real_store.close()

    def restarted(self) -> "World":
        """Give a process that knows only what is on record."""
        return self._another(None)

    def beside(self) -> "World":
        """Give a process on the same database and the same board."""
        return self._another(self.board)

    def _another(self, board: MemoryBoard | None) -> "World":
        number = len(self.others) + 2
        another = World(
            self.folder,
            self.real_store,
            self.clock,
            self.artifacts,
            number=number,
            shared_board=board,
            others=self.others,
        )
        self.others.append(another)
        return another

    # ------------------------------------------------------------------------------------- steering

    async def register(
        self,
        count: int = 1,
        model: str = "risk",
        signature: Signature = SIGNATURE,
        examples: tuple[tuple[Scalar | None, ...], ...] = (),
    ) -> VersionRef:
        """Register versions, and give the last of them."""
        data = f"{model} {signature} {examples}".encode()
        digest = await self.artifacts.put(data)
        draft = VersionDraft(model, digest, len(data), "own", signature, examples)
        versions = [await self.real_store.register(draft, self.clock.now()) for _ in range(count)]
        return versions[-1].ref

    async def deploy(self, name: str = NAME, baseline: VersionRef = V1, **settings: Any) -> Deployment:
        chosen = Settings(**{"policy": ThresholdPolicy(), **settings})
        done = await self.engine.create(Create(name=name, baseline=baseline, settings=chosen))
        return done.state

    async def start(self, weight: float = 50.0, canary: VersionRef = V2, name: str = NAME) -> Done:
        return await self.do(StartCanary(canary=canary, weight=weight), name)

    async def do(self, command: Command, name: str = NAME) -> Done:
        return await self.engine.execute(name, command)

    async def rolling(self, weight: float = 50.0, **settings: Any) -> Deployment:
        """Give a deployment of V1 with a canary of V2."""
        await self.register(3)
        await self.deploy(**settings)
        return (await self.start(weight)).state

    async def ask(self, role: Role | None = None, name: str = NAME, **more: Any) -> Prediction:
        """Ask for a prediction whose role is drawn: the canary's for a point at the lower end."""
        if role is not None:
            self.point = 0.0 if role is Role.CANARY else 0.999
        return await self.gateway.predict(name, ROW, **more)

    def baseline(self) -> Puppet:
        return self.models[V1]

    def canary(self) -> Puppet:
        return self.models[V2]

    # ------------------------------------------------------------------------------------ observing

    async def report(self, evidence: Evidence, boot: str = "") -> None:
        """Put up evidence as a gateway would, by default this process's own."""
        boot = boot or self.boot
        await self.board.report(EvidenceReport(f"the gateway of {boot}", boot, evidence))

    async def after(self, seconds: float, evidence: Evidence | None = None) -> None:
        """Let time pass, and evidence come, and the checker make its round."""
        self.clock.advance(seconds)
        if evidence is not None:
            await self.report(evidence)
        await self.checker.tick()

    async def newest_check(self, rollout: str = f"{NAME}:1") -> HealthSnapshot:
        return (await self.real_store.snapshots(rollout, limit=1))[0]

    async def verdict(self) -> Verdict:
        """Give the verdict of the newest check."""
        verdict = (await self.newest_check()).verdict
        assert verdict is not None
        return verdict

    async def kinds(self, name: str = NAME) -> list[EventKind]:
        return [entry.event.kind for entry in await self.real_store.events(name)]

    async def since_start(self, name: str = NAME) -> list[Event]:
        """Give the events after the first two: of the deployment and of its first canary."""
        return [entry.event for entry in await self.real_store.events(name)][2:]

    async def rollout(self, name: str = NAME) -> Rollout:
        """Give the last rollout, as it is on record."""
        state = await self.real_store.deployment(name)
        assert state is not None
        assert state.rollout is not None
        return state.rollout

    async def caught_up(self) -> None:
        """Wait until the gateway has taken up what it was told of."""
        while self.gateway._following._refreshing:
            await asyncio.wait(self.gateway._following._refreshing.values())

    async def share(self, name: str = NAME) -> float:
        """Give the canary's share on the board, in percent."""
        split = Split.decoded(await self.board.split(name))
        assert split is not None
        return split.share

    async def cut(self, name: str = NAME) -> Cut | None:
        """Give the cut on the board."""
        split = Split.decoded(await self.board.split(name))
        return split.cut if split else None

    def counted(self, role: Role, rollout: str = f"{NAME}:1", split_version: int = 1) -> Counts:
        ref = V2 if role is Role.CANARY else V1
        return self.gateway.evidence().get(Key(rollout, str(ref), split_version, role), Counts())


Opened = Callable[[], World]
