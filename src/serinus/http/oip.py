"""POST /v2/models/{deployment}/infer: predictions in the form of the Open Inference Protocol, JSON and binary."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from serinus.core.errors import InvalidFeatures, InvalidInput
from serinus.core.features import shown
from serinus.core.signature import Output, OutputKind, Row, Signature
from serinus.gateway import Gateway, Predictions
from serinus.http import oip_tensors, problems
from serinus.http.front import Post, Reply, the_entity
from serinus.http.oip_tensors import Tensor
from serinus.http.reading import JsonBody

PATHS = re.compile(r"/v2/models/(?P<deployment>[^/]+)(?:/versions/(?P<version>[^/]+))?/infer")
HEADER_LENGTH = "Inference-Header-Content-Length"
REMEDY = 'Send {"inputs": [{"name": NAME, "shape": [ROWS], "datatype": DATATYPE, "data": [...]}, ...]}.'
_SIZE = "binary_data_size"
_DIGITS = 18
_CONTENT_TYPES = (None, "np", "pd", "str", "base64")
"""How MLServer's clients say what a tensor stands for; of these, only base64 changes how it is read."""


class Input(msgspec.Struct):
    """A tensor of a request; ``data`` is missing where it follows the JSON as bytes."""

    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: Any = None


class Requested(msgspec.Struct):
    """An output that a caller asks for."""

    name: str
    parameters: dict[str, Any] | None = None


class Request(msgspec.Struct):
    """What a caller sends."""

    inputs: list[Input]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[Requested] | None = None


_read = JsonBody(Request, REMEDY)
_encode = msgspec.json.Encoder().encode


async def infer(post: Post) -> Reply:
    """Answer one request."""
    text, tail = _parted(post)
    request = _read(text)
    parameters = request.parameters or {}
    deployment = post.path["deployment"]
    output = post.gateway.serving(deployment).baseline.predictor.version.signature.output
    names = _wanted(request, outputs_of(output))
    done = await post.gateway.predict_rows(
        deployment,
        lambda signature: _rows(post.gateway, request, tail, signature),
        the_entity(post, parameters, "parameters"),
        post.header("X-Canary"),
        post.path["version"],
    )
    return _reply(request, deployment, done, _given(done, output, names))


def outputs_of(output: Output) -> dict[str, str]:
    """Give the names and datatypes of the outputs that there are."""
    tensors = {"predict": oip_tensors.datatype_of(output)}
    if output.kind is OutputKind.CLASS:
        tensors["confidence"] = "FP64"
        if output.class_names:
            tensors["predict_class"] = "BYTES"
    return tensors


# ------------------------------------------------------------------------------------------------ reading


def _parted(post: Post) -> tuple[bytes, bytes]:
    """Part a body into its JSON and the bytes of tensors that follow."""
    length = post.header(HEADER_LENGTH)
    if length is None:
        return post.body, b""
    if not length.isascii() or not length.isdecimal() or len(length) > _DIGITS or int(length) > len(post.body):
        raise problems.Malformed(
            f"{HEADER_LENGTH} is {length[:80]!r}, and the body has {len(post.body)} bytes.",
            field=HEADER_LENGTH,
            remedy="Give the length of the JSON in bytes.",
        )
    return post.body[: int(length)], post.body[int(length) :]


def _wanted(request: Request, known: Mapping[str, str]) -> list[str] | None:
    """Give the outputs that are asked for; None: those that there are."""
    if not request.outputs:
        return None
    for each in request.outputs:
        if each.name not in known:
            raise InvalidInput(
                f"There is no output {shown(each.name)}.",
                field=f"outputs.{each.name[:80]}",
                remedy=f"Ask for some of: {', '.join(known)}.",
            )
    return list(dict.fromkeys(each.name for each in request.outputs))


def _rows(gateway: Gateway, request: Request, tail: bytes, signature: Signature) -> Iterator[Row]:
    """Read rows; their number, names and shapes are known, and refused, before any of their values is looked at."""
    kind = (request.parameters or {}).get("content_type")
    _check_content_type(kind, "parameters")
    only_columns = kind == "pd"
    oip_tensors.check_shapes(request.inputs, signature, only_columns=only_columns)
    for each in request.inputs:
        gateway.check_rows(each.shape[0], _place(each))
    return oip_tensors.as_rows(_tensors(request.inputs, tail), signature, only_columns=only_columns)


