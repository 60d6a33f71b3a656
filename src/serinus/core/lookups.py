"""Features that are looked up by their entity: what is asked for, what was found, and what becomes of a request."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from serinus.core.errors import InvalidFeatures, Unavailable
from serinus.core.signature import Signature


class Lookup(NamedTuple):
    """The features of a service for one entity, whose join key is ``key``."""

    service: str
    key: str
    entity: str


@dataclass(frozen=True, slots=True)
class Found:
    """What a feature store has on an entity: values by feature, None among them; names it has no value for.

    ``stale`` are those whose values are too old to be used.
    """

    values: Mapping[str, object] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    stale: frozenset[str] = frozenset()


def lacking(features: object, signature: Signature) -> list[str]:
    """Name the features that a request does not bring; none if what it brings is not even an object."""
    if features is None:
        return list(signature.names)
    return [name for name in signature.names if name not in features] if isinstance(features, Mapping) else []


def completed(features: object, names: list[str], found: Found, lookup: Lookup) -> dict[str, object]:
    """Put what was found beside what the caller sent, which wins.

    Raises:
        InvalidFeatures: the feature store knows nothing of the entity: the caller's error. Unavailable: what it knows
        is too old.
    """
    missing = [name for name in names if name in found.missing]
    if missing:
        raise InvalidFeatures(
            f"The feature service {lookup.service} has no {', '.join(missing)} for {lookup.key} {lookup.entity!r}.",
            field=f"features.{missing[0]}",
            remedy="Send these features, or an entity_id that the feature store knows.",
            missing=missing,
        )
    stale = [name for name in names if name in found.stale]
    if stale:
        raise Unavailable(
            f"What the feature service {lookup.service} has of {', '.join(stale)} for {lookup.key} {lookup.entity!r} "
            "is too old.",
            field=f"features.{stale[0]}",
            remedy="Materialise the feature views anew, or send these features.",
        )
    sent = features if isinstance(features, Mapping) else {}
    return {name: found.values[name] for name in names if name in found.values} | dict(sent)
