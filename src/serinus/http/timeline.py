"""The control plane's routes about what happened: timelines, what was in production, and rollouts over time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from serinus.core.deployment import Rollout
from serinus.core.errors import InvalidInput, NotFound, no_deployment
from serinus.core.events import EventKind
from serinus.core.policy import Policy
from serinus.core.production import SHARES, production, share_of
from serinus.core.records import HealthSnapshot
from serinus.http import documents
from serinus.http.control import In, Name
from serinus.http.documents import Document
from serinus.ports import Store

router = APIRouter(tags=["timeline"])

LARGEST_ID = 2**63 - 1
EVENTS_A_PAGE = 1000
EXAMPLE = "2026-03-01T12:00:00Z"

After = Annotated[int, Query(ge=0, le=LARGEST_ID, description="Id of the last event already seen")]
Kinds = Annotated[list[str] | None, Query(description="Only these kinds", examples=[["promoted", "rolled_back"]])]
Named = Annotated[list[str] | None, Query(description="Only these deployments", examples=[["heart-prod"]])]
At = Annotated[str | None, Query(description="When, ISO 8601; default: now", examples=[EXAMPLE])]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which events of a timeline are asked for."""

    after: After = 0
    limit: Annotated[int, Query(ge=1, le=EVENTS_A_PAGE)] = 100
    order: Annotated[str, Query(pattern="^(asc|desc)$")] = "asc"
    kind: Kinds = None
    since: Annotated[str | None, Query(description="Only from this time on, ISO 8601", examples=[EXAMPLE])] = None
    until: Annotated[str | None, Query(description="Only up to this time, ISO 8601", examples=[EXAMPLE])] = None

    async def of(self, store: Store, names: Sequence[str] = ()) -> Document:
        """Give a page of the timelines of these deployments, or of all."""
        found = await store.timeline(
            names,
            after=self.after,
            limit=self.limit + 1,
            newest_first=self.order == "desc",
            kinds=checked_kinds(self.kind),
            since=instant(self.since, "since"),
            until=instant(self.until, "until"),
        )
        page, more = found[: self.limit], len(found) > self.limit
        return {"events": [documents.of_event(each) for each in page], "next": page[-1].id if more else None}


Wanted = Annotated[Asked, Depends()]


@router.get("/events", summary="Read the timeline of all deployments")
async def list_all_events(system: In, asked: Wanted, deployment: Named = None) -> Document:
    """Page through the timelines of all deployments, or of those that are named, as one; see the timeline of one."""
    return await asked.of(system.store, await checked_deployments(system.store, deployment))


@router.get("/deployments/{name}/events", summary="Read the timeline")
async def list_events(system: In, name: Name, asked: Wanted) -> Document:
    """Page through the append-only timeline; ``next`` is what to pass as ``after``, null at the end."""
    await system.engine.deployment(name)
    return await asked.of(system.store, [name])


@router.get("/production", summary="See what was in production everywhere")
async def list_production(system: In, at: At = None) -> Document:
    """Tell what each deployment had in production at an instant; null for one that did not exist yet."""
    when = instant(at, "at") or datetime.now(UTC)
    events = await system.store.production_events(when)
    known = {name: production(those) for name, those in groupby(events, lambda each: each.event.deployment)}
    names = [each.name for each in await system.store.deployments()]
    found = {name: known.get(name) for name in sorted({*names, *known})}
    return {
        "at": when.isoformat(),
        "deployments": [
            {"deployment": name, "production": documents.of_production(was) if was else None}
            for name, was in found.items()
        ],
    }


@router.get("/deployments/{name}/production", summary="See what was in production")
async def get_production(system: In, name: Name, at: At = None) -> Document:
    """Tell which versions had the traffic at an instant, since when and by which event; 404 before there were any."""
    state = await system.engine.deployment(name)
    when = instant(at, "at") or datetime.now(UTC)
    was = production(await system.store.production_events(when, name))
    if was is None:
        raise NotFound(
            f"{name!r} did not exist at {when.isoformat()}.",
            field="at",
            remedy=f"It was made at {state.created_at.isoformat()}: ask for a later time.",
        )
    return {"deployment": name, "at": when.isoformat(), "production": documents.of_production(was)}


@router.get("/deployments/{name}/rollouts/{number}/history", summary="See the evidence of a rollout over time")
async def history(
    system: In,
    name: Name,
    number: Annotated[int, Path(ge=1, le=2**31 - 1, description="The n-th rollout of the deployment")],
    points: Annotated[int, Query(ge=2, le=1000, description="So many at most, evenly spread over time")] = 200,
) -> Document:
    """Give checks of a rollout, oldest first, and what its evidence has to come to.

    Odds of a metric are natural logarithms of the evidence that the canary is worse than tolerated (``odds_against``)
    and that it is better than the margin (``odds_for``); those in ``thresholds`` are odds to one.
    """
    state = await system.engine.deployment(name)
    rollout = await system.store.rollout(f"{name}:{number}")
    if state.rollout is not None and state.rollout.id == f"{name}:{number}":
        rollout = state.rollout
    if rollout is None:
        raise NotFound(
            f"There is no rollout {number} of {name!r}.",
            field="number",
            remedy=f"GET /deployments/{name}/rollouts lists them.",
        )
    checks = await system.store.sampled_snapshots(rollout.id, points)
    is_last = state.rollout is not None and state.rollout.id == rollout.id
    policy = _last_policy(checks) or (state.policy if is_last else None)
    weights = await _weights(system.store, name, rollout)
    return {"deployment": name, **documents.of_history(rollout, checks, weights, policy)}


def instant(text: str | None, field: str) -> datetime | None:
    """Read a time that a caller wrote; one without a zone is in UTC. InvalidInput where it is none."""
    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as wrong:
        hint = " A + in a URL is written %2B." if " " in text else ""
        raise InvalidInput(
            f"{field} is {text[:80]!r}, which is no time.",
            field=field,
            remedy=f"Write it as ISO 8601, like {EXAMPLE}.{hint}",
        ) from wrong


def checked_kinds(kinds: Iterable[str] | None) -> list[str]:
    """Give the kinds of events that are asked for; InvalidInput where there are none of a kind."""
    wanted = list(dict.fromkeys(kinds or ()))
    unknown = sorted(set(wanted) - set(EventKind))
    if unknown:
        raise InvalidInput(
            f"There are no events of kind {', '.join(unknown)}.",
            field="kind",
            remedy=f"Kinds: {', '.join(EventKind)}.",
        )
    return wanted


async def checked_deployments(store: Store, names: Iterable[str] | None) -> list[str]:
    """Give the deployments that are asked for; NotFound where there is none of a name."""
    wanted = list(dict.fromkeys(names or ()))
    if wanted:
        known = {each.name for each in await store.deployments()}
        for name in wanted:
            if name not in known:
                raise no_deployment(name)
    return wanted


async def _weights(store: Store, name: str, rollout: Rollout) -> list[tuple[datetime, float]]:
    """Give the shares that a canary had, each with the time from which on."""
    kinds, weights, after = sorted(SHARES), list[tuple[datetime, float]](), 0
    while True:
        found = await store.events(
            name,
            after=after,
            limit=EVENTS_A_PAGE,
            kinds=kinds,
            since=rollout.started_at,
            until=rollout.ended_at,
        )
        weights += [(each.event.at, share_of(each.event)) for each in found if each.event.rollout == rollout.id]
        if len(found) < EVENTS_A_PAGE:
            return weights
        after = found[-1].id


def _last_policy(checks: list[HealthSnapshot]) -> Policy | None:
    return next((each.verdict.policy for each in reversed(checks) if each.verdict), None)
