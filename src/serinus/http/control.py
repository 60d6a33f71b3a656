"""The control plane's routes: models, deployments, commands."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from serinus.assembly import System
from serinus.core.commands import (
    Approve,
    Command,
    Configure,
    Create,
    Pause,
    Promote,
    Resume,
    Rollback,
    SetWeight,
    StartCanary,
    Undo,
)
from serinus.core.errors import Unavailable
from serinus.core.names import VersionRef
from serinus.core.policy import Settings
from serinus.core.records import Lineage, Once
from serinus.core.signature import Signature
from serinus.engine import Done, Given
from serinus.http import documents, schemas, standing
from serinus.http.documents import Document
from serinus.http.problems import TooLarge

Name = Annotated[str, Path(description="The deployment's name", examples=["heart-prod"], max_length=63)]
Model = Annotated[str, Path(description="The model's name", examples=["heart"], max_length=63)]


def the_system(request: Request) -> System:
    """Give the running system to a route."""
    system: System = request.app.state.system
    return system


def the_actor(
    actor: Annotated[
        str,
        Header(alias="X-Serinus-Actor", max_length=100, description="Who asks, for the timeline", examples=["ada"]),
    ] = "api",
) -> str:
    """Say who asks."""
    return actor.strip() or "api"


async def the_key(
    request: Request,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=200,
            pattern=r"^[!-~]+$",
            description="Makes the command happen once, however often it is sent",
            examples=["0b5c9a4e"],
        ),
    ] = None,
) -> Once | None:
    """Say under which key a command happens once, with a fingerprint of what was asked."""
    if key is None:
        return None
    asked = f"{request.method} {request.url.path}\n".encode() + await request.body()
    return Once(key, hashlib.sha256(asked).hexdigest())


@dataclass(frozen=True, slots=True)
class Call:
    """A command's call: on which system, by whom, whether it is to happen once, and its answer as far as it is made."""

    system: Annotated[System, Depends(the_system)]
    actor: Annotated[str, Depends(the_actor)]
    once: Annotated[Once | None, Depends(the_key)]
    response: Response

    async def execute(self, name: str, command: Command, expected_generation: int | None) -> Document:
        """Carry out a command on a deployment."""
        given = Given(expected_generation=expected_generation, once=self.once)
        try:
            return self.told(await self.system.engine.execute(name, command, given))
        except Unavailable as trouble:
            if isinstance(command, Rollback):
                raise
            remedy = f"{trouble.remedy} A rollback works meanwhile, if the board answers."
            raise Unavailable(trouble.message, field=trouble.field, remedy=remedy) from trouble

    def told(self, done: Done) -> Document:
        """Describe what was done; 202 where the record follows."""
        if done.unrecorded:
            self.response.status_code = 202
        document = documents.of_done(done)
        return document | {"warnings": [*done.warnings, *standing.withheld(self.system, done.state)]}


In = Annotated[System, Depends(the_system)]
Actor = Annotated[str, Depends(the_actor)]
Commanded = Annotated[Call, Depends()]

models = APIRouter(tags=["models"])
deployments = APIRouter(prefix="/deployments", tags=["deployments"])


@models.put("/artifacts/{digest}", status_code=201, summary="Upload a model file")
async def upload_artifact(
    system: In,
    digest: Annotated[str, Path(pattern=r"^sha256:[0-9a-f]{64}$", description="sha256:<hex of the bytes>")],
    request: Request,
    response: Response,
) -> Document:
    """Keep a model file under its own digest; sending it again changes nothing (200)."""
    limit = system.settings.max_artifact_bytes
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > limit:
            raise TooLarge(
                f"The artifact is larger than {limit} bytes.",
                field="body",
                remedy="SERINUS_MAX_ARTIFACT_BYTES sets the limit.",
            )
    if not await system.registry.upload(digest, bytes(data)):
        response.status_code = 200
    return {"digest": digest, "size": len(data)}


@models.get("/models", summary="List the models")
async def list_models(system: In) -> Document:
    """List the models by name."""
    return {"models": [documents.of_summary(model) for model in await system.registry.models()]}


@models.get("/models/{model}/versions", summary="List a model's versions")
async def list_versions(system: In, model: Model) -> Document:
    """List a model's versions, oldest first."""
    return {"versions": [documents.of_version(each) for each in await system.registry.versions(model)]}


@models.get("/models/{model}/versions/{version}", summary="Look at a version")
async def get_version(
    system: In, model: Model, version: Annotated[int, Path(ge=1, le=schemas.LARGEST_VERSION)]
) -> Document:
    """Give one version with its signature, metrics and lineage."""
    return documents.of_version(await system.registry.version(VersionRef(model, version)))


