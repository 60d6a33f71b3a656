"""Each call of the API as a frozen value: what is sent and what it gives, without a word on how. No I/O here.

Every client sends these calls, and reads the answers with ``serinus.client.answers``. A function here becomes a method
of all of them by one line in ``serinus.client.endpoints``; its signature and its docstring are then the method's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Generic, Literal, TypedDict, TypeVar
from urllib.parse import quote

from serinus.client import results
from serinus.client.values import json_values
from serinus.core.errors import InvalidInput
from serinus.core.names import VersionRef, checked_name
from serinus.core.signature import Signature

if TYPE_CHECKING:  # what is on record takes long to import, and a client needs nothing of it
    from serinus.core.records import Lineage, Package

Document = dict[str, Any]
"""An answer of the API, as it came: JSON values by name."""

T_co = TypeVar("T_co", covariant=True)

PREDICTIONS = "/predict/"
CANARY_HEADER = "X-Canary"


class Repeat(Enum):
    """When a call may be sent again: whenever its answer is missing, or only if the server cannot have seen it."""

    SAFELY = "safely"
    IF_UNSENT = "if unsent"


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One request: ``path`` is below the base URL and quoted; ``json`` or ``content`` is the body.

    ``gives`` is the type of its result, None where that is the document itself; ``member`` names the part of the
    document that the result is. ``headers`` are sent besides those of every call.
    """

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    json: Document | None = field(default=None, repr=False)
    content: bytes | None = field(default=None, repr=False)
    gives: type[T_co] | None = None
    member: str = ""
    repeat: Repeat = Repeat.SAFELY
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def changes_something(self) -> bool:
        """Whether the server may have done something although its answer was lost."""
        return self.method != "GET"

    @property
    def takes_key(self) -> bool:
        """Whether it is a command, which happens once however often it is sent under one key."""
        return self.method in {"POST", "PATCH"} and not self.path.startswith(PREDICTIONS)


class About(TypedDict, total=False):
    """What is known of a version besides the model itself."""

    metrics: Mapping[str, float]
    parameters: Mapping[str, object]
    tags: Mapping[str, str]
    description: str
    lineage: "Lineage | results.Lineage"


class Packing(TypedDict, total=False):
    """How a model is packed: what ``serinus.formats.packing.pack`` takes besides the model.

    ``data`` is its training data, from which the signature and a few examples are read, ``target`` the column that is
    predicted; ``signature`` says it instead. ``class_names`` are names for people, one per class. ``onnx`` converts a
    scikit-learn estimator, if it is proved on ``data`` to answer as before, within ``onnx_tolerance``.
    """

    data: Any
    target: str | None
    signature: Signature | None
    examples: int
    format: str | None
    class_names: Sequence[str]
    allow_pickle: bool
    trusted_types: Sequence[str]
    allow_torchscript: bool
    onnx: bool
    onnx_tolerance: float


class Registration(About, Packing, total=False):
    """All that can be said of a model that is registered."""


# ------------------------------------------------------------------------------- the server and its models


def server_health() -> Call[results.ServerHealth]:
    """Ask whether the server is up."""
    return Call("GET", "/health", gives=results.ServerHealth)


def put_artifact(data: bytes) -> Call[results.Artifact]:
    """Upload a model file under its digest."""
    return Call("PUT", f"/artifacts/sha256:{sha256(data).hexdigest()}", content=data, gives=results.Artifact)


def models() -> Call[tuple[results.ModelSummary, ...]]:
    """List the models by name."""
    return Call("GET", "/models", gives=tuple[results.ModelSummary, ...], member="models")


def versions(model: str) -> Call[tuple[results.Version, ...]]:
    """List the versions of a model, oldest first."""
    return Call("GET", f"/models/{_part(model)}/versions", gives=tuple[results.Version, ...], member="versions")


def version(ref: VersionRef | str) -> Call[results.Version]:
    """Find one version: ``NAME@NUMBER``."""
    which = _ref(ref)
    return Call("GET", f"/models/{_part(which.model)}/versions/{which.version}", gives=results.Version)


