"""The command that leads from what is, or was, deployed to the data that it was trained on."""

from typing import Annotated, Any

import typer

from serinus.cli.session import DeploymentName, Output, Session, Url, connected
from serinus.cli.values import rollout_id
from serinus.core.errors import InvalidInput
from serinus.core.names import VersionRef

Document = dict[str, Any]
GENERATIONS = 16
"""So many parents of a version are looked up at most."""


def trace(
    ctx: typer.Context,
    deployment: DeploymentName,
    rollout: Annotated[
        str | None, typer.Option("--rollout", metavar="N", help="Of its N-th rollout; else of the last one.")
    ] = None,
    version: Annotated[
        str | None, typer.Option("--version", metavar="MODEL@N", help="Of this version, as it was last there.")
    ] = None,
    output: Output = None,
    url: Url = None,
) -> None:
    """Show where a deployment's versions come from: rollout, training run, commit, parents, data.

    Example: canary trace heart-prod --rollout 3
    """
    if rollout is not None and version is not None:
        raise InvalidInput(
            "--rollout and --version were both given.", field="--version", remedy="Give one of them, or neither."
        )
    from serinus.cli.display.trace import trace_view

    with connected(ctx, url, output) as session:
        state = session.client.deployment(deployment)
        if version is not None:
            document = _of_version(session, state, VersionRef.parse(version))
        else:
            wanted = _last(state) if rollout is None else _named(deployment, rollout)
            document = _of_rollout(session, state, wanted)
        session.show(document, trace_view)


def _last(state: Document) -> str | None:
    return str(state["rollout"]["id"]) if state.get("rollout") else None


def _named(deployment: str, text: str) -> str:
    name, number = rollout_id(text if ":" in text else f"{deployment}:{text}")
    if name != deployment:
        raise InvalidInput(
            f"The rollout {text} is one of {name}, not of {deployment}.",
            field="--rollout",
            remedy=f"Ask for it with: canary trace {name} --rollout {number}",
        )
    return f"{name}:{number}"


def _of_rollout(session: Session, state: Document, wanted: str | None) -> Document:
    """Trace both versions of a rollout; the baseline alone where there was none yet."""
    if wanted is None:
        return _traced(session, state, {"baseline": str(state["baseline"])}, None)
    explained = session.client.explain(str(state["name"]), wanted)
    rollout = explained["rollout"]
    roles = {"canary": str(rollout["canary"]), "baseline": str(rollout["baseline"])}
    return _traced(session, state, roles, explained)


def _of_version(session: Session, state: Document, ref: VersionRef) -> Document:
    """Trace one version, by the last rollout that it was in."""
    name, text = str(state["name"]), str(ref)
    rollouts = session.client.rollouts(name)["rollouts"]
    for role in ("canary", "baseline"):
        for each in rollouts:
            if each.get(role) == text:
                return _traced(session, state, {role: text}, session.client.explain(name, str(each["id"])))
    if text in {state.get("baseline"), *state.get("previous", [])}:
        return _traced(session, state, {"baseline": text}, None)
    raise InvalidInput(
        f"{text} was never in {name}.",
        field="--version",
        remedy=f"See which were: canary history {name} --kind canary_started",
    )


def _traced(session: Session, state: Document, roles: dict[str, str], explained: Document | None) -> Document:
    decisions = (explained or {}).get("decisions") or [None]
    last = decisions[-1]
    facts = ("kind", "at", "actor", "reason")
    return {
        "deployment": state["name"],
        "serves": state["baseline"],
        "rollout": explained["rollout"] if explained else None,
        "decision": {fact: last.get(fact) for fact in facts} if last else None,
        "versions": {role: _line(session, ref) for role, ref in roles.items()},
    }


def _line(session: Session, ref: str) -> list[Document]:
    """Give a version and, one after the other, those that it was made from, as far as they are registered."""
    line: list[Document] = []
    while ref and len(line) < GENERATIONS and ref not in {each["ref"] for each in line}:
        found = _found(session, ref)
        line.append(found)
        ref = found["parent"]
    return line


def _found(session: Session, ref: str) -> Document:
    from serinus.client import NotFoundError

    try:
        known = session.client.version(VersionRef.parse(ref))
    except (NotFoundError, InvalidInput):  # a parent is what its trainer called it
        return {"ref": ref, "registered": False, "parent": ""}
    lineage = known.get("lineage") or {}
    return {
        "ref": known["ref"],
        "registered": True,
        "created_at": known.get("created_at"),
        "created_by": known.get("created_by"),
        "digest": known.get("digest"),
        "metrics": known.get("metrics"),
        "run_id": lineage.get("run_id") or "",
        "git_commit": lineage.get("git_commit") or "",
        "dataset_digest": lineage.get("dataset_digest") or "",
        "parent": lineage.get("parent") or "",
    }
