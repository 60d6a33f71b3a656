"""The artifact of a remote version: which endpoint of the Open Inference Protocol computes it, and in which tensors."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from serinus.core.errors import FormatRefused, InvalidInput
from serinus.core.features import Dtype, shown
from serinus.core.signature import Signature

REMOTE_FORMAT = "oip"
"""The format of a remote version."""
LARGEST_DOCUMENT = 1_048_576
"""Bytes of an artifact of this format, at most."""

_PLACE = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*)/?"
)
_ENDPOINT = re.compile(r"(?P<base>.+)/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?/?")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750, section 2.1."""
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HIGHEST_PORT = 65_535
_WHOLE = frozenset({"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"})
_REAL = frozenset({"FP16", "BF16", "FP32", "FP64"})
_TAKEN: dict[Dtype, frozenset[str]] = {
    Dtype.STR: frozenset({"BYTES"}),
    Dtype.BOOL: frozenset({"BOOL"}) | _WHOLE | _REAL,
    Dtype.INT: _WHOLE | _REAL,
    Dtype.FLOAT: _REAL,
}
DATATYPES = frozenset({"BOOL", "BYTES"}) | _WHOLE | _REAL
"""The datatypes of tensors that can be sent."""


class Layout(StrEnum):
    """How rows become tensors: one for each feature, by its name, or one with a column for each feature."""

    COLUMNS = "columns"
    MATRIX = "matrix"


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input of an endpoint; ``rank`` is the number of its dimensions, the first of which counts rows."""

    name: str
    datatype: str
    rank: int = 2


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A model that another engine computes.

    ``url`` is what stands before ``/v2/models``. ``version`` "" leaves the choice to the engine. ``inputs`` are in the
    order of the signature (by ``columns``), or a single one (a ``matrix``). ``prediction`` and ``probabilities`` name
    outputs: without the first the most likely class is the prediction, without both the engine's first output is.
    """

    url: str
    model: str
    version: str
    layout: Layout
    inputs: tuple[Tensor, ...]
    prediction: str = ""
    probabilities: str = ""

    @property
    def path(self) -> str:
        """The URL of the model itself."""
        return f"{self.url}/v2/models/{self.model}" + (f"/versions/{self.version}" if self.version else "")

    def encoded(self) -> bytes:
        """Give it as an artifact; the same endpoint is always the same bytes."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def decoded(cls, data: bytes) -> Self:
        """Read an artifact; FormatRefused says what is wrong with it."""
        try:
            if len(data) > LARGEST_DOCUMENT:
                raise ValueError(f"it has more than {LARGEST_DOCUMENT} bytes")  # noqa: TRY301 - as all the others
            raw = _checked(json.loads(data), dict, "it")
            url, model, version = parsed(f"{raw['url']}/v2/models/{raw['model']}", raw.get("version") or "")
            return cls(
                url,
                model,
                version,
                Layout(raw["layout"]),
                tuple(_tensor(_checked(each, dict, "an input")) for each in _checked(raw["inputs"], list, "inputs")),
                _checked(raw.get("prediction", ""), str, "prediction"),
                _checked(raw.get("probabilities", ""), str, "probabilities"),
            )
        except (InvalidInput, KeyError, TypeError, ValueError, RecursionError) as wrong:
            what = f"{wrong} is missing" if isinstance(wrong, KeyError) else str(wrong)
            raise FormatRefused(
                f"The artifact is no description of a remote model: {what}",
                field="artifact",
                remedy="Register the endpoint with `canary register NAME --remote URL`.",
            ) from wrong

    def check_fits(self, signature: Signature) -> None:
        """See that rows of a signature can be sent; InvalidInput names the feature that cannot."""
        if self.layout is Layout.COLUMNS and [each.name for each in self.inputs] != list(signature.names):
            raise InvalidInput(
                f"The endpoint takes {', '.join(each.name for each in self.inputs)}, and the signature names "
                f"{', '.join(signature.names)}.",
                field="signature.features",
                remedy="Name the endpoint's inputs, each once.",
            )
        if self.layout is Layout.MATRIX and len(self.inputs) != 1:
            raise InvalidInput(f"A matrix is one input, not {len(self.inputs)}.", field="artifact.inputs")
        tensors = self.inputs if self.layout is Layout.COLUMNS else self.inputs * len(signature.features)
        for feature, tensor in zip(signature.features, tensors, strict=True):
            if tensor.datatype not in _TAKEN[feature.dtype]:
                raise InvalidInput(
                    f"{feature.name} is {feature.dtype}, and the endpoint takes {tensor.datatype} for it.",
                    field=f"signature.features.{feature.name}",
                    remedy="Say in the signature what the endpoint takes.",
                )
        if self.probabilities and not self.prediction and not signature.output.classes:
            raise InvalidInput(
                "The endpoint gives probabilities alone, and the signature names no classes.",
                field="signature.output.classes",
                remedy="Name the classes, in the order of the probabilities.",
            )


def parsed(url: str, version: str = "") -> tuple[str, str, str]:
    """Take ``http://host:port/v2/models/NAME[/versions/VERSION]`` apart; InvalidInput where it is no such thing."""
    match = _ENDPOINT.fullmatch(url)
    place = None if match is None else _PLACE.fullmatch(match["base"])
    names = [] if match is None else [match["model"], *filter(None, [match["version"] or version])]
    if match is None or place is None or not place["scheme"] or not _is_port(place["port"]):
        raise InvalidInput(
            f"{shown(url)} is not the address of a remote model.",
            field="url",
            remedy="Give http://HOST:PORT/v2/models/NAME, with /versions/VERSION behind it if the engine has several; "
            "without user, query and escapes.",
        )
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidInput(
                f"{shown(name)} cannot be the name or version of a remote model.",
                field="url",
                remedy="Use letters, digits, dots, dashes and underscores.",
            )
    return match["base"].rstrip("/"), names[0], names[1] if len(names) > 1 else ""


