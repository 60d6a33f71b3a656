"""What happens in the demo: a release that goes wrong, and one that goes well. How it is told is next door."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from serinus.cli.display.release import ACTIVE
from serinus.cli.display.words import listed, mapped, number, read_time, rows
from serinus.client import DocumentClient
from serinus.core.deployment import ALL
from serinus.core.names import VersionRef
from serinus.core.records import Lineage
from serinus.examples.heart_disease.models import CLASS_NAMES, TARGET, Candidate
from serinus.examples.heart_disease.traffic import Tally, Traffic

MODEL = "heart"
DEPLOYMENT = "heart-prod"
CHECKER = "health-checker"
BAKE_S = 5.0
"""Seconds before which no canary is promoted. By default it is a minute; a demo should be short."""
POLICY = {"name": "sequential", "bake_s": BAKE_S}
"""The default policy but for that."""
SETTINGS = {"policy": POLICY}
FIRST_SHARE = 20.0
"""The share in percent with which a version begins."""
HOLDBACK, HOLDBACK_S = 5, 5
"""The share in percent that the version before keeps after the promotion, and for how many seconds."""
PLAN = {
    "apiVersion": "serinus/v1",
    "kind": "RolloutPlan",
    "metadata": {"name": "demo"},
    "spec": {
        "steps": [{"setWeight": FIRST_SHARE}, {"setWeight": 50}, {"setWeight": 100}, {"promote": {}}],
        "holdback": {"weight": HOLDBACK, "duration": f"{HOLDBACK_S}s"},
    },
}
"""What the good version follows: each step after the first is taken by the evidence alone."""
WATCHED = {
    "apiVersion": "serinus/v1",
    "kind": "RolloutPlan",
    "metadata": {"name": "watched"},
    "spec": {
        "steps": [{"setWeight": FIRST_SHARE}, {"approval": {}}, {"setWeight": 50}, {"setWeight": 100}, {"promote": {}}]
    },
}
"""What the canary that is left for the dashboard follows: it waits for whoever looks on."""
MOVES = ("traffic_adjusted", "promoted", "bake_ended", "rolled_back")
"""The events by which the traffic of a canary changes after its start."""
LAST = frozenset({"bake_ended", "rolled_back"})
"""The moves after which there is no canary any more."""
_ACTIONS = frozenset({"advanced", "promoted", "bake_ended", "rolled_back"})
"""What a health check says that it did, where it changed the traffic."""
LOOK_EVERY_S = 0.2

Document = dict[str, Any]
Show = Callable[["Look"], None]


@dataclass(frozen=True, slots=True)
class Look:
    """The newest canary at one moment: its share in percent, its phase, the newest verdict, both arms' totals."""

    ref: str
    weight: float
    phase: str
    health: Document
    metrics: Document
    tally: Tally

    @property
    def ended(self) -> bool:
        """Whether the canary is no more, and how that came is on record."""
        return self.phase not in ACTIVE and bool(self.health.get("action"))


@dataclass(frozen=True, slots=True)
class Move:
    """A change of a canary's traffic, and the verdict that it rests on; ``after_s`` is seconds since its start."""

    event: Document
    verdict: Document
    after_s: float

    @property
    def kind(self) -> str:
        """What happened."""
        return str(self.event.get("kind"))

    @property
    def wanted(self) -> float | None:
        """The share in percent whose odds it took: the one that was given, or all of it for a promotion."""
        return ALL if self.kind == "promoted" else number(mapped(self.event.get("data")).get("to"))


