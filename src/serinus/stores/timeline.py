"""Statements that read the timeline, and a few of many health checks; what the rows mean is in ``codec``."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, column, func, select, values

from serinus.core.events import TRANSITIONS
from serinus.core.production import BEGINNINGS
from serinus.stores.tables import UtcDateTime, deployments, events, health_snapshots

Wanted = Select[*tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Page:
    """Which events are wanted; ``names`` and ``kinds`` that are empty mean all."""

    after: int = 0
    limit: int = 100
    newest_first: bool = False
    names: Sequence[str] = ()
    kinds: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None

    @property
    def wanted(self) -> Wanted:
        """Select them."""
        number, at = events.c.id, events.c.at
        wanted = select(events)
        if len(self.names) == 1:  # the index serves its order, too
            wanted = wanted.where(events.c.deployment == self.names[0])
        elif self.names:
            wanted = wanted.where(events.c.deployment.in_(self.names))
        if self.kinds:
            wanted = wanted.where(events.c.kind.in_(self.kinds))
        if self.after:
            wanted = wanted.where(number < self.after if self.newest_first else number > self.after)
        if self.since is not None:
            wanted = wanted.where(at >= self.since)
        if self.until is not None:
            wanted = wanted.where(at <= self.until)
        return wanted.order_by(number.desc() if self.newest_first else number).limit(self.limit)


def replayed(until: datetime, deployment: str | None) -> Wanted:
    """Select the transitions of each deployment from the last beginning at or before an instant on."""
    earlier = events.alias("earlier")
    beginning = (
        select(earlier.c.id)
        .where(earlier.c.deployment == deployments.c.name, earlier.c.kind.in_([str(kind) for kind in BEGINNINGS]))
        .where(earlier.c.at <= until)
        .order_by(earlier.c.id.desc())
        .limit(1)
        .scalar_subquery()
        .correlate(deployments)
    )
    of = select(deployments.c.name, beginning.label("beginning"))
    last = (of if deployment is None else of.where(deployments.c.name == deployment)).cte("last")
    last = last.prefix_with("MATERIALIZED")  # or the beginning would be looked for anew for each event
    wanted = select(events).join(last, (events.c.deployment == last.c.name) & (events.c.id >= last.c.beginning))
    return wanted.where(events.c.at <= until, events.c.kind.in_([str(kind) for kind in TRANSITIONS])).order_by(
        events.c.deployment, events.c.id
    )


def bounds(rollout: str) -> Wanted:
    """Select the instants of a rollout's first and last check."""
    at = health_snapshots.c.at
    return select(func.min(at), func.max(at)).where(health_snapshots.c.rollout == rollout)


def first_checks(rollout: str, limit: int) -> Wanted:
    """Select the ids of the oldest checks of a rollout."""
    wanted = select(health_snapshots.c.id).where(health_snapshots.c.rollout == rollout)
    return wanted.order_by(health_snapshots.c.at, health_snapshots.c.id).limit(limit)


def next_checks(rollout: str, instants: Sequence[datetime]) -> Wanted:
    """Select the ids of the checks that come first at or after each instant; one look into the index for each."""
    wanted = values(column("at", UtcDateTime), name="instants").data([(each,) for each in instants]).cte()
    following = (
        select(health_snapshots.c.id)
        .where(health_snapshots.c.rollout == rollout, health_snapshots.c.at >= wanted.c.at)
        .order_by(health_snapshots.c.at, health_snapshots.c.id)
        .limit(1)
        .scalar_subquery()
        .correlate(wanted)
    )
    return select(following.label("id")).select_from(wanted)


def checks(numbers: Sequence[int]) -> Wanted:
    """Select checks by their ids, oldest first."""
    wanted = select(health_snapshots).where(health_snapshots.c.id.in_(numbers))
    return wanted.order_by(health_snapshots.c.at, health_snapshots.c.id)


def spread(first: datetime, last: datetime, points: int) -> list[datetime]:
    """Give instants from the first to the last, evenly."""
    between = [first + (last - first) * step / (points - 1) for step in range(points - 1)]
    return [*between, last]