# ---------------------------------------------------------------------------------------- what is allowed


def checked_place(text: str) -> str:
    """Give back a place where models may be: a host, HOST:PORT or a URL's beginning; ValueError if it is none."""
    if not _is_place(text):
        raise ValueError(f"{shown(text)} is no host, HOST:PORT or beginning of a URL")
    return text


def check_allowed(endpoint: Endpoint, places: Iterable[str]) -> None:
    """Raise FormatRefused where an operator has not allowed the endpoint's place."""
    if not any(_is_at(endpoint.path, place) for place in places):
        raise FormatRefused(
            f"The remote model {endpoint.path} is not allowed here: this server asks only engines that it is told of.",
            field="artifact",
            remedy=f"An operator can allow it: SERINUS_REMOTE_MODELS={endpoint.url} (comma-separated, if several).",
        )


def parsed_tokens(text: str) -> tuple[tuple[str, str], ...]:
    """Read what engines are to be shown, ``PLACE=TOKEN`` with commas in between; ValueError shows no token."""
    tokens = []
    for number, part in enumerate(filter(None, map(str.strip, text.split(","))), start=1):
        place, _, token = part.partition("=")
        if not _is_place(place) or not _TOKEN.fullmatch(token):
            raise ValueError(f"number {number} is no PLACE=TOKEN")
        tokens.append((place, token))
    return tuple(tokens)


def token_for(url: str, tokens: Iterable[tuple[str, str]]) -> str:
    """Give the token of the first place that a URL is at, "" if there is none."""
    return next((token for place, token in tokens if _is_at(url, place)), "")


def _is_place(text: str) -> bool:
    place = _PLACE.fullmatch(text)
    return place is not None and _is_port(place["port"]) and bool(place["scheme"] or not place["path"])


def _is_at(url: str, place: str) -> bool:
    asked, allowed = _PLACE.fullmatch(url), _PLACE.fullmatch(place)
    if asked is None or allowed is None or asked["host"].lower() != allowed["host"].lower():
        return False
    if allowed["scheme"] and (asked["scheme"] != allowed["scheme"] or _port(asked) != _port(allowed)):
        return False
    if allowed["port"] and _port(asked) != int(allowed["port"]):
        return False
    return f"{asked['path']}/".startswith(f"{allowed['path']}/")


def _port(place: re.Match[str]) -> int:
    return int(place["port"]) if place["port"] else _DEFAULT_PORTS.get(place["scheme"], 0)


def _is_port(text: str | None) -> bool:
    return text is None or 0 < int(text) <= _HIGHEST_PORT


def _tensor(raw: Mapping[str, Any]) -> Tensor:
    name, datatype, rank = raw["name"], raw["datatype"], raw.get("rank", 2)
    if not isinstance(name, str) or datatype not in DATATYPES or rank not in {1, 2} or isinstance(rank, bool):
        raise ValueError(f"{shown(dict(raw))} is no tensor of one or two dimensions that can be sent")
    return Tensor(name, datatype, rank)


def _checked(value: object, kind: type, what: str) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{what} is {shown(value)}")
    return value
