"""The whole HTTP application: who may speak to it, what it answers, and the life of the system behind it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from serinus import __version__
from serinus.assembly import System
from serinus.core.errors import SerinusError
from serinus.gateway import Gateway
from serinus.http import control, evidence, invocations, oip, oip_metadata, operations, problems, stream, timeline
from serinus.http.asgi import Application
from serinus.http.front import Front
from serinus.http.guard import LoopbackGuard
from serinus.http.hot import STATE, HotRoute
from serinus.http.limits import BodyLimit
from serinus.http.openapi import PROBLEM, predict_path
from serinus.http.openapi_rows import row_paths
from serinus.http.predict import PredictRoute
from serinus.settings import ServerSettings

DESCRIPTION = """Safe, automatic releases of model versions: a canary gets a share of live traffic, is compared with
the baseline without pause, and is promoted or rolled back by the evidence.

Errors are RFC 9457 problem documents with a stable `code`; a command that does not fit the present state is a 409 that
names the state and what is possible in it. Commands accept `expected_generation`."""


Enter = Callable[[], AbstractAsyncContextManager[System]]
"""Makes the system; it is entered when the server starts and left when it has drained."""


def application(settings: ServerSettings, plane: FastAPI, *, loopback_only: bool) -> Application:
    """Put the prediction route and the limits around a control plane: the whole ASGI application."""
    limit = settings.max_request_bytes
    gateway = partial(_gateway, plane)
    others: Application = BodyLimit(plane, limit)
    for protocol, answer in ((invocations.PATHS, invocations.invoke), (oip.PATHS, oip.infer)):
        others = Front(others, gateway, limit, protocol, answer)
    route = PredictRoute(others, gateway, limit)
    return LoopbackGuard(route) if loopback_only else route


def control_plane(
    system: Enter, *, serves: bool = True, route: Callable[[System], HotRoute | None] | None = None
) -> FastAPI:
    """Make all of it but the prediction route and the limits around it; without ``serves``, health and metrics only.

    ``app.state.draining`` is set when the server is about to end. ``route`` makes the short way of predictions.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, HotRoute]]:
        async with system() as made:
            app.state.system = made
            hot = route(made) if route is not None else None
            yield {} if hot is None else {STATE: hot}

    app = FastAPI(
        title="Serinus",
        version=__version__,
        summary="Canary releases of machine-learning models, decided by evidence",
        description=DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        responses={"4XX": PROBLEM, "5XX": PROBLEM},
    )
    app.include_router(operations.router)
    if serves:
        app.include_router(control.models)
        app.include_router(control.deployments)
        app.include_router(evidence.evidence)
        app.include_router(oip_metadata.router)
        app.include_router(timeline.router)
        app.include_router(stream.router)
    app.add_exception_handler(SerinusError, _on_serinus_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_error if serves else _on_checkers_http_error)
    app.add_exception_handler(Exception, _on_unexpected)
    if serves:
        app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _gateway(app: FastAPI) -> Gateway | None:
    system: System | None = getattr(app.state, "system", None)
    return system.gateway if system else None


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
        )
        schema["paths"]["/predict/{deployment}"] = predict_path()
        schema["paths"] |= row_paths()
        app.openapi_schema = schema
    return app.openapi_schema


def _answer(error: SerinusError, request: Request) -> Response:
    return Response(
        problems.encoded(error, request.url.path),
        problems.status_of(error),
        problems.headers(error),
        problems.MEDIA_TYPE,
    )


async def _on_serinus_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, SerinusError):
        raise error
    return _answer(error, request)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestValidationError):
        raise error
    return _answer(problems.of_validation(error.errors()), request)


async def _on_http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    reason = problems.OfStatus(
        error.status_code, HTTPStatus(error.status_code).phrase, request.method, request.url.path
    )
    answer = _answer(reason, request)
    answer.headers.update(error.headers or {})
    return answer


async def _on_checkers_http_error(request: Request, error: Exception) -> Response:
    if request.url.path.split("/")[1] in _OF_GATEWAYS:
        return _answer(problems.OnlyChecks(request.method, request.url.path), request)
    return await _on_http_error(request, error)


_OF_GATEWAYS = {"artifacts", "models", "deployments", "predict", "v2", "invocations", "events", "production"}
"""What the paths begin with that a checker does not have."""


async def _on_unexpected(request: Request, error: Exception) -> Response:
    return _answer(problems.explained(error, request.url.path), request)
