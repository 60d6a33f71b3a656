"""The control plane's routes about evidence: verdicts, counts, why, and what to expect."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query

from serinus.assembly import System
from serinus.core.deployment import ALL, Deployment
from serinus.core.errors import InvalidInput, NotFound
from serinus.core.events import Event
from serinus.core.evidence import NOTHING, arm
from serinus.core.explain import DECISIONS, explained
from serinus.core.forecast import forecast, of_forecast
from serinus.core.ledger import outside
from serinus.core.looks import encoded_look
from serinus.core.mean_path import Baseline
from serinus.core.plan import own_policy
from serinus.core.policy import SequentialPolicy, policy_values
from serinus.core.routing import Role
from serinus.core.verdicts import encoded_verdict
from serinus.http import documents, standing
from serinus.http.control import In, Name
from serinus.http.documents import Document
from serinus.http.schemas import preset

evidence = APIRouter(prefix="/deployments", tags=["evidence"])
SAMPLE = 1000
"""So many of the newest predictions tell how many come in a second."""
EXPLAINED = 1000
"""So many of a deployment's events are looked through for those of a rollout, the newest."""
WEIGHTS = (1.0, 5.0, 20.0, 50.0)
_STICKY = (
    "Traffic is sticky: an entity counts once, at its first request, and here each request is taken for another "
    "entity's. Give the number of entities (entities=...) to know what they can tell."
)


@evidence.get("/{name}/health", summary="See the newest verdict")
async def health(system: In, name: Name) -> Document:
    """Give the newest health check: verdict, reason and the numbers it rests on."""
    state = await system.engine.deployment(name)
    document = documents.of_health(state, await system.store.last_snapshot(name))
    return document | {"warnings": standing.withheld(system, state)}


@evidence.get("/{name}/metrics", summary="See what both arms do")
async def metrics(
    system: In,
    name: Name,
    rollout: Annotated[str | None, Query(description="Default: the last one", examples=["heart-prod:3"])] = None,
    *,
    between: Annotated[bool, Query(description="Instead: what was served outside of any rollout")] = False,
) -> Document:
    """Give requests, errors and latency of both arms over a rollout, by default the active or last one."""
    state = await system.engine.deployment(name)
    about = None if between else state.rollout
    if rollout is not None and (about is None or about.id != rollout):
        about = await system.store.rollout(rollout)
        if about is None or rollout.rpartition(":")[0] != name:
            raise _no_rollout(name, rollout)
    return documents.of_metrics(state, about, await system.gatherer.totals(about.id if about else outside(name)))


@evidence.get("/{name}/explain", summary="See why a rollout came to what it came to")
async def explain(
    system: In,
    name: Name,
    rollout: Annotated[str | None, Query(description="Default: the last one", examples=["heart-prod:3"])] = None,
) -> Document:
    """Give each decision of a rollout with its reason, its evidence, its policy, and what spoke against it."""
    state = await system.engine.deployment(name)
    wanted = rollout or (state.rollout.id if state.rollout else "")
    kept = {each.id: each for each in await system.store.rollouts(name, limit=EXPLAINED)}
    if state.rollout:
        kept[state.rollout.id] = state.rollout
    if wanted not in kept:
        raise _no_rollout(name, wanted)
    kinds = sorted(kind.value for kind in DECISIONS)
    events = await system.store.events(name, limit=EXPLAINED, newest_first=True, kinds=kinds)
    told = [each.event for each in reversed(events) if each.event.rollout == wanted]
    is_last = state.rollout is not None and state.rollout.id == wanted
    return {
        "deployment": name,
        "rollout": documents.of_rollout(kept[wanted]),
        "policy": policy_values(state.policy) if is_last else _last_rule(told),
        "decisions": explained(told),
    }


