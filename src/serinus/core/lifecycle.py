"""The life of a deployment: the one function that applies a command to a state."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from serinus.core.advance import Progress
from serinus.core.commands import (
    Advance,
    Approve,
    Command,
    Configure,
    Create,
    EndBake,
    Pause,
    Promote,
    Resume,
    Rollback,
    SetWeight,
    StartCanary,
    Undo,
)
from serinus.core.deployment import ALL, Deployment, Phase, Rollout
from serinus.core.errors import AlreadyExists, InvalidInput, NotAllowed, NotFound
from serinus.core.events import Event, EventKind
from serinus.core.names import checked_name
from serinus.core.policy import SequentialPolicy

WEIGHT_STEP = 0.01
"""The finest share of traffic, in percent."""
_ROUNDING = 1e-9
HISTORY = 32
"""How many promotions back ``undo`` can go."""

BAKE_S = 600.0
"""How long a promoted version bakes where neither the plan nor the policy says it."""
WEIGHTS = 64
"""How many shares a rollout remembers: what comes in later of an older split is no evidence."""

Applied = tuple[Deployment, tuple[Event, ...]]


def apply(state: Deployment | None, command: Command, now: datetime) -> Applied:
    """Apply one command.

    Args:
        state: the deployment, or None where none exists yet (only ``Create`` is possible then).
        command: what to do; ``now``: when, with a time zone.

    Returns:
        The new state and its events: exactly one, or none where nothing changes (the same weight or settings
        again), in which case the state is the one passed in.

    Raises:
        NotAllowed: the state does not permit the command; it names the state and what is possible.
        InvalidInput: a weight, name or version that cannot be.
        AlreadyExists, NotFound: the deployment does, or does not, exist.
    """
    if isinstance(command, Create):
        return _create(state, command, now)
    if state is None:
        raise NotFound("There is no such deployment.", remedy="Create it first.")
    verb = verb_of(command)
    if verb not in (*possible(state), *_by_itself(state)):
        doing = "no plan of it waits for an approval" if verb == "approve" else f"it is {_describe(state)}"
        raise NotAllowed(
            f"Cannot {_ACTS.get(verb, verb)} deployment {state.name!r}: {doing}.",
            state=state.status,
            possible=possible(state),
        )
    return _APPLY[type(command)](state, command, now)


def verb_of(command: Command) -> str:
    """Name the command as in the API and CLI."""
    return _VERBS[type(command)]


def possible(state: Deployment) -> tuple[str, ...]:
    """Name the commands that the state permits."""
    if state.active is None:
        return ("configure", "start", *(("undo",) if state.previous else ()))
    if state.active.phase is Phase.PAUSED:
        return ("configure", "resume", "set weight", "rollback")
    if state.active.phase is Phase.BAKING:
        return ("configure", "promote", "rollback")
    approve = ("approve",) if state.active.waits_for_approval else ()
    return ("configure", "set weight", "pause", *approve, "promote", "rollback")


def _by_itself(state: Deployment) -> tuple[str, ...]:
    """Name what the checker may do besides."""
    if state.active is None:
        return ()
    if state.active.phase is Phase.BAKING:
        return ("end the bake",)
    return ("advance",) if state.active.phase is Phase.RUNNING and state.active.plan else ()


def checked_weight(weight: float) -> float:
    """Return a share in percent, from 0 to 100 in steps of 0.01, else raise InvalidInput."""
    if not 0 <= weight <= ALL or abs(round(weight, 2) - weight) > _ROUNDING:
        raise InvalidInput(
            f"The weight {weight!r} is not a share of traffic.",
            field="weight",
            remedy=f"Give a percentage from 0 to 100 in steps of {WEIGHT_STEP}.",
        )
    return round(float(weight), 2) + 0.0  # and no -0.0


def _describe(state: Deployment) -> str:
    if state.active is None:
        return "stable, with no canary running" + ("" if state.previous else " and no promotion to undo")
    doing = "baking after its promotion" if state.active.phase is Phase.BAKING else state.status
    return f"{doing}, with {state.active.canary} at {state.active.weight:g} %"


def _create(state: Deployment | None, command: Create, now: datetime) -> Applied:
    if state is not None:
        raise AlreadyExists(
            f"Deployment {state.name!r} exists already, with baseline {state.baseline}.",
            field="name",
            remedy="Start a canary on it, or choose another name.",
        )
    name = checked_name(command.name, "name")
    created = Deployment(name, command.baseline, command.settings, generation=0, created_at=now)
    return _changed(created, created, EventKind.DEPLOYMENT_CREATED, command, now, baseline=str(command.baseline))


def _configure(state: Deployment, command: Configure, now: datetime) -> Applied:
    if command.settings == state.settings:
        return state, ()
    if state.active and command.settings.sticky != state.settings.sticky:
        raise InvalidInput(
            "sticky cannot change while a canary runs: entities would move between versions.",
            field="settings.sticky",
            remedy="Promote or roll back the canary first.",
        )
    if state.active and command.settings.policy.name != state.settings.policy.name:
        raise InvalidInput(
            f"The policy cannot change from {state.settings.policy.name!r} to {command.settings.policy.name!r} while a "
            "canary runs: what one has seen says nothing to the other.",
            field="settings.policy.name",
            remedy="Promote or roll back the canary first.",
        )
    changes = command.settings.changes_from(state.settings)
    new = replace(state, settings=command.settings)
    return _changed(state, new, EventKind.CONFIGURED, command, now, changes=changes)


def _start(state: Deployment, command: StartCanary, now: datetime) -> Applied:
    weight = checked_weight(command.plan.first_weight if command.plan else command.weight)
    if command.canary == state.baseline:
        raise InvalidInput(
            f"{command.canary} is the baseline of {state.name!r} already.",
            field="version",
            remedy="Start a canary of another version.",
        )
    number = state.rollouts + 1
    rollout = Rollout(
        id=f"{state.name}:{number}",
        canary=command.canary,
        baseline=state.baseline,
        weight=weight,
        phase=Phase.RUNNING,
        split_version=1,
        started_at=now,
        weights=(weight,),
        plan=command.plan,
        progress=Progress(0, now) if command.plan else None,
    )
    new = replace(state, rollout=rollout, rollouts=number)
    facts = {"canary": str(command.canary), "baseline": str(state.baseline)}
    if command.plan:
        facts["plan"] = command.plan.name
    return _changed(state, new, EventKind.CANARY_STARTED, command, now, **facts, weight=weight)


def _set_weight(state: Deployment, command: SetWeight, now: datetime) -> Applied:
    rollout = _active(state)
    weight = checked_weight(command.weight)
    if weight == rollout.weight:
        return state, ()
    if rollout.phase is Phase.PAUSED and weight > rollout.weight:
        raise NotAllowed(
            f"Cannot raise the weight of {state.name!r} to {weight:g} %: it is {_describe(state)}; "
            "a paused rollout may only be lowered.",
            state=state.status,
            possible=possible(state),
        )
    at_weight = _at_weight(rollout, weight)
    facts: dict[str, object] = {"from": rollout.weight, "to": weight}
    if rollout.plan and rollout.phase is Phase.RUNNING and weight < rollout.weight:
        # Who takes traffic away from a canary does not want its plan to give it back.
        progress = rollout.progress and replace(rollout.progress, paused_at=now)
        at_weight, facts["paused"] = replace(at_weight, phase=Phase.PAUSED, progress=progress), True
    new = replace(state, rollout=at_weight)
    return _changed(state, new, EventKind.TRAFFIC_ADJUSTED, command, now, **facts)


def _advance(state: Deployment, command: Advance, now: datetime) -> Applied:
    rollout = _active(state)
    progress = Progress(command.step, now, samples_at_entry=command.samples)
    moved = replace(rollout, progress=progress)
    facts: dict[str, object] = {"step": command.step, "of": len(rollout.plan.steps) if rollout.plan else 0}
    facts |= command.evidence
    if command.weight is None or command.weight == rollout.weight:
        new = replace(state, rollout=moved)
        return _changed(state, new, EventKind.STEP_REACHED, command, now, **facts)
    weight = checked_weight(command.weight)
    new = replace(state, rollout=_at_weight(moved, weight))
    return _changed(
        state, new, EventKind.TRAFFIC_ADJUSTED, command, now, **{"from": rollout.weight, "to": weight}, **facts
    )


def _approve(state: Deployment, command: Approve, now: datetime) -> Applied:
    rollout = _active(state)
    progress = replace(rollout.progress or Progress(0, now), approved=True)
    new = replace(state, rollout=replace(rollout, progress=progress))
    return _changed(state, new, EventKind.APPROVED, command, now, step=progress.step)


def _pause(state: Deployment, command: Pause, now: datetime) -> Applied:
    rollout = _active(state)
    progress = rollout.progress and replace(rollout.progress, paused_at=now)
    new = replace(state, rollout=replace(rollout, phase=Phase.PAUSED, progress=progress))
    return _changed(state, new, EventKind.PAUSED, command, now)


def _resume(state: Deployment, command: Resume, now: datetime) -> Applied:
    rollout = _active(state)
    progress = rollout.progress
    if progress is not None:  # the deadline begins anew: who resumes it has looked at it
        paused = now - (progress.paused_at or now)
        progress = replace(progress, entered_at=progress.entered_at + paused, resumed_at=now, paused_at=None)
    new = replace(state, rollout=replace(rollout, phase=Phase.RUNNING, progress=progress))
    return _changed(state, new, EventKind.RESUMED, command, now)


def _promote(state: Deployment, command: Promote, now: datetime) -> Applied:
    rollout = _active(state)
    if rollout.phase is Phase.BAKING:
        return _end_bake(state, command, now)
    holdback = rollout.plan.holdback_weight if rollout.plan else 0.0
    new = replace(
        state,
        baseline=rollout.canary,
        previous=(*state.previous, state.baseline)[-HISTORY:],
        rollout=_baking(state, rollout, holdback, now) if holdback else _end(rollout, Phase.PROMOTED, command, now),
    )
    facts: dict[str, object] = {"from": str(state.baseline), "to": str(rollout.canary)}
    if new.active and new.active.bake_until:
        facts |= {"holdback": holdback, "bake_until": new.active.bake_until.isoformat()}
    return _changed(state, new, EventKind.PROMOTED, command, now, **facts)


def _baking(state: Deployment, rollout: Rollout, holdback: float, now: datetime) -> Rollout:
    """Let the version before keep a share, so that what is promoted is compared with it for a while."""
    policy, plan = state.policy, rollout.plan
    bake_s = policy.bake_s if isinstance(policy, SequentialPolicy) else BAKE_S
    if plan is not None and plan.holdback_s is not None:
        bake_s = plan.holdback_s
    at = _at_weight(rollout, checked_weight(ALL - holdback))
    return replace(at, phase=Phase.BAKING, bake_until=now + timedelta(seconds=bake_s))


def _end_bake(state: Deployment, command: Command, now: datetime) -> Applied:
    rollout = _active(state)
    new = replace(state, rollout=_end(rollout, Phase.PROMOTED, command, now))
    facts: dict[str, object] = {"from": str(rollout.baseline), "to": str(rollout.canary)}
    if isinstance(command, EndBake):
        facts |= command.evidence
    return _changed(state, new, EventKind.BAKE_ENDED, command, now, **facts)


def _rollback(state: Deployment, command: Rollback, now: datetime) -> Applied:
    rollout = _active(state)
    new = replace(state, rollout=_end(rollout, Phase.ROLLED_BACK, command, now))
    facts: dict[str, object] = {"canary": str(rollout.canary), "baseline": str(rollout.baseline)}
    if rollout.phase is Phase.BAKING:
        new = replace(new, baseline=rollout.baseline, previous=state.previous[:-1])
        facts["promotion"] = "undone"
    return _changed(state, new, EventKind.ROLLED_BACK, command, now, **facts, weight=rollout.weight)


def _undo(state: Deployment, command: Undo, now: datetime) -> Applied:
    *older, target = state.previous
    new = replace(state, baseline=target, previous=tuple(older))
    facts = {"from": str(state.baseline), "to": str(target)}
    return _changed(state, new, EventKind.PROMOTION_UNDONE, command, now, **facts)


def _active(state: Deployment) -> Rollout:
    rollout = state.active
    if rollout is None:
        message = f"deployment {state.name!r} has no active rollout"
        raise AssertionError(message)
    return rollout


def _at_weight(rollout: Rollout, weight: float) -> Rollout:
    weights = (*rollout.weights, weight)[-WEIGHTS:]
    return replace(rollout, weight=weight, split_version=rollout.split_version + 1, weights=weights)


def _end(rollout: Rollout, phase: Phase, command: Command, now: datetime) -> Rollout:
    return replace(rollout, phase=phase, ended_at=now, reason=command.reason)


def _changed(
    old: Deployment, new: Deployment, kind: EventKind, command: Command, now: datetime, **data: object
) -> Applied:
    new = replace(new, generation=old.generation + 1)
    touched = new.rollout if new.rollout != old.rollout else new.active
    event = Event(
        deployment=new.name,
        generation=new.generation,
        kind=kind,
        at=now,
        actor=command.actor,
        reason=command.reason,
        rollout=touched.id if touched else "",
        data=data,
    )
    return new, (event,)


_VERBS: dict[type[Command], str] = {
    Create: "create",
    Configure: "configure",
    StartCanary: "start",
    Advance: "advance",
    Approve: "approve",
    EndBake: "end the bake",
    SetWeight: "set weight",
    Pause: "pause",
    Resume: "resume",
    Promote: "promote",
    Rollback: "rollback",
    Undo: "undo",
}
_ACTS = {
    "start": "start a canary on",
    "set weight": "set the canary's weight in",
    "rollback": "roll back",
    "approve": "approve a step of",
    "advance": "advance the plan of",
    "end the bake": "end the bake of",
    "undo": "undo a promotion of",
}
"""What a command does, where its name does not read as a verb before "deployment"."""
_APPLY: dict[type[Command], Callable[..., Applied]] = {
    Configure: _configure,
    StartCanary: _start,
    SetWeight: _set_weight,
    Advance: _advance,
    Approve: _approve,
    EndBake: _end_bake,
    Pause: _pause,
    Resume: _resume,
    Promote: _promote,
    Rollback: _rollback,
    Undo: _undo,
}
