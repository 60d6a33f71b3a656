"""Which role answers a request: a pure function of the split and one number in [0, 1)."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b

from serinus.core.deployment import ALL, Deployment

LARGEST = 2**52
"""The greatest generation a board is believed: its double, the stamp, is exact in a double-precision number."""


class Role(StrEnum):
    """The two arms of a rollout."""

    BASELINE = "baseline"
    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class Cut:
    """A rollback that is in force before it is on record: who took the canary's share away, when and why.

    ``at`` is an instant in ISO 8601 with its offset; ``facts`` are the numbers of an automatic one, as JSON values;
    ``key`` and ``fingerprint`` are those of the command, if it was given a key to happen once. ``promised``: whoever
    asked was answered before it was on record, so that a promotion that was being written has to give way to it.
    """

    at: str
    actor: str
    reason: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)
    key: str = ""
    fingerprint: str = ""
    promised: bool = False

    def is_repeated_by(self, other: "Cut | None") -> bool:
        """Say whether another cut comes of the same command."""
        if other is None:
            return False
        same_key = self.key != "" and (other.key, other.fingerprint) == (self.key, self.fingerprint)
        return same_key or replace(other, promised=self.promised) == self

    @classmethod
    def decoded(cls, raw: object) -> "Cut | None":
        """Read what a board keeps; None for anything malformed."""
        if not isinstance(raw, Mapping) or set(raw) - {"promised"} != {*_CUT_TEXTS, "facts"}:
            return None
        if not all(isinstance(raw[name], str) for name in _CUT_TEXTS):
            return None
        if not isinstance(raw["facts"], Mapping) or not _is_instant(raw["at"]):
            return None
        if not isinstance(raw.get("promised", False), bool):
            return None
        return cls(**raw)


@dataclass(frozen=True, slots=True)
class Split:
    """How a deployment's traffic is divided: ``weight`` percent to the canary of ``rollout``, none once it is ``cut``.

    ``generation`` is the deployment's; a split of an older generation never replaces one of a newer, and one of the
    same rollout never takes a cut back. ``baseline`` names the version that has the rest, so that a promotion is told
    from a rollback by the split alone.
    """

    deployment: str
    generation: int
    rollout: str = ""
    split_version: int = 0
    weight: float = 0.0
    sticky: bool = False
    baseline: str = ""
    cut: Cut | None = None

    @property
    def share(self) -> float:
        """The percentage that the canary gets."""
        return self.weight if self.cut is None else 0.0

    @property
    def stamp(self) -> int:
        """What a gateway acknowledges: it grows with the generation and, within one, with a cut."""
        return 2 * self.generation + (self.cut is not None)

    def encoded(self) -> dict[str, object]:
        """Give the plain mapping that a board keeps."""
        return asdict(self)

    @classmethod
    def decoded(cls, raw: object) -> "Split | None":
        """Read what a board keeps; None for anything malformed, which every caller takes as "all to the baseline"."""
        if not isinstance(raw, Mapping) or set(raw) != set(_READERS):
            return None
        if not all(fits(raw[name]) for name, fits in _READERS.items()):
            return None
        return cls(**{**raw, "cut": Cut.decoded(raw["cut"])})


def split_of(state: Deployment) -> Split:
    """Derive the split that a deployment's state asks for."""
    active = state.active
    baseline = str(state.reference)
    if active is None:
        return Split(state.name, state.generation, baseline=baseline)
    sticky = state.settings.sticky
    return Split(state.name, state.generation, active.id, active.split_version, active.weight, sticky, baseline)


def assign(split: Split | None, point: float) -> Role:
    """Draw the role for one request.

    Args:
        split: the split in force; None (missing or malformed) gives the baseline.
        point: a number in [0, 1), fresh for each request, or ``sticky_point`` of its entity. A greater weight
            only ever adds points to the canary, so that raising it never moves an entity back.
    """
    if split is None or not split.rollout:
        return Role.BASELINE
    return Role.CANARY if point * ALL < split.share else Role.BASELINE


def sticky_point(key: bytes, rollout: str, entity_id: str) -> float:
    """Place an entity in [0, 1), the same for all gateways, anew for each rollout.

    Keyed BLAKE2b (RFC 7693) of rollout and entity; its upper 53 bits are exact in a float, so 1.0 is never reached.
    """
    prefix = rollout.encode("utf-8", "surrogatepass")
    message = len(prefix).to_bytes(4, "big") + prefix + entity_id.encode("utf-8", "surrogatepass")
    digest = blake2b(message, key=key[:64], digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2.0**53


def forced_role(header: str | None, *, allowed: bool) -> Role | None:
    """Read ``X-Canary``: ``always`` or ``never`` where the deployment allows it, else None (draw as usual)."""
    if header is None or not allowed:
        return None
    return {"always": Role.CANARY, "never": Role.BASELINE}.get(header.strip().lower())


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _is_instant(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_share(value: object) -> bool:
    # NaN compares as false; a huge int is compared exactly and never turned into a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= ALL


_CUT_TEXTS = ("at", "actor", "reason", "key", "fingerprint")
_READERS: dict[str, Callable[[object], bool]] = {
    "deployment": lambda value: isinstance(value, str),
    "generation": _is_whole,
    "rollout": lambda value: isinstance(value, str),
    "split_version": _is_whole,
    "weight": _is_share,
    "sticky": lambda value: isinstance(value, bool),
    "baseline": lambda value: isinstance(value, str),
    "cut": lambda value: value is None or Cut.decoded(value) is not None,
}