@evidence.get("/{name}/rollouts/{number}/looks", summary="Read what a sequential test took in")
async def looks(
    system: In,
    name: Name,
    number: Annotated[int, Path(ge=1, le=2**31 - 1, description="The n-th rollout of the deployment")],
    after: Annotated[int, Query(ge=0, le=2**63 - 1, description="Id of the last look already read")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
) -> Document:
    """Page through the checks of a rollout with their evidence, to judge it again; ``next`` is null at the end."""
    await system.engine.deployment(name)
    wanted = f"{name}:{number}"
    kept = {each.id: each for each in await system.store.rollouts(name, limit=EXPLAINED)}
    if wanted not in kept:
        raise _no_rollout(name, wanted)
    found = await system.store.looks(wanted, after=after, limit=limit + 1)
    page, more = found[:limit], len(found) > limit
    return {
        "rollout": wanted,
        "started_at": kept[wanted].started_at.isoformat(),
        "looks": [
            {
                "id": of,
                "at": each.at.isoformat(),
                "look": encoded_look(each.look) if each.look else None,
                "verdict": encoded_verdict(each.verdict) if each.verdict else None,
                "policy": policy_values(each.verdict.policy) if each.verdict else None,
            }
            for of, each in page
        ],
        "next": page[-1][0] if more else None,
    }


@evidence.get("/{name}/forecast", summary="See how long a canary will take")
async def foresee(
    system: In,
    name: Name,
    weights: Annotated[list[float] | None, Query(description="Shares in percent", examples=[[1, 5, 20, 50]])] = None,
    rate: Annotated[float | None, Query(gt=0, le=1e6, description="Requests a second; default: as of late")] = None,
    plan: Annotated[str | None, Query(description="A plan that is there, by its name", examples=["standard"])] = None,
    step: Annotated[
        list[str] | None, Query(description="A plan's weights and pauses: WEIGHT:SECONDS", examples=[["5:300"]])
    ] = None,
    entities: Annotated[float | None, Query(gt=0, le=1e12, description="Of sticky traffic: how many there are")] = None,
) -> Document:
    """Foresee, by the deployment's own traffic, when a canary that fails more is found and a good one is promoted."""
    state = await system.engine.deployment(name)
    chosen = preset(plan) if plan is not None else None
    policy = (own_policy(chosen) if chosen else None) or state.policy
    if not isinstance(policy, SequentialPolicy):
        raise InvalidInput(
            f"What is judged by the policy {policy.name!r} has no odds to foresee.",
            field="policy",
            remedy="Choose the policy sequential: canary configure NAME --policy sequential, or another plan.",
        )
    course = chosen.paced if chosen else _course(step)
    shares = weights or sorted({weight for weight, _ in course if weight < ALL}) or list(WEIGHTS)
    per_second = rate if rate is not None else await _rate(system, name)
    baseline = await _baseline(system, state)
    told = await asyncio.to_thread(
        forecast,
        policy,
        per_second,
        baseline,
        shares,
        plan=course,
        entities=entities if state.settings.sticky else None,
    )
    document = {"deployment": name, **of_forecast(told)}
    if state.settings.sticky and entities is None:
        document["warnings"] = [*told.warnings, _STICKY]
    return document


def _course(steps: list[str] | None) -> Sequence[tuple[float, float]]:
    """Give a plan's weights with the pauses after each, in seconds."""
    course = []
    for each in steps or ():
        weight, _, pause = each.partition(":")
        try:
            course.append((float(weight), float(pause or 0.0)))
        except ValueError as wrong:
            raise InvalidInput(
                f"step is {each!r}.", field="step", remedy="Write WEIGHT:SECONDS, like 5:300."
            ) from wrong
    return course


async def _rate(system: System, name: str) -> float:
    newest = await system.store.predictions(name, limit=SAMPLE)
    if not newest:
        raise InvalidInput(
            f"{name!r} has had no traffic yet: nothing can be foreseen.",
            field="rate",
            remedy="Give the requests a second that you expect (rate).",
        )
    span_s = (datetime.now(UTC) - newest[-1].at).total_seconds()
    return sum(record.begins_request for record in newest) / max(span_s, 1.0)


async def _baseline(system: System, state: Deployment) -> Baseline:
    """Give what is known of the baseline: in the rollout under way, and before it."""
    known = NOTHING
    for rollout in (outside(state.name), *([state.active.id] if state.active else [])):
        totals = await system.gatherer.totals(rollout)
        ours = {key: counts for key, counts in totals.items() if key.version == str(state.reference)}
        known += arm(ours, Role.BASELINE)
    return Baseline.of(known)


def _last_rule(events: list[Event]) -> object:
    return next((each.data["rule"] for each in reversed(events) if "rule" in each.data), None)


def _no_rollout(name: str, wanted: str) -> NotFound:
    what = f"There is no rollout {wanted!r} of {name!r}." if wanted else f"{name!r} has had no canary yet."
    return NotFound(what, field="rollout", remedy=f"GET /deployments/{name}/rollouts lists them.")