def create_version(model: str, digest: str, package: "Package", about: About) -> Call[results.Version]:
    """Register an uploaded artifact as the next version of a model."""
    lineage = about.get("lineage") or results.Lineage()
    body: Document = {
        "artifact": {"digest": digest, "format": package.format},
        "signature": package.signature.encoded(),
        "examples": [list(row) for row in package.examples],
        "metrics": json_values(about.get("metrics", {}), "metrics"),
        "parameters": json_values({**about.get("parameters", {}), **package.parameters}, "parameters"),
        "tags": dict(about.get("tags", {})),
        "description": about.get("description", ""),
        "lineage": {name: getattr(lineage, name) for name in results.Lineage.__struct_fields__},
    }
    return Call("POST", f"/models/{_part(model)}/versions", json=body, gives=results.Version)


# ------------------------------------------------------------------------------------------- deployments


def deployments() -> Call[tuple[results.Deployment, ...]]:
    """List the deployments by name."""
    return Call("GET", "/deployments", gives=tuple[results.Deployment, ...], member="deployments")


def create_deployment(
    name: str,
    baseline: VersionRef | str,
    settings: Mapping[str, object] | None = None,
    *,
    reason: str | None = None,
) -> Call[results.Deployment]:
    """Serve ``baseline`` (``NAME@NUMBER``) under a new name; ``settings`` that are not given have their defaults."""
    ref = _ref(baseline)
    body = _given(name=name, model=ref.model, version=ref.version, settings=dict(settings or {}), reason=reason)
    return Call("POST", "/deployments", json=body, gives=results.Deployment)


def deployment(name: str) -> Call[results.Deployment]:
    """Look at one deployment."""
    return Call("GET", _deployment(name), gives=results.Deployment)


def configure(
    name: str, settings: Mapping[str, object], *, reason: str | None = None, expected_generation: int | None = None
) -> Call[results.Deployment]:
    """Change the settings that are given; the others stay."""
    body = _given(settings=dict(settings), reason=reason, expected_generation=expected_generation)
    return Call("PATCH", _deployment(name), json=body, gives=results.Deployment)


def start(  # noqa: PLR0913 - all that a canary can be started with
    name: str,
    version: int,
    weight: float | None = None,
    *,
    model: str = "",
    plan: str | Mapping[str, object] | None = None,
    replace: bool = False,
    reason: str | None = None,
    expected_generation: int | None = None,
) -> Call[results.Deployment]:
    """Start a canary with ``weight`` percent, or by ``plan``; ``model`` is the baseline's if it is not given.

    A plan is the name of one that is there from the start, or a plan's document. ``replace``: a canary under way is
    rolled back first.
    """
    given = plan if plan is None or isinstance(plan, str) else dict(plan)
    body = _given(
        version=version,
        model=model or None,
        weight=weight,
        plan=given,
        replace=replace or None,
        reason=reason,
        expected_generation=expected_generation,
    )
    return Call("POST", _deployment(name, "canary"), json=body, gives=results.Deployment)


def rehearse(
    name: str,
    version: int,
    weight: float | None = None,
    *,
    model: str = "",
    plan: str | Mapping[str, object] | None = None,
    replace: bool = False,
    expected_generation: int | None = None,
) -> Call[results.Rehearsal]:
    """Ask what ``start`` would come to, and change nothing; it is refused as that would be."""
    asked = start(
        name, version, weight, model=model, plan=plan, replace=replace, expected_generation=expected_generation
    )
    return Call("POST", asked.path, json={**(asked.json or {}), "dry_run": True}, gives=results.Rehearsal)


def set_weight(
    name: str, weight: float, *, reason: str | None = None, expected_generation: int | None = None
) -> Call[results.Deployment]:
    """Give the canary ``weight`` percent of the traffic."""
    body = _given(weight=weight, reason=reason, expected_generation=expected_generation)
    return Call("PATCH", _deployment(name, "traffic"), json=body, gives=results.Deployment)


