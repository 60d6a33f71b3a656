"""A small Serinus server for tests of its clients: the real life cycle, kept in memory, on a real socket."""

import hashlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from serinus.core import commands, lifecycle
from serinus.core.deployment import Deployment, Rollout
from serinus.core.errors import Conflict, InvalidInput, NotFound, SerinusError, StaleGeneration
from serinus.core.events import Event
from serinus.core.names import VersionRef
from serinus.core.plan import Plan
from serinus.core.policy import Settings, policy_over, policy_values
from serinus.core.presets import PRESETS
from serinus.plans import plan_of, to_document

Document = dict[str, Any]


@dataclass
class Seen:
    """A request as it arrived."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeServer:
    """The server's state, which a test may look at and change."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    versions: dict[str, list[Document]] = field(default_factory=dict)
    states: dict[str, Deployment] = field(default_factory=dict)
    events: list[Document] = field(default_factory=list)
    health: dict[str, Document] = field(default_factory=dict)
    metrics: dict[str, Document] = field(default_factory=dict)
    forecast: Document = field(default_factory=dict)
    explanations: dict[str, Document] = field(default_factory=dict)
    looks: dict[str, list[Document]] = field(default_factory=dict)
    prediction: Document = field(default_factory=dict)
    unacknowledged: list[str] = field(default_factory=list)
    answer_instead: Callable[[], Response | Awaitable[Response]] | None = None

    def forget(self) -> None:
        """Become as new, at the same URL."""
        vars(self).update(vars(FakeServer(url=self.url)))

    def add_version(self, ref: str, **facts: Any) -> Document:
        parsed = VersionRef.parse(ref)
        version: Document = {
            "model": parsed.model,
            "version": parsed.version,
            "ref": ref,
            "digest": "sha256:" + hashlib.sha256(ref.encode()).hexdigest(),
            "size": 12_345,
            "format": "skops",
            "signature": {
                "features": [{"name": "age", "dtype": "int", "nullable": False}],
                "output": {"kind": "class", "classes": [0, 1], "class_names": ["healthy", "ill"]},
            },
            "examples": 8,
            "metrics": {"accuracy": 0.852},
            "parameters": {},
            "tags": {},
            "description": "",
            "lineage": {},
            "created_at": _now().isoformat(),
            "created_by": "ann",
        } | facts
        self.versions.setdefault(parsed.model, []).append(version)
        return version

    def add_deployment(self, name: str, baseline: str, **settings: Any) -> None:
        self.apply(
            None,
            commands.Create(actor="ann", name=name, baseline=VersionRef.parse(baseline), settings=Settings(**settings)),
        )

    def start_canary(self, name: str, canary: str, weight: float) -> None:
        self.apply(name, commands.StartCanary(actor="ann", canary=VersionRef.parse(canary), weight=weight))

    def apply(self, name: str | None, command: commands.Command) -> Deployment:
        state = self.states.get(name) if name is not None else None
        if isinstance(command, commands.Create):
            state = self.states.get(command.name)
        new, events = lifecycle.apply(state, command, _now())
        self.states[new.name] = new
        for event in events:
            self.record(event)
        return new

    def record(self, event: Event) -> None:
        document = asdict(event) | {"id": len(self.events) + 1, "at": event.at.isoformat()}
        self.events.append(document)

    def start_answering_nonsense(self) -> None:
        """Answer as a proxy does while the server behind it restarts."""
        self.answer_instead = lambda: Response("restarting", 502)

    def named(self, name: str) -> Deployment:
        if name not in self.states:
            raise NotFound(f"There is no deployment {name!r}.", remedy="Create it first.")
        return self.states[name]


def _now() -> datetime:
    return datetime.now(UTC)


def deployment_document(state: Deployment, unacknowledged: list[str]) -> Document:
    return {
        "name": state.name,
        "status": state.status,
        "generation": state.generation,
        "baseline": str(state.baseline),
        "previous": [str(ref) for ref in state.previous],
        "created_at": state.created_at.isoformat(),
        "settings": asdict(state.settings),
        "rollout": rollout_document(state.rollout) if state.rollout else None,
        "possible": list(lifecycle.possible(state)),
        "unacknowledged": unacknowledged,
    }


