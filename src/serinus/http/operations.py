"""Routes for those who run the server: health and metrics."""

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response

from serinus import __version__
from serinus.assembly import System
from serinus.dependencies import OK
from serinus.gateway import Gateway
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
        "deployments": len(system.gateway.served()) if system.gateway else 0,
        "uptime_s": round((system.now() - system.started_at).total_seconds(), 3),
    }


@router.get("/health/live", summary="Is the process alive?")
async def live() -> Document:
    """Answer as long as the process can."""
    return {"status": "ok"}


@router.get("/health/ready", summary="Can it serve?")
async def ready(request: Request, system: In, response: Response) -> Document:
    """Say whether it can do its work, and how each thing it rests on does.

    503 (``not_ready``) only where predictions cannot be answered, or where it is about to end: a store, a board or an
    artifact store that does not answer makes it ``degraded``, since every gateway would be taken out for it.
    """
    checks = dict(system.dependencies.states())
    serving = _of_models(system.gateway, checks) if system.gateway else True
    _of_checker(system, checks)
    if getattr(request.app.state, "draining", False):
        checks["server"] = "it is about to end, and takes no new connections"
        serving = False
    response.status_code = 200 if serving else 503
    well = all(state == OK for state in checks.values())
    return {"status": "not_ready" if not serving else "ready" if well else "degraded", "checks": checks}


def _of_models(gateway: Gateway, checks: dict[str, str]) -> bool:
    """Say how the models do; give whether every deployment is served."""
    served = {each.state.name for each in gateway.served()}
    troubles = gateway.troubles()
    missing = {name: why for name, why in troubles.items() if name not in served}
    checks["models"] = "being loaded" if not gateway.ready else _listed(missing) or OK
    if troubles.keys() & served:
        # The baseline serves: taking the server out for what a canary lacks would harm it.
        checks["rollouts"] = _listed({name: why for name, why in troubles.items() if name in served})
    return checks["models"] == OK


def _of_checker(system: System, checks: dict[str, str]) -> None:
    if system.checker is not None:
        allowed = max(STUCK_AFTER_S, STUCK_AFTER_INTERVALS * system.settings.check_interval)
        silent = (system.now() - (system.checker.ticked_at or system.started_at)).total_seconds()
        checks["checker"] = OK if silent <= allowed else f"no round of health checks for {silent:.0f} s"
    if system.gateway is not None:
        checks["lease"] = OK if system.board.leased() else "no checker judges canaries: they get no traffic"


def _listed(troubles: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in sorted(troubles.items()))


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(system: In) -> Response:
    """Give the metrics in Prometheus' text format."""
    return Response(system.telemetry.exposition(), media_type=system.telemetry.content_type)