def _place(tensor: Input) -> str:
    return f"inputs.{tensor.name[:80]}"


def _tensors(inputs: Sequence[Input], tail: bytes) -> list[Tensor]:
    tensors = []
    place = 0
    for each in inputs:
        parameters = each.parameters or {}
        kind = parameters.get("content_type")
        _check_content_type(kind, f"{_place(each)}.parameters")
        size = parameters.get(_SIZE)
        if "shared_memory_region" in parameters:
            raise InvalidFeatures(
                f"The input {shown(each.name)} is in shared memory.",
                field=_place(each),
                remedy="Send its data.",
            )
        if size is None:
            coded = kind == "base64"
            tensors.append(oip_tensors.from_json(each.name, each.datatype, each.shape, each.data, base64_coded=coded))
            continue
        if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= len(tail) - place:
            raise InvalidFeatures(
                f"The input {shown(each.name)} has a {_SIZE} of {shown(size)}, and {len(tail) - place} bytes follow.",
                field=_place(each),
                remedy=f"Send the bytes of all tensors after the JSON, and its length in {HEADER_LENGTH}.",
            )
        tensors.append(oip_tensors.from_bytes(each.name, each.datatype, each.shape, tail[place : place + size]))
        place += size
    if place != len(tail):
        raise InvalidFeatures(
            f"{len(tail) - place} bytes follow that are no input's.",
            field="inputs",
            remedy=f"Say in each tensor's {_SIZE} how many are its own.",
        )
    return tensors


def _check_content_type(kind: object, where: str) -> None:
    if not any(kind == known for known in _CONTENT_TYPES):
        raise InvalidFeatures(
            f"{where} has the content_type {shown(kind)}.",
            field=f"{where}.content_type",
            remedy=f"Use one of {', '.join(known for known in _CONTENT_TYPES if known)}, or none.",
        )


# ------------------------------------------------------------------------------------------------ writing


def _given(done: Predictions, output: Output, names: Sequence[str] | None) -> dict[str, tuple[str, list[Any]]]:
    """Give each output's datatype and values; unless asked for, no confidence that the model does not give."""
    columns: dict[str, list[Any]] = {
        "predict": [answer.prediction for answer in done.answers],
        "confidence": [answer.confidence for answer in done.answers],
        "predict_class": [answer.prediction_class for answer in done.answers],
    }
    known = outputs_of(output)
    if names is None:
        silent = all(each is None for each in columns["confidence"])
        names = [name for name in known if not (name == "confidence" and silent)]
    known["predict"] = oip_tensors.fitting(known["predict"], columns["predict"])
    return {name: (known[name], columns[name]) for name in names}


def _in_binary(request: Request) -> Callable[[str], bool]:
    """Say which outputs are to follow the JSON as bytes: those that a caller wants so, or by default all or none."""
    every = (request.parameters or {}).get("binary_data_output") is True
    each = {one.name: (one.parameters or {}).get("binary_data", every) for one in request.outputs or ()}
    return lambda name: each.get(name, every) is True


def _reply(request: Request, deployment: str, done: Predictions, outputs: Mapping[str, tuple[str, list[Any]]]) -> Reply:
    in_binary = _in_binary(request)
    tails, tensors = [], []
    for name, (datatype, values) in outputs.items():
        tensor: dict[str, Any] = {"name": name, "datatype": datatype, "shape": [len(values)]}
        if in_binary(name):
            tails.append(oip_tensors.to_bytes(datatype, values))
            tensor["parameters"] = {_SIZE: len(tails[-1])}
        else:
            tensor["data"] = oip_tensors.to_json(datatype, values)
        tensors.append(tensor)
    arm = done.answered_by
    document = {
        "model_name": deployment,
        "model_version": str(arm.predictor.version.ref.version),
        "id": request.id if request.id is not None else done.prediction_id,
        "parameters": {
            "prediction_id": done.prediction_id,
            "model_role": arm.role,
            "model_version": arm.name,
            "failover": done.failover,
            "latency_ms": done.latency_ms,
        },
        "outputs": tensors,
    }
    text = _encode(document)
    if not tails:
        return Reply(text)
    return Reply(b"".join([text, *tails]), "application/octet-stream", {HEADER_LENGTH: str(len(text))})
