"""Reading the body of a single-row prediction by a plan that is compiled from the baseline's signature. No I/O here.

A plan reads what is well formed, in one pass in C. Whatever it cannot read is for ``http.predict`` to read once more
and to refuse in words.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from serinus.core.signature import Dtype, Row, Signature

_LARGEST = 2**63 - 1
_TYPES: dict[Dtype, Any] = {
    Dtype.FLOAT: float,
    Dtype.INT: int | float,
    Dtype.BOOL: bool,
    Dtype.STR: str,
}


class Misfit(Exception):
    """A body that is to be read once more, value by value."""


class Plan:
    """Reads bodies for one signature."""

    def __init__(self, signature: Signature) -> None:
        kinds = [(_TYPES[each.dtype] | None) if each.nullable else _TYPES[each.dtype] for each in signature.features]
        fields = [f"f{place}" for place in range(len(kinds))]
        features: Any = msgspec.defstruct(
            "Features",
            list(zip(fields, kinds, strict=True)),
            rename=dict(zip(fields, signature.names, strict=True)),
            forbid_unknown_fields=True,
            gc=False,
        )
        request: Any = msgspec.defstruct(
            "Request",
            [("features", features), ("entity_id", str | int | None, None)],
            forbid_unknown_fields=True,
            gc=False,
        )
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(request).decode
        self._values = msgspec.structs.astuple
        self._ints = [place for place, each in enumerate(signature.features) if each.dtype is Dtype.INT]
        self._texts = [place for place, each in enumerate(signature.features) if each.dtype is Dtype.STR]

    def read(self, body: bytes) -> tuple[Row, str | None]:
        """Give the row in the order of the signature, and whom it is about; Misfit where that takes a closer look."""
        try:
            request = self._decode(body)
            row = list(self._values(request.features))
            for place in self._ints:
                value = row[place]
                if value.__class__ is not int and value is not None:
                    row[place] = _whole(value)
                elif value is not None and not -_LARGEST <= value <= _LARGEST:
                    raise Misfit
            for place in self._texts:
                value = row[place]
                if value is not None and not value.isascii():
                    raise Misfit  # it may be no text that can be written down
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as misfit:
            raise Misfit from misfit
        entity = request.entity_id
        return row, str(entity) if entity.__class__ is int else entity


def planned(signature: Signature) -> Plan | None:
    """Compile a plan; None for features that have no field in a struct."""
    try:
        return Plan(signature)
    except (ValueError, TypeError):
        return None


def _whole(value: float) -> int:
    if not value.is_integer() or not -_LARGEST <= value <= _LARGEST:
        raise Misfit
    return int(value)
