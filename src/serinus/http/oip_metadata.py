"""GET /v2…: what the Open Inference Protocol tells of the server and of its models."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from serinus import __version__
from serinus.assembly import System
from serinus.core.errors import Unavailable
from serinus.core.signature import Feature
from serinus.gateway.arms import Arm
from serinus.gateway.pinning import number, pinned, versions
from serinus.gateway.served import Served
from serinus.http import operations
from serinus.http.control import In
from serinus.http.documents import Document
from serinus.http.oip import outputs_of
from serinus.http.oip_tensors import OF_FEATURES

router = APIRouter(prefix="/v2", tags=["open inference protocol"])

EXTENSIONS = ["binary_tensor_data", "parameters"]
Deployment = Annotated[str, Path(description="The deployment's name", examples=["heart-prod"], max_length=63)]
Version = Annotated[str, Path(description="The version's number, or MODEL@NUMBER", examples=["2"], max_length=80)]


@router.get("", summary="See what the server is")
async def server() -> Document:
    """Give the server's name, version and the extensions of the protocol that it knows."""
    return {"name": "serinus", "version": __version__, "extensions": EXTENSIONS}


@router.get("/health/live", summary="Is the server alive?")
async def live() -> Document:
    """Answer as long as the process can."""
    return {"live": True}


@router.get("/health/ready", summary="Can the server infer?")
async def ready(request: Request, system: In, response: Response) -> Document:
    """Say whether every deployment can be asked; 503 where not, as GET /health/ready."""
    state = await operations.ready(request, system, response)
    if state["status"] == "not_ready":
        raise Unavailable(
            "Not every deployment can be asked now.",
            remedy="GET /health/ready tells what is missing.",
            ready=False,
            checks=state["checks"],
        )
    return {"ready": True}


@router.get("/models/{deployment}", summary="See what a deployment takes and gives")
async def model(system: In, deployment: Deployment) -> Document:
    """Give inputs and outputs as tensors, and the versions that a path may pin."""
    served = _served(system, deployment)
    return _described(served, served.baseline)


@router.get("/models/{deployment}/ready", summary="Can a deployment be asked?")
async def model_ready(system: In, deployment: Deployment) -> Document:
    """Say that a deployment can be asked; 404 and 503 where it cannot."""
    _served(system, deployment)
    return {"name": deployment, "ready": True}


@router.get("/models/{deployment}/versions/{version}", summary="See what a version takes and gives")
async def model_version(system: In, deployment: Deployment, version: Version) -> Document:
    """Give the same of a version that a path may pin."""
    served = _served(system, deployment)
    arm = pinned(served, version)
    return _described(served, arm) | {"versions": [number(arm)]}


@router.get("/models/{deployment}/versions/{version}/ready", summary="Can a version be asked?")
async def version_ready(system: In, deployment: Deployment, version: Version) -> Document:
    """Say that a version can be pinned; 404, 409 and 503 where it cannot."""
    pinned(_served(system, deployment), version)
    return {"name": deployment, "version": version, "ready": True}


def _served(system: System, deployment: str) -> Served:
    if system.gateway is None:
        raise Unavailable("No gateway runs here.", remedy="Ask a gateway, which `canary serve` runs.")
    return system.gateway.serving(deployment)


def _described(served: Served, arm: Arm) -> Document:
    """Describe an arm; rows are read by the baseline's signature, whichever it is."""
    signature = served.baseline.predictor.version.signature
    outputs = outputs_of(signature.output)
    return {
        "name": served.state.name,
        "versions": versions(served),
        "platform": f"serinus_{arm.predictor.version.draft.format}",
        "inputs": [_input(feature) for feature in signature.features],
        "outputs": [{"name": name, "datatype": datatype, "shape": [-1]} for name, datatype in outputs.items()],
    }


def _input(feature: Feature) -> Document:
    tensor: Document = {"name": feature.name, "datatype": OF_FEATURES[feature.dtype], "shape": [-1]}
    return tensor | {"parameters": {"nullable": True}} if feature.nullable else tensor
