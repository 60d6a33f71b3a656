"""Reading the body of a single-row prediction by a plan that is compiled from the baseline's signature. No I/O here.

A plan reads what is well formed, in one pass in C, or in two where whole numbers are written like 3.0. Whatever it
cannot read is for ``http.predict`` to read once more and to refuse in words.
"""

from collections.abc import Callable
from typing import Annotated, Any

import msgspec

from serinus.core.signature import Dtype, Row, Signature

_LARGEST = 2**63 - 1
_TYPES: dict[Dtype, Any] = {
    Dtype.FLOAT: float,
    Dtype.INT: Annotated[int, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)],
    Dtype.BOOL: bool,
    Dtype.STR: str,
}
_WIDER_TYPES = _TYPES | {Dtype.INT: int | float}
"""A whole number may be written as 3.0."""


class Misfit(Exception):
    """A body that is to be read once more, value by value."""


class Plan:
    """Reads bodies for one signature."""

    def __init__(self, signature: Signature) -> None:
        self._decode = _decoding(signature, _TYPES)
        self._values = msgspec.structs.astuple
        self._ints = [place for place, each in enumerate(signature.features) if each.dtype is Dtype.INT]
        self._texts = [place for place, each in enumerate(signature.features) if each.dtype is Dtype.STR]
        self._decode_wider = _decoding(signature, _WIDER_TYPES) if self._ints else self._decode

    def read(self, body: bytes) -> tuple[Row, str | None]:
        """Give the row in the order of the signature, and whom it is about; Misfit where that takes a closer look."""
        try:
            request = self._decode(body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as misfit:
            if not self._ints:
                raise Misfit from misfit
            request, row = self._read_wider(body)
        else:
            row = list(self._values(request.features))
        for place in self._texts:
            value = row[place]
            if value is not None and not value.isascii():
                raise Misfit  # it may be no text that can be written down
        entity = request.entity_id
        return row, str(entity) if entity.__class__ is int else entity

    def _read_wider(self, body: bytes) -> tuple[Any, list[Any]]:
        try:
            request = self._decode_wider(body)
            row = list(self._values(request.features))
            for place in self._ints:
                value = row[place]
                if value.__class__ is float:
                    row[place] = _whole(value)
                elif value is not None and not -_LARGEST <= value <= _LARGEST:
                    raise Misfit
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as misfit:
            raise Misfit from misfit
        return request, row


def _decoding(signature: Signature, types: dict[Dtype, Any]) -> Callable[[bytes], Any]:
    kinds = [(types[each.dtype] | None) if each.nullable else types[each.dtype] for each in signature.features]
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
    return msgspec.json.Decoder(request).decode


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