@dataclass(frozen=True, slots=True)
class Release:
    """One canary's life as the API tells it; ``events`` are those of its rollout, oldest first."""

    ref: str
    health: Document
    metrics: Document
    events: tuple[Document, ...]

    def did(self, *kinds: str) -> bool:
        """Whether the health checker did all of this."""
        return set(kinds) <= {str(event["kind"]) for event in self.events if event.get("actor") == CHECKER}

    @property
    def warnings(self) -> list[str]:
        """What the server said against it when it started."""
        return [str(each) for each in mapped(self.event("canary_started").get("data")).get("warnings", ())]

    @property
    def moves(self) -> list[Document]:
        """The events by which its traffic changed after the start."""
        return [event for event in self.events if event.get("kind") in MOVES]

    def seconds_until(self, event: Document) -> float:
        """Give how long after the start something happened."""
        then, start = read_time(event.get("at")), read_time(self.event("canary_started").get("at"))
        return (then - start).total_seconds() if then and start else 0.0

    def event(self, kind: str) -> Document:
        """Give the first event of a kind; an empty one if there is none."""
        return next((event for event in self.events if event.get("kind") == kind), {})


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the story happens; ``patience_s`` is how long one verdict may be waited for."""

    client: DocumentClient
    traffic: Traffic
    patience_s: float


def register(client: DocumentClient, candidates: Sequence[Candidate]) -> list[Document]:
    """Register the versions, each with what is known of it."""
    documents: list[Document] = []
    for candidate in candidates:
        parent = str(documents[-1]["ref"]) if documents else ""
        document = client.register(
            candidate.estimator,
            MODEL,
            data=candidate.training,
            target=TARGET,
            class_names=CLASS_NAMES,
            metrics={"accuracy": candidate.accuracy},
            parameters=candidate.parameters,
            tags={"example": "heart-disease"},
            description=candidate.description,
            lineage=Lineage(dataset_digest=candidate.dataset_digest, parent=parent),
        )
        documents.append(document)
    return documents


def deploy(client: DocumentClient, version: Document) -> Document:
    """Put a first version into production."""
    ref = VersionRef(str(version["model"]), int(version["version"]))
    return client.deploy(DEPLOYMENT, ref, SETTINGS, reason="the first version")


def start(stage: Stage, version: Document, reason: str) -> Tally:
    """Give a version its first share of the traffic; gives the tally of what is sent from then on."""
    stage.client.start(DEPLOYMENT, int(version["version"]), FIRST_SHARE, reason=reason)
    return stage.traffic.phase()


def start_by_plan(stage: Stage, version: Document, reason: str) -> Tally:
    """Let a version follow the plan; gives the tally likewise."""
    stage.client.start(DEPLOYMENT, int(version["version"]), plan=PLAN, reason=reason)
    return stage.traffic.phase()


def leave_one_to_watch(client: DocumentClient) -> bool:
    """Let the version before come back as a canary, which waits for a person's word; gives whether it does."""
    before = [VersionRef.parse(str(each)) for each in listed(client.deployment(DEPLOYMENT).get("previous"))]
    if before:
        client.start(DEPLOYMENT, before[-1].version, plan=WATCHED, reason="to be watched on the dashboard")
    return bool(before)


def until_it_ends(stage: Stage, ref: str, tally: Tally, show: Show) -> None:
    """Leave a canary to the checker at its first share until it is no more, or until patience is at its end."""
    for look in _looks(stage, ref, tally):
        show(look)
        if look.ended:
            return


def until_it_moves(stage: Stage, ref: str, tally: Tally, told: int, show: Show) -> Move | None:
    """Leave a canary to its plan until there is one more move than were ``told``; None if patience ends before."""
    for look in _looks(stage, ref, tally):
        life = release(stage.client, ref)
        for event in life.moves[told : told + 1]:
            verdict = _verdict_of(stage.client, event, look.health)
            if verdict is not None:
                return Move(event, verdict, life.seconds_until(event))
        show(look)
    return None


def release(client: DocumentClient, ref: str) -> Release:
    """Read the life of the newest canary."""
    rollout = mapped(client.deployment(DEPLOYMENT).get("rollout")).get("id")
    events = rows(client.events(DEPLOYMENT, limit=1000), "events")
    own = tuple(event for event in events if event.get("rollout") == rollout)
    return Release(ref, client.health(DEPLOYMENT), client.metrics(DEPLOYMENT), own)


def measured(metrics: Document, role: str) -> tuple[int, int]:
    """Give how many requests an arm had, and how many of them its model failed."""
    counts = mapped(metrics.get(role))
    requests, errors, timeouts = (number(counts.get(n)) or 0 for n in ("requests", "model_errors", "timeouts"))
    return int(requests), int(errors + timeouts)


def _looks(stage: Stage, ref: str, tally: Tally) -> Iterator[Look]:
    """Look again and again, until patience is at its end."""
    began = time.monotonic()
    while time.monotonic() - began < stage.patience_s:
        rollout = mapped(stage.client.deployment(DEPLOYMENT).get("rollout"))
        health, metrics = stage.client.health(DEPLOYMENT), stage.client.metrics(DEPLOYMENT)
        yield Look(ref, number(rollout.get("weight")) or 0.0, str(rollout.get("phase")), health, metrics, tally)
        time.sleep(LOOK_EVERY_S)


def _verdict_of(client: DocumentClient, event: Document, health: Document) -> Document | None:
    """Give the verdict by which the checker did something; None while that check is not on record yet.

    A check goes on record after what it did. So the last one before an event is the right one if there is a later one
    as well, or if the newest says of itself that it did something.
    """
    number_of_rollout = int(str(event.get("rollout")).rpartition(":")[2])
    pages = client.looks(DEPLOYMENT, number_of_rollout)
    looks = [look for page in pages for look in rows(page, "looks") if look.get("verdict")]
    moment = read_time(event.get("at"))
    earlier = [look for look in looks if moment and (at := read_time(look.get("at"))) and at <= moment]
    if not earlier:
        return None
    acted = health.get("action") in _ACTIONS and health.get("checked_at") == earlier[-1].get("at")
    return mapped(earlier[-1]["verdict"]) if acted or len(earlier) < len(looks) else None
