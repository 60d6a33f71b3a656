"""How a deployment stands now: its state, and what keeps it from being in force."""

from serinus.assembly import System
from serinus.core.deployment import Deployment
from serinus.core.errors import Unavailable
from serinus.http import documents
from serinus.http.documents import Document


async def deployment(system: System, name: str) -> Document:
    """Describe a deployment; without the store as it was last seen here, if it was."""
    try:
        return described(system, await system.engine.deployment(name))
    except Unavailable as silence:
        seen = system.engine.record.seen(name)
        if seen is None:
            raise
        return described(system, seen, silence)


async def deployments(system: System) -> list[Document]:
    """Describe all deployments, by name; without the store as they were last seen here."""
    try:
        return [described(system, state) for state in await system.store.deployments()]
    except Unavailable as silence:
        seen = system.engine.record.last_seen()
        if not seen:
            raise
        return [described(system, state, silence) for state in seen]


def described(system: System, state: Deployment, silence: Unavailable | None = None) -> Document:
    """Describe a state as it is in force, with what its owner should know."""
    told = [f"This is how it was last seen: {silence.message}"] if silence else []
    in_force = system.engine.record.in_force(state)
    return documents.of_deployment(in_force) | {"warnings": [*told, *withheld(system, state)]}


def withheld(system: System, state: Deployment) -> list[str]:
    """Say why a canary has no traffic at all although its rollout gives it some."""
    active = state.active
    if active is None or not active.weight:
        return []
    cut = system.engine.record.split(state).cut
    if cut is not None:
        return [f"The canary gets no traffic: {cut.actor} rolled it back at {cut.at}. The record follows."]
    if not system.board.leased():
        seconds = f"{system.settings.canary_lease:g} s"
        why = f"no checker has judged for {seconds}, or this server does not hear of it"
        return [f"The canary gets no traffic: {why}. `canary check` starts one; `canary doctor` tells what is wrong."]
    trouble = system.gateway.troubles().get(state.name) if system.gateway else None
    return [f"Not all is well at the server that was asked: {trouble}."] if trouble else []