def rollout_document(rollout: Rollout) -> Document:
    own = {name: getattr(rollout, name) for name in ("id", "weight", "phase", "split_version", "reason")}
    return own | {
        "canary": str(rollout.canary),
        "baseline": str(rollout.baseline),
        "started_at": rollout.started_at.isoformat(),
        "ended_at": rollout.ended_at.isoformat() if rollout.ended_at else None,
        "plan": plan_document(rollout),
        "bake_until": rollout.bake_until.isoformat() if rollout.bake_until else None,
    }


def plan_document(rollout: Rollout) -> Document | None:
    plan, progress = rollout.plan, rollout.progress
    if plan is None or progress is None:
        return None
    return {
        "name": plan.name,
        "steps": [str(step) for step in plan.steps],
        "step": progress.step,
        "step_at": progress.entered_at.isoformat(),
        "waiting_for_approval": rollout.waits_for_approval,
        "document": to_document(plan),
    }


def _problem(error: SerinusError) -> Response:
    status = 404 if isinstance(error, NotFound) else 409 if isinstance(error, Conflict) else 422
    status = status if isinstance(error, NotFound | Conflict | InvalidInput) else 500
    document = {
        "type": "about:blank",
        "title": error.title,
        "status": status,
        "detail": error.message,
        "code": error.code,
        "instance": "/",
        "field": error.field,
        "remedy": error.remedy,
    }
    return JSONResponse(document | error.details, status, media_type="application/problem+json")