@models.post("/models/{model}/versions", status_code=201, summary="Register a version")
async def register_version(call: Commanded, model: Model, body: schemas.VersionIn) -> Document:
    """Register an uploaded artifact as the model's next version; versions never change afterwards."""
    version = await call.system.registry.register_uploaded(
        model,
        body.artifact.digest,
        body.artifact.format,
        Signature.decoded(body.signature),
        examples=body.examples,
        metrics=body.metrics,
        parameters=body.parameters,
        tags=body.tags,
        description=body.description,
        lineage=Lineage(**body.lineage.model_dump()),
        created_by=call.actor,
        once=call.once,
    )
    return documents.of_version(version)


@deployments.get("", summary="List the deployments")
async def list_deployments(system: In) -> Document:
    """List the deployments by name; while the database is gone, as they were last seen."""
    return {"deployments": await standing.deployments(system)}


@deployments.post("", status_code=201, summary="Deploy a baseline")
async def create(call: Commanded, body: schemas.DeploymentIn) -> Document:
    """Serve a version under a new name; it has been loaded and has answered its examples when this returns."""
    command = Create(
        name=body.name,
        baseline=VersionRef(body.model, body.version),
        settings=body.settings.over(Settings()),
        actor=call.actor,
        reason=body.reason,
    )
    return call.told(await call.system.engine.create(command, call.once))


@deployments.get("/{name}", summary="Look at a deployment")
async def get_deployment(system: In, name: Name) -> Document:
    """Give a deployment's state, and as ``warnings`` what its owner should know; see also ``/health/ready``."""
    return await standing.deployment(system, name)


@deployments.patch("/{name}", summary="Change a deployment's settings")
async def configure(call: Commanded, name: Name, body: schemas.SettingsChange) -> Document:
    """Change switches or policy; what is left out stays as it is."""
    state = await call.system.engine.deployment(name)
    command = Configure(settings=body.settings.over(state.settings), actor=call.actor, reason=body.reason)
    # The new settings rest on the state that was read, so a change in between must not pass unseen.
    expected = body.expected_generation if body.expected_generation is not None else state.generation
    return await call.execute(name, command, expected)


@deployments.post(
    "/{name}/canary",
    status_code=201,
    summary="Start a canary",
    responses={200: {"description": "What it would come to: a dry run changes nothing"}},
)
async def start(call: Commanded, name: Name, body: schemas.CanaryIn) -> Document:
    """Load, warm and check a version, then give it its first share of the traffic.

    With ``dry_run`` it is given none, and the answer (200) is what would come of it; it is refused just the same.
    """
    plan, weight = body.way()
    model = body.model if body.model is not None else (await call.system.engine.deployment(name)).baseline.model
    command = StartCanary(
        canary=VersionRef(model, body.version),
        weight=weight,
        plan=plan,
        replace=body.replace,
        actor=call.actor,
        reason=body.reason,
    )
    if body.dry_run:
        call.response.status_code = 200
        rehearsed = await call.system.engine.rehearse(name, command, body.expected_generation)
        warnings = [*rehearsed.warnings, *standing.withheld(call.system, rehearsed.state)]
        return documents.of_rehearsed(rehearsed) | {"warnings": warnings}
    return await call.execute(name, command, body.expected_generation)


@deployments.patch("/{name}/traffic", summary="Set the canary's share")
async def set_weight(call: Commanded, name: Name, body: schemas.TrafficIn) -> Document:
    """Give the canary another share; the next request sent after the answer is routed by it."""
    command = SetWeight(weight=body.weight, actor=call.actor, reason=body.reason)
    return await call.execute(name, command, body.expected_generation)


def _simple(verb: str, summary: str, make: Callable[..., Command]) -> None:
    async def route(call: Commanded, name: Name, body: schemas.CommandIn | None = None) -> Document:
        asked = body or schemas.CommandIn()
        command = make(actor=call.actor, reason=asked.reason)
        return await call.execute(name, command, asked.expected_generation)

    description = (make.__doc__ or "").strip()
    deployments.post(f"/{{name}}/{verb}", summary=summary, description=description, name=verb)(route)


_simple("pause", "Pause the rollout", Pause)
_simple("resume", "Resume the rollout", Resume)
_simple("approve", "Give a person's word for the step that the plan waits at", Approve)
_simple("promote", "Make the canary the baseline", Promote)
_simple("rollback", "End the rollout with all traffic on the baseline", Rollback)
_simple("undo", "Return to the version before the last promotion", Undo)


@deployments.get("/{name}/rollouts", summary="List the rollouts")
async def list_rollouts(system: In, name: Name, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> Document:
    """List a deployment's rollouts, newest first."""
    await system.engine.deployment(name)
    return {"rollouts": [documents.of_rollout(each) for each in await system.store.rollouts(name, limit=limit)]}
