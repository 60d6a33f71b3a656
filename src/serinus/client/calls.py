"""Each call of the API as a frozen value: what is sent, without a word on how. No I/O here.

A synchronous and an asynchronous client send the same calls, and read the answers with
``serinus.client.answers``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, TypedDict
from urllib.parse import quote

from serinus.client.values import json_values
from serinus.core.errors import InvalidInput
from serinus.core.names import VersionRef, checked_name
from serinus.core.records import Lineage, Package
from serinus.core.signature import Signature

Document = dict[str, Any]
"""An answer of the API, as it came: JSON values by name."""


PREDICTIONS = "/predict/"


@dataclass(frozen=True, slots=True)
class Call:
    """One request: ``path`` is below the base URL and quoted; ``json`` or ``content`` is the body."""

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    json: Document | None = None
    content: bytes | None = None

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
    lineage: Lineage


class Packing(TypedDict, total=False):
    """How a model is packed: what ``serinus.formats.packing.pack`` takes besides the model.

    ``data`` is its training data, from which the signature and a few examples are read, ``target`` the column that is
    predicted; ``signature`` says it instead. ``class_names`` are names for people, one per class.
    """

    data: Any
    target: str | None
    signature: Signature | None
    examples: int
    format: str | None
    class_names: Sequence[str]
    allow_pickle: bool
    trusted_types: Sequence[str]


class Registration(About, Packing, total=False):
    """All that can be said of a model that is registered."""


def server_health() -> Call:
    """Ask whether the server is up."""
    return Call("GET", "/health")


def put_artifact(data: bytes) -> Call:
    """Upload a model file under its digest."""
    return Call("PUT", f"/artifacts/sha256:{sha256(data).hexdigest()}", content=data)


def models() -> Call:
    """List the models."""
    return Call("GET", "/models")


def versions(model: str) -> Call:
    """List the versions of a model."""
    return Call("GET", f"/models/{_part(model)}/versions")


def version(ref: VersionRef) -> Call:
    """Find one version."""
    return Call("GET", f"/models/{_part(ref.model)}/versions/{ref.version}")


def create_version(model: str, digest: str, package: Package, about: About) -> Call:
    """Register an uploaded artifact as the next version of a model."""
    body: Document = {
        "artifact": {"digest": digest, "format": package.format},
        "signature": package.signature.encoded(),
        "examples": [list(row) for row in package.examples],
        "metrics": json_values(about.get("metrics", {}), "metrics"),
        "parameters": json_values(about.get("parameters", {}), "parameters"),
        "tags": dict(about.get("tags", {})),
        "description": about.get("description", ""),
        "lineage": asdict(about.get("lineage", Lineage())),
    }
    return Call("POST", f"/models/{_part(model)}/versions", json=body)


def deployments() -> Call:
    """List the deployments."""
    return Call("GET", "/deployments")


def create_deployment(
    name: str, baseline: VersionRef, settings: Mapping[str, object], reason: str | None = None
) -> Call:
    """Serve a version under a new name."""
    body = _given(name=name, model=baseline.model, version=baseline.version, settings=dict(settings), reason=reason)
    return Call("POST", "/deployments", json=body)


def deployment(name: str) -> Call:
    """Find one deployment."""
    return Call("GET", _deployment(name))


def configure(name: str, settings: Mapping[str, object], **why: object) -> Call:
    """Change the settings that are given; ``why`` is ``reason`` and ``expected_generation``."""
    body = _given(settings=dict(settings), **why)
    return Call("PATCH", _deployment(name), json=body)


def start(
    name: str,
    version: int,
    weight: float | None = None,
    *,
    model: str = "",
    plan: str | Mapping[str, object] | None = None,
    replace: bool = False,
    **why: object,
) -> Call:
    """Start a canary with ``weight`` or by ``plan``; ``why`` likewise.

    ``plan`` is the name of one that is there from the start, or a plan's document; ``replace``: a canary under way is
    rolled back first.
    """
    given = plan if plan is None or isinstance(plan, str) else dict(plan)
    body = _given(version=version, model=model or None, weight=weight, plan=given, replace=replace or None, **why)
    return Call("POST", _deployment(name, "canary"), json=body)


def set_weight(name: str, weight: float, **why: object) -> Call:
    """Give the canary ``weight`` percent of the traffic; ``why`` likewise."""
    return Call("PATCH", _deployment(name, "traffic"), json=_given(weight=weight, **why))


def command(name: str, verb: str, **why: object) -> Call:
    """Pause, resume, approve, promote, rollback or undo; ``why`` likewise."""
    return Call("POST", _deployment(name, verb), json=_given(**why))


def rollouts(name: str) -> Call:
    """List the rollouts of a deployment."""
    return Call("GET", _deployment(name, "rollouts"))


def events(
    name: str, *, after: int = 0, limit: int = 100, newest_first: bool = False, kinds: Iterable[str] = ()
) -> Call:
    """List the events of a deployment."""
    params = [("limit", str(limit)), ("order", "desc" if newest_first else "asc")]
    if after:
        params.append(("after", str(after)))
    params += [("kind", kind) for kind in kinds]
    return Call("GET", _deployment(name, "events"), tuple(params))


def health(name: str) -> Call:
    """Ask how the canary does."""
    return Call("GET", _deployment(name, "health"))


def metrics(name: str) -> Call:
    """Ask for the totals of both arms."""
    return Call("GET", _deployment(name, "metrics"))


def explain(name: str, rollout: str = "") -> Call:
    """Ask why a rollout went as it did; by default the active or last one."""
    return Call("GET", _deployment(name, "explain"), (("rollout", rollout),) if rollout else ())


def looks(name: str, rollout: int, *, after: int = 0, limit: int = 500) -> Call:
    """List the looks that a rollout was judged by; ``after`` is the id of the last one already seen."""
    params = (("after", str(after)), ("limit", str(limit)))
    return Call("GET", _deployment(name, f"rollouts/{rollout:d}/looks"), params)


def forecast(
    name: str,
    weights: Iterable[float] = (),
    rate: float | None = None,
    *,
    plan: str = "",
    steps: Iterable[tuple[float, float]] = (),
) -> Call:
    """Ask how long it would take to find a bad canary and to promote a good one.

    ``plan`` is the name of one that is there from the start; ``steps`` are those of another one, each a share in
    percent and the seconds that it pauses there.
    """
    params = [("weights", f"{weight:g}") for weight in weights]
    if rate is not None:
        params.append(("rate", f"{rate:g}"))
    if plan:
        params.append(("plan", plan))
    params += [("step", f"{weight:g}:{pause_s:.10g}") for weight, pause_s in steps]
    return Call("GET", _deployment(name, "forecast"), tuple(params))


def predict(name: str, features: Mapping[str, object], entity_id: str | None = None) -> Call:
    """Ask for one prediction; a feature that is NaN is sent as missing."""
    if not isinstance(features, Mapping):
        raise InvalidInput(
            f"features is a {type(features).__name__}, not a mapping.",
            field="features",
            remedy="Give the features by name: {name: value, ...}.",
        )
    body = _given(entity_id=entity_id, features=json_values(features, "features", missing=True))
    return Call("POST", f"{PREDICTIONS}{_part(name)}", json=body)


def _part(name: str) -> str:
    # Checked, for ".." or "" would make another path of it.
    return quote(checked_name(name, "name"), safe="")


def _deployment(name: str, below: str = "") -> str:
    return f"/deployments/{_part(name)}" + (f"/{below}" if below else "")


def _given(**values: object) -> Document:
    return {name: value for name, value in values.items() if value is not None}