class _Api:
    """The routes."""

    def __init__(self, server: FakeServer) -> None:
        self.server = server

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": "0", "deployments": 0, "uptime_s": 1.0})

    async def put_artifact(self, request: Request) -> Response:
        data = await request.body()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if digest != request.path_params["digest"]:
            raise InvalidInput("The digest is another.", field="digest")
        self.server.artifacts[digest] = data
        return JSONResponse({"digest": digest, "size": len(data)}, 201)

    async def models(self, request: Request) -> Response:
        models = [
            {"name": name, "versions": len(all_), "latest": all_[-1]["ref"], "updated_at": all_[-1]["created_at"]}
            for name, all_ in self.server.versions.items()
        ]
        return JSONResponse({"models": models})

    async def versions(self, request: Request) -> Response:
        return JSONResponse({"versions": self._versions(request)})

    async def version(self, request: Request) -> Response:
        for version in self._versions(request):
            if version["version"] == request.path_params["number"]:
                return JSONResponse(version)
        raise NotFound("There is no such version.")

    def _versions(self, request: Request) -> list[Document]:
        name = request.path_params["name"]
        if name not in self.server.versions:
            raise NotFound(f"There is no model {name!r}.")
        return self.server.versions[name]

    async def create_version(self, request: Request) -> Response:
        name, body = request.path_params["name"], await request.json()
        number = len(self.server.versions.get(name, [])) + 1
        facts = {key: value for key, value in body.items() if key not in {"artifact", "examples"}}
        version = self.server.add_version(
            f"{name}@{number}",
            **facts,
            digest=body["artifact"]["digest"],
            format=body["artifact"]["format"],
            examples=len(body["examples"]),
            created_by=request.headers.get("x-serinus-actor", "unknown"),
        )
        return JSONResponse(version, 201)

    async def deployments(self, request: Request) -> Response:
        return JSONResponse({"deployments": [self._document(state) for state in self.server.states.values()]})

    async def create_deployment(self, request: Request) -> Response:
        body = await request.json()
        state = self.server.apply(
            None,
            commands.Create(
                actor=self._actor(request),
                name=body["name"],
                baseline=VersionRef(body["model"], body["version"]),
                settings=_settings(Settings(), body.get("settings", {})),
            ),
        )
        return JSONResponse(self._document(state), 201)

    async def deployment(self, request: Request) -> Response:
        return JSONResponse(self._document(self._state(request)))

    async def configure(self, request: Request) -> Response:
        state, body = self._state(request), await request.json()
        return self._command(request, body, commands.Configure(settings=_settings(state.settings, body["settings"])))

    async def canary(self, request: Request) -> Response:
        state, body = self._state(request), await request.json()
        if ("weight" in body) == ("plan" in body):
            raise InvalidInput("Give a weight or a plan.", field="weight")
        if body.get("replace") and state.active:
            self.server.apply(state.name, commands.Rollback())
        return self._command(
            request,
            body,
            commands.StartCanary(
                canary=VersionRef(body.get("model") or state.baseline.model, body["version"]),
                weight=body.get("weight", 0.0),
                plan=_plan(body["plan"]) if "plan" in body else None,
            ),
            201,
        )

    async def traffic(self, request: Request) -> Response:
        body = await request.json()
        return self._command(request, body, commands.SetWeight(weight=body["weight"]))

    async def verb(self, request: Request) -> Response:
        kinds = {
            "pause": commands.Pause,
            "resume": commands.Resume,
            "approve": commands.Approve,
            "promote": commands.Promote,
            "rollback": commands.Rollback,
            "undo": commands.Undo,
        }
        return self._command(request, await request.json(), kinds[request.path_params["verb"]]())

    async def rollouts(self, request: Request) -> Response:
        rollout = self._state(request).rollout
        return JSONResponse({"rollouts": [rollout_document(rollout)] if rollout else []})

    async def events(self, request: Request) -> Response:
        name, query = self._state(request).name, request.query_params
        newest, limit, kinds = query.get("order") == "desc", int(query["limit"]), query.getlist("kind")
        events = [
            event
            for event in (reversed(self.server.events) if newest else self.server.events)
            if event["deployment"] == name and (not kinds or event["kind"] in kinds)
        ]
        more = events[limit - 1]["id"] if len(events) > limit else None
        return JSONResponse({"events": events[:limit], "next": more})

    async def deployment_health(self, request: Request) -> Response:
        state = self._state(request)
        nothing: Document = {
            "deployment": state.name,
            "status": state.status,
            "rollout": state.active.id if state.active else None,
            "health": None,
            "recommendation": None,
            "reason": None,
            "action": None,
            "checked_at": None,
            "baseline": None,
            "canary": None,
            "policy": policy_values(state.settings.policy),
        }
        return JSONResponse(nothing | self.server.health.get(state.name, {}))

    async def explain(self, request: Request) -> Response:
        state = self._state(request)
        rollout = rollout_document(state.rollout) if state.rollout else None
        nothing: Document = {
            "deployment": state.name,
            "rollout": rollout,
            "policy": policy_values(state.settings.policy),
        }
        return JSONResponse({**nothing, "decisions": []} | self.server.explanations.get(state.name, {}))

    async def looks(self, request: Request) -> Response:
        state, query = self._state(request), request.query_params
        rollout, limit = f"{state.name}:{request.path_params['number']}", int(query["limit"])
        rest = [look for look in self.server.looks.get(rollout, []) if look["id"] > int(query["after"])]
        started_at = state.rollout.started_at.isoformat() if state.rollout else None
        more = rest[limit - 1]["id"] if len(rest) > limit else None
        return JSONResponse({"rollout": rollout, "started_at": started_at, "looks": rest[:limit], "next": more})

    async def deployment_forecast(self, request: Request) -> Response:
        self._state(request)
        return JSONResponse(self.server.forecast)

    async def deployment_metrics(self, request: Request) -> Response:
        state = self._state(request)
        nothing: Document = {"deployment": state.name, "rollout": None, "since": None, "baseline": {}, "canary": None}
        return JSONResponse(nothing | self.server.metrics.get(state.name, {}))

    async def predict(self, request: Request) -> Response:
        state, body = self._state(request), await request.json()
        if "age" not in body["features"]:
            raise InvalidInput("age is missing.", field="features.age", remedy="Send exactly: age.")
        answer = {
            "prediction_id": "p-1",
            "model_role": "baseline",
            "prediction": 1,
            "prediction_class": "ill",
            "confidence": 0.875,
            "latency_ms": 2.5,
            "model_version": str(state.baseline),
            "failover": False,
        }
        return JSONResponse(answer | self.server.prediction)

    def _state(self, request: Request) -> Deployment:
        return self.server.named(request.path_params["name"])

    def _actor(self, request: Request) -> str:
        return request.headers.get("x-serinus-actor", "unknown")

    def _command(self, request: Request, body: Document, command: commands.Command, status: int = 200) -> Response:
        state = self._state(request)
        expected = body.get("expected_generation")
        if expected not in {None, state.generation}:
            raise StaleGeneration(f"{state.name!r} is at generation {state.generation}, not {expected}.")
        command = replace(command, actor=self._actor(request), reason=body.get("reason", ""))
        return JSONResponse(self._document(self.server.apply(state.name, command)), status)

    def _document(self, state: Deployment) -> Document:
        return deployment_document(state, self.server.unacknowledged)


