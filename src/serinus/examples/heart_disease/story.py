"""What happens in the demo: a release that goes wrong, and one that goes well. How it is told is next door."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from serinus.cli.display.words import mapped, number, read_time, rows
from serinus.client import Client
from serinus.core.names import VersionRef
from serinus.core.records import Lineage
from serinus.examples.heart_disease.models import CLASS_NAMES, TARGET, Candidate
from serinus.examples.heart_disease.traffic import Tally, Traffic

MODEL = "heart"
DEPLOYMENT = "heart-prod"
CHECKER = "health-checker"
POLICY = {
    "name": "threshold",
    "error_delta": 0.05,
    "p95_delta_ms": 100,
    "min_requests": 100,
    "window_s": 300,
    "interval_s": 5,
}
"""The policy's own defaults, but checked every 5 s in place of every 30: a demo should be short."""
SETTINGS = {"promote_from_weight": 100, "policy": POLICY}
RAMP = (20.0, 50.0, 100.0)
ACTIVE = frozenset({"running", "paused"})
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

    def judged_since(self, moment: datetime) -> str:
        """Give the verdict if there is one that is younger; nothing otherwise."""
        checked = read_time(self.health.get("checked_at"))
        return str(self.health.get("health") or "") if checked is not None and checked > moment else ""


@dataclass(frozen=True, slots=True)
class Step:
    """One share of the ramp, in percent: what came of it, and what the callers got who were sent there."""

    weight: float
    ref: str
    outcome: str
    tally: Tally
    came_true: bool

    @property
    def share(self) -> float | None:
        """The share of the requests that was routed to the canary, in percent."""
        return 100 * self.tally.drawn_for(self.ref) / self.tally.requests if self.tally.requests else None


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
        return [str(each) for each in mapped(self._event("canary_started").get("data")).get("warnings", ())]

    def seconds_until(self, kind: str) -> float | None:
        """Give how long after the start something happened; None if it did not."""
        then, start = read_time(self._event(kind).get("at")), read_time(self._event("canary_started").get("at"))
        return (then - start).total_seconds() if then and start else None

    def _event(self, kind: str) -> Document:
        return next((event for event in self.events if event.get("kind") == kind), {})


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the story happens; ``patience_s`` is how long one verdict may be waited for."""

    client: Client
    traffic: Traffic
    patience_s: float


def register(client: Client, candidates: Sequence[Candidate]) -> list[Document]:
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


def deploy(client: Client, version: Document) -> Document:
    """Put a first version into production."""
    ref = VersionRef(str(version["model"]), int(version["version"]))
    return client.deploy(DEPLOYMENT, ref, SETTINGS, reason="the first version")


def start(stage: Stage, version: Document, reason: str) -> Tally:
    """Give a version its first share of the traffic; gives the tally of what is sent from then on."""
    stage.client.start(DEPLOYMENT, int(version["version"]), RAMP[0], reason=reason)
    return stage.traffic.phase()


def until_it_ends(stage: Stage, ref: str, tally: Tally, show: Show) -> None:
    """Leave a canary to the checker at its first share until it is no more, or until patience is at its end."""
    for look in _looks(stage, ref, RAMP[0], tally):
        show(look)
        if look.ended:
            return


def take_step(stage: Stage, version: Document, weight: float, show: Show) -> Step:
    """Give a canary its next share (the first one starts it), and wait for a good verdict on just that.

    At the last step there is nothing left to command: the checker promotes.
    """
    ref = str(version["ref"])
    if weight == RAMP[0]:
        tally = start(stage, version, "the first one, tuned")
    else:
        stage.client.set_weight(DEPLOYMENT, weight)
        tally = stage.traffic.phase()
    wanted = "promoted" if weight == RAMP[-1] else "healthy"
    outcome, moment = "no verdict in time", _last_change(stage.client)
    for look in _looks(stage, ref, weight, tally):
        show(look)
        outcome = look.phase.replace("_", " ") if look.ended else look.judged_since(moment) or outcome
        if look.ended or outcome == wanted:
            break
    return Step(weight, ref, outcome, tally, came_true=outcome == wanted)


def release(client: Client, ref: str) -> Release:
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


def _looks(stage: Stage, ref: str, weight: float, tally: Tally) -> Iterator[Look]:
    """Look again and again, until patience is at its end."""
    began = time.monotonic()
    while time.monotonic() - began < stage.patience_s:
        phase = mapped(stage.client.deployment(DEPLOYMENT).get("rollout")).get("phase")
        health, metrics = stage.client.health(DEPLOYMENT), stage.client.metrics(DEPLOYMENT)
        yield Look(ref, weight, str(phase), health, metrics, tally)
        time.sleep(LOOK_EVERY_S)


def _last_change(client: Client) -> datetime:
    """Give when the present share came into force, by the server's clock."""
    kinds = ("canary_started", "traffic_adjusted")
    newest = rows(client.events(DEPLOYMENT, newest_first=True, limit=1, kinds=kinds), "events")
    return datetime.fromisoformat(str(newest[0]["at"]))
