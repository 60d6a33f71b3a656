"""Routes for those who run the server: health and metrics."""

from collections.abc import Mapping

from fastapi import APIRouter, Response

from serinus import __version__
from serinus.core.errors import SerinusError
from serinus.http.control import In
from serinus.http.documents import Document

router = APIRouter(tags=["operations"])

STUCK_AFTER_INTERVALS = 10
STUCK_AFTER_S = 10.0


@router.get("/health", summary="See whether the server is well")
async def health(system: In) -> Document:
    """Say in short how the server does."""
    return {
        "status": "ok",
        "version": __version__,
        "deployments": len(system.gateway.served()),
        "uptime_s": round((system.now() - system.started_at).total_seconds(), 3),
    }


@router.get("/health/live", summary="Is the process alive?")
async def live() -> Document:
    """Answer as long as the process can."""
    return {"status": "ok"}


@router.get("/health/ready", summary="Can it serve?")
async def ready(system: In, response: Response) -> Document:
    """Say whether every live deployment's models are loaded and what the server needs answers; 503 if not."""
    checks = {"store": "ok", "models": "ok", "checker": "ok"}
    try:
        await system.store.ping()
    except SerinusError as trouble:
        checks["store"] = str(trouble)
    served = {each.state.name for each in system.gateway.served()}
    troubles = system.gateway.troubles()
    if not system.gateway.ready:
        checks["models"] = "being loaded"
    elif troubles.keys() - served:
        checks["models"] = _listed({name: why for name, why in troubles.items() if name not in served})
    allowed = max(STUCK_AFTER_S, STUCK_AFTER_INTERVALS * system.settings.check_interval)
    silent = (system.now() - (system.checker.ticked_at or system.started_at)).total_seconds()
    if silent > allowed:
        checks["checker"] = f"no round of health checks for {silent:.0f} s"
    well = all(state == "ok" for state in checks.values())
    if troubles.keys() & served:
        # The baseline serves: taking the server out for what a canary lacks would harm it.
        checks["rollouts"] = _listed({name: why for name, why in troubles.items() if name in served})
    response.status_code = 200 if well else 503
    return {"status": "ready" if well else "not_ready", "checks": checks}


def _listed(troubles: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in sorted(troubles.items()))


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(system: In) -> Response:
    """Give the metrics in Prometheus' text format."""
    return Response(system.telemetry.exposition(), media_type=system.telemetry.content_type)