def command(
    name: str, verb: str, *, reason: str | None = None, expected_generation: int | None = None
) -> Call[results.Deployment]:
    """Pause, resume, approve, promote, rollback or undo."""
    body = _given(reason=reason, expected_generation=expected_generation)
    return Call("POST", _deployment(name, verb), json=body, gives=results.Deployment)


def pause(name: str, *, reason: str | None = None, expected_generation: int | None = None) -> Call[results.Deployment]:
    """Hold the rollout where it is."""
    return command(name, "pause", reason=reason, expected_generation=expected_generation)


def resume(name: str, *, reason: str | None = None, expected_generation: int | None = None) -> Call[results.Deployment]:
    """Let the rollout go on."""
    return command(name, "resume", reason=reason, expected_generation=expected_generation)


def approve(
    name: str, *, reason: str | None = None, expected_generation: int | None = None
) -> Call[results.Deployment]:
    """Give a person's word for the step that the plan waits at."""
    return command(name, "approve", reason=reason, expected_generation=expected_generation)


def promote(
    name: str, *, reason: str | None = None, expected_generation: int | None = None
) -> Call[results.Deployment]:
    """Make the canary the baseline; while it bakes, end that now."""
    return command(name, "promote", reason=reason, expected_generation=expected_generation)


def rollback(
    name: str, *, reason: str | None = None, expected_generation: int | None = None
) -> Call[results.Deployment]:
    """Give all traffic to the baseline, at once; while a promotion bakes, undo it."""
    return command(name, "rollback", reason=reason, expected_generation=expected_generation)


def undo(name: str, *, reason: str | None = None, expected_generation: int | None = None) -> Call[results.Deployment]:
    """Return to the version before the last promotion."""
    return command(name, "undo", reason=reason, expected_generation=expected_generation)


# ----------------------------------------------------------------------------------------- what happened


def rollouts(name: str, *, limit: int = 100) -> Call[tuple[results.Rollout, ...]]:
    """List the rollouts of a deployment, newest first."""
    params = (("limit", str(limit)),)
    return Call("GET", _deployment(name, "rollouts"), params, gives=tuple[results.Rollout, ...], member="rollouts")


