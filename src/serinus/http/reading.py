"""Reading a JSON body of a known shape; whatever is wrong with it is an error that names the place."""

import json
import re
from typing import Generic, TypeVar

import msgspec

from serinus.core.errors import InvalidInput, SerinusError
from serinus.http import problems

T = TypeVar("T")
_SURROGATE = re.compile(rb"\\u[dD]")


class JsonBody(Generic[T]):
    """Reads bodies of the type ``shape``; ``remedy`` says what to send instead of one that cannot be read.

    NaN and Infinity are no JSON, but NumPy's and pandas' users send them: NaN is read as null, for a value that is
    missing, and Infinity as the number, for the signature to refuse by the feature's name.
    """

    def __init__(self, shape: type[T], remedy: str) -> None:
        self._shape = shape
        self._remedy = remedy
        self._decoder = msgspec.json.Decoder(shape, float_hook=float)

    def __call__(self, body: bytes) -> T:
        """Read a body.

        Raises:
            Malformed: it is no JSON. InvalidInput: it has another shape; ``field`` is the place.
        """
        try:
            return self._decoder.decode(body)
        except msgspec.ValidationError as wrong:
            raise misshapen(wrong, self._remedy) from wrong
        except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
            return self._leniently(body, wrong)
        except RecursionError as wrong:
            raise not_json(wrong) from wrong

    def _leniently(self, body: bytes, strictly: Exception) -> T:
        try:
            read = json.loads(body, parse_constant=_number)
            if _SURROGATE.search(body):
                json.dumps(read, ensure_ascii=False).encode()  # half a surrogate pair cannot be written down again
            return msgspec.convert(read, self._shape)
        except msgspec.ValidationError as wrong:
            raise misshapen(wrong, self._remedy) from wrong
        except (ValueError, RecursionError):
            raise not_json(strictly) from strictly


def misshapen(wrong: msgspec.ValidationError, remedy: str) -> InvalidInput:
    """Give the error for a body of another shape."""
    what, _, place = str(wrong).partition(" - at `$")
    field = place.rstrip("`").lstrip(".").removesuffix("[...]") or "body"
    return InvalidInput(f"{field}: {what}.", field=field, remedy=remedy)


def not_json(wrong: Exception) -> SerinusError:
    """Give the error for a body that is no JSON."""
    return problems.Malformed(f"The body is not JSON: {wrong}.", field="body")


def _number(constant: str) -> float | None:
    return None if constant == "NaN" else float(constant)
