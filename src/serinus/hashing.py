"""Keyed hashes of what a request says: inputs and entities are kept in no other form.

The bytes that are hashed are canonical JSON (RFC 8785). What that has no form for gets one: an int beyond 2**53 is a
string of its digits, half a surrogate pair its escape.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any

import msgspec
import rfc8785

from serinus.core.signature import Scalar

_BLOCK = 64
"""Bytes that SHA-256 takes at once (FIPS 180-4)."""
_SAFE_INT = 2**53 - 1
_PLAIN_BELOW = 2.0**52
"""Numbers below it are written alike by msgspec and RFC 8785, but for whole floats, -0.0 and negative exponents."""
_PLAIN_FROM = 1e-5
"""Positive numbers from it on are written without an exponent by both."""
_UNLIKE = (b"e-", b":-0,", b":-0}")
"""What RFC 8785 never has: small numbers as msgspec writes them, and a zero with a sign."""
_MINUS = ord("-")
_as_json = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class HashKey:
    """The secret under which inputs are hashed; ``id`` tells keys apart without giving them away."""

    secret: bytes
    id: str = field(init=False, compare=False)
    """The first 8 hex digits of the key's own hash."""
    _inner: "hashlib._Hash" = field(init=False, compare=False, repr=False)
    _outer: "hashlib._Hash" = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Hash what is the same for all that is hashed under the key (RFC 2104)."""
        key = self.secret if len(self.secret) <= _BLOCK else hashlib.sha256(self.secret).digest()
        padded = key.ljust(_BLOCK, b"\0")
        object.__setattr__(self, "id", hashlib.sha256(b"serinus key id:" + self.secret).hexdigest()[:8])
        object.__setattr__(self, "_inner", hashlib.sha256(bytes(byte ^ 0x36 for byte in padded)))
        object.__setattr__(self, "_outer", hashlib.sha256(bytes(byte ^ 0x5C for byte in padded)))

    def of_inputs(self, inputs: Mapping[str, Scalar | None]) -> str:
        """Give the hash of named inputs; for many with the same names, ``InputHasher`` is quicker."""
        document = dict(sorted(inputs.items(), key=lambda named: _utf16(_encodable(named[0]))))
        return self.of_bytes(_as_json({_encodable(name): _plain(value) for name, value in document.items()}))

    def of_entity(self, entity_id: str | None) -> str:
        """Give the hash of an entity, "" where there is none."""
        return self.of_bytes(entity_id.encode("utf-8", "surrogatepass")) if entity_id else ""

    def of_bytes(self, data: bytes) -> str:
        """Give hex HMAC-SHA-256 of bytes."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(data)
        outer.update(inner.digest())
        return outer.hexdigest()


class InputHasher:
    """Gives what ``HashKey.of_inputs`` does, for inputs that all have the same names, in a few microseconds.

    Args:
        key: of the hashes. names: of the values that are hashed, in their order.
    """

    def __init__(self, key: HashKey, names: Sequence[str]) -> None:
        self._of_bytes = key.of_bytes
        self._pick, self._document, self._names_are_plain = _compiled(tuple(names))

    def of(self, values: Sequence[Scalar | None]) -> str:
        """Hash the values of one row, finite ones, of which there are as many as names."""
        if self._names_are_plain:
            try:
                # One pass in C says that all are numbers, none of them large.
                if math.hypot(*values) < _PLAIN_BELOW:  # type: ignore[arg-type]
                    data = _as_json(self._document(*self._pick(values))).replace(b".0,", b",")
                    if data.endswith(b".0}"):
                        data = data[:-3] + b"}"
                    if _MINUS not in data or not any(mark in data for mark in _UNLIKE):
                        return self._of_bytes(data)
            except (TypeError, OverflowError):
                pass  # some are texts, or missing, or beyond all floats
        return self._of_bytes(_as_json(self._document(*self._pick([_plain(value) for value in values]))))


@lru_cache(maxsize=256)
def _compiled(names: tuple[str, ...]) -> tuple[Callable[..., Iterable[object]], Callable[..., object], bool]:
    """Give what puts values in canonical order, what makes a document of these, and whether names look like no number.

    A document's members are in canonical order.
    """
    written = [_encodable(name) for name in names]
    order = sorted(range(len(names)), key=lambda place: _utf16(written[place]))
    in_order = [written[place] for place in order]
    pick = itemgetter(*order) if len(order) > 1 else tuple
    plain = not any(mark in name for name in written for mark in (".0,", ".0}", "e-", ":-0"))
    fields = [f"f{number}" for number in range(len(order))]
    try:
        made: Any = msgspec.defstruct(
            "Document",
            [(name, Any) for name in fields],
            rename=dict(zip(fields, in_order, strict=True)),
            gc=False,
        )
    except ValueError:  # two names that are one when written, or one that a struct cannot have
        return pick, (lambda *values: dict(zip(in_order, values, strict=True))), False
    return pick, made, plain


def _plain(value: Scalar | None) -> object:
    """Give a value that msgspec writes as RFC 8785 would."""
    if isinstance(value, str):
        return _encodable(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return str(value) if abs(value) > _SAFE_INT else value
    if value.is_integer() and abs(value) <= _SAFE_INT:
        return int(value)
    if _PLAIN_FROM <= abs(value) < _PLAIN_BELOW:
        return value
    return msgspec.Raw(rfc8785.dumps(value))


def _encodable(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-be")