def events(
    name: str | None = None,
    *,
    after: int = 0,
    limit: int = 100,
    newest_first: bool = False,
    kinds: Iterable[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
) -> Call[results.EventsPage]:
    """Read a page of the timeline of a deployment, or of all.

    ``after`` is the id of the last event already seen (before, if newest first); ``since`` and ``until`` are aware.
    """
    params = [("limit", str(limit)), ("order", "desc" if newest_first else "asc")]
    if after:
        params.append(("after", str(after)))
    params += [("kind", kind) for kind in kinds]
    params += [(bound, at.isoformat()) for bound, at in (("since", since), ("until", until)) if at is not None]
    path = "/events" if name is None else _deployment(name, "events")
    return Call("GET", path, tuple(params), gives=results.EventsPage)


def event_stream(name: str | None = None, *, after: int = 0, kinds: Iterable[str] = ()) -> Call[results.Event]:
    """Read the timeline of a deployment, or of all, as it grows, from the event after ``after`` on."""
    params = [("after", str(after)), *([("deployment", _part(name))] if name is not None else [])]
    params += [("kind", kind) for kind in kinds]
    return Call("GET", "/events/stream", tuple(params), gives=results.Event)


def health(name: str) -> Call[results.Health]:
    """Ask how the canary does against the baseline, and why."""
    return Call("GET", _deployment(name, "health"), gives=results.Health)


def metrics(name: str, rollout: str = "", *, between: bool = False) -> Call[results.Metrics]:
    """Ask for requests, errors and latency of both arms in a rollout; by default in the active or last one.

    ``between``: instead of what was served outside of any rollout.
    """
    params = (("rollout", rollout),) if rollout else (("between", "true"),) if between else ()
    return Call("GET", _deployment(name, "metrics"), params, gives=results.Metrics)


def explain(name: str, rollout: str = "") -> Call[results.Explanation]:
    """Ask for the decisions of a rollout, each with what it rested on; by default of the active or last one."""
    params = (("rollout", rollout),) if rollout else ()
    return Call("GET", _deployment(name, "explain"), params, gives=results.Explanation)


def looks(name: str, rollout: int, *, after: int = 0, limit: int = 500) -> Call[results.LooksPage]:
    """List the looks that a rollout was judged by; ``after`` is the id of the last one already seen."""
    params = (("after", str(after)), ("limit", str(limit)))
    return Call("GET", _deployment(name, f"rollouts/{rollout:d}/looks"), params, gives=results.LooksPage)


def history(name: str, rollout: int, *, points: int = 200) -> Call[results.History]:
    """Ask for the n-th rollout over time: ``points`` of its checks at most, evenly spread, and their thresholds."""
    path = _deployment(name, f"rollouts/{rollout:d}/history")
    return Call("GET", path, (("points", str(points)),), gives=results.History)


def production(at: datetime | None = None) -> Call[results.ProductionEverywhere]:
    """Ask what every deployment had in production at an instant; by default now."""
    return Call("GET", "/production", _at(at), gives=results.ProductionEverywhere)


def production_of(name: str, at: datetime | None = None) -> Call[results.ProductionAt]:
    """Ask which versions of a deployment had the traffic at an instant, since when and by which event."""
    return Call("GET", _deployment(name, "production"), _at(at), gives=results.ProductionAt)


def forecast(
    name: str,
    weights: Iterable[float] = (),
    rate: float | None = None,
    *,
    plan: str = "",
    steps: Iterable[tuple[float, float]] = (),
    entities: float | None = None,
) -> Call[results.Forecast]:
    """Ask how long it would take to find a bad canary and to promote a good one.

    ``weights`` are shares in percent, ``rate`` is in requests per second. ``plan`` is the name of one that is there
    from the start; ``steps`` are those of another one, each a share in percent and the seconds that it pauses there.
    ``entities`` says how many there are where traffic is sticky, for each of them counts once.
    """
    params = [("weights", f"{weight:g}") for weight in weights]
    if rate is not None:
        params.append(("rate", f"{rate:g}"))
    if plan:
        params.append(("plan", plan))
    params += [("step", f"{weight:g}:{pause_s:.10g}") for weight, pause_s in steps]
    if entities is not None:
        params.append(("entities", f"{entities:.10g}"))
    return Call("GET", _deployment(name, "forecast"), tuple(params), gives=results.Forecast)


def predict(
    name: str,
    features: Mapping[str, object],
    entity_id: str | None = None,
    *,
    retry: bool = False,
    canary: Literal["always", "never"] | None = None,
) -> Call[results.Prediction]:
    """Ask for one prediction; a feature that is NaN is sent as missing.

    ``entity_id`` says whom it is about, which routes a sticky deployment. A prediction that the server may have seen is
    asked for again only with ``retry``, for it may then count as evidence twice. ``canary`` says who answers, whatever
    the split, where the deployment allows that (``allow_forced``); such a request is no evidence.
    """
    if not isinstance(features, Mapping):
        raise InvalidInput(
            f"features is a {type(features).__name__}, not a mapping.",
            field="features",
            remedy="Give the features by name: {name: value, ...}.",
        )
    body = _given(entity_id=entity_id, features=json_values(features, "features", missing=True))
    repeat = Repeat.SAFELY if retry else Repeat.IF_UNSENT
    headers = ((CANARY_HEADER, canary),) if canary else ()
    path = f"{PREDICTIONS}{_part(name)}"
    return Call("POST", path, json=body, gives=results.Prediction, repeat=repeat, headers=headers)


def _at(at: datetime | None) -> tuple[tuple[str, str], ...]:
    return () if at is None else (("at", at.isoformat()),)


def _part(name: str) -> str:
    # Checked, for ".." or "" would make another path of it.
    return quote(checked_name(name, "name"), safe="")


def _ref(ref: VersionRef | str) -> VersionRef:
    return VersionRef.parse(ref) if isinstance(ref, str) else ref


def _deployment(name: str, below: str = "") -> str:
    return f"/deployments/{_part(name)}" + (f"/{below}" if below else "")


def _given(**values: object) -> Document:
    return {name: value for name, value in values.items() if value is not None}