def _settings(old: Settings, partial: Document) -> Settings:
    return replace(old, **(partial | {"policy": policy_over(old.policy, partial.get("policy", {}))}))


def _plan(given: object) -> Plan:
    return PRESETS[given] if isinstance(given, str) else plan_of(given)


def _application(server: FakeServer) -> Starlette:
    api = _Api(server)

    def route(method: str, path: str, handler: Callable[[Request], Any]) -> Route:
        async def handled(request: Request) -> Response:
            server.seen.append(
                Seen(
                    request.method,
                    request.url.path,
                    request.query_params.multi_items(),
                    dict(request.headers),
                    await request.body(),
                )
            )
            if server.answer_instead is not None:
                instead = server.answer_instead()
                return instead if isinstance(instead, Response) else await instead
            answer: Response = await handler(request)
            return answer

        return Route(path, handled, methods=[method])

    async def on_problem(request: Request, error: Exception) -> Response:
        assert isinstance(error, SerinusError)
        return _problem(error)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return JSONResponse({"detail": error.detail}, error.status_code)

    one, model = "/deployments/{name}", "/models/{name}/versions"
    return Starlette(
        routes=[
            route("GET", "/health", api.health),
            route("PUT", "/artifacts/{digest}", api.put_artifact),
            route("GET", "/models", api.models),
            route("GET", model, api.versions),
            route("POST", model, api.create_version),
            route("GET", model + "/{number:int}", api.version),
            route("GET", "/deployments", api.deployments),
            route("POST", "/deployments", api.create_deployment),
            route("GET", one, api.deployment),
            route("PATCH", one, api.configure),
            route("POST", one + "/canary", api.canary),
            route("PATCH", one + "/traffic", api.traffic),
            route("GET", one + "/rollouts", api.rollouts),
            route("GET", one + "/rollouts/{number:int}/looks", api.looks),
            route("GET", one + "/explain", api.explain),
            route("GET", one + "/events", api.events),
            route("GET", one + "/health", api.deployment_health),
            route("GET", one + "/metrics", api.deployment_metrics),
            route("GET", one + "/forecast", api.deployment_forecast),
            route("POST", one + "/{verb}", api.verb),
            route("POST", "/predict/{name}", api.predict),
        ],
        exception_handlers={SerinusError: on_problem, HTTPException: on_http},
    )


@contextmanager
def running(server: FakeServer, port: int = 0) -> Iterator[FakeServer]:
    """Serve ``server`` on a socket of this machine while the block runs."""
    config = uvicorn.Config(
        _application(server), host="127.0.0.1", port=port, log_level="critical", lifespan="off", ws="none"
    )
    process = uvicorn.Server(config)
    thread = threading.Thread(target=process.run, daemon=True)
    thread.start()
    while not process.started:
        assert thread.is_alive(), "the fake server did not start"
        time.sleep(0.005)
    server.url = f"http://127.0.0.1:{process.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        process.should_exit = True
        thread.join(10)
