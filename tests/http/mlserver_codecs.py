"""A client of the Open Inference Protocol made of MLServer's types and codecs; it runs where MLServer is installed.

python mlserver_codecs.py URL CLINIC RISK PATIENTS
"""

import json
import sys
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import numpy as np
import pandas as pd
from mlserver.codecs import (  # type: ignore[import-not-found]  # its environment has it
    Base64Codec,
    NumpyCodec,
    NumpyRequestCodec,
    PandasCodec,
    StringCodec,
)
from mlserver.types import (  # type: ignore[import-not-found]  # likewise
    InferenceErrorResponse,
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    RequestOutput,
)

URL, CLINIC, RISK = sys.argv[1:4]
PATIENTS: list[dict[str, Any]] = json.loads(sys.argv[4])
_open = build_opener(ProxyHandler({})).open


def ask(deployment: str, request: InferenceRequest) -> InferenceResponse:
    post = Request(f"{URL}/v2/models/{deployment}/infer", request.model_dump_json().encode())
    with _open(post) as answer:
        return InferenceResponse.model_validate_json(answer.read())


def columns(codec: Any) -> list[Any]:
    """Give the patients column by column, each by the codec for its kind."""
    frame = pd.DataFrame(PATIENTS)
    cities = frame["city"].tolist()
    return [
        codec.encode_input("city", [city.encode() for city in cities] if codec is Base64Codec else cities),
        NumpyCodec.encode_input("age", frame["age"].to_numpy()),
        NumpyCodec.encode_input("chol", frame["chol"].to_numpy(np.float32)),
        NumpyCodec.encode_input("smokes", frame["smokes"].to_numpy()),
    ]


def told(deployment: str, request: InferenceRequest) -> str:
    """Give what a refusal says."""
    try:
        ask(deployment, request)
    except HTTPError as refusal:
        error: str = InferenceErrorResponse.model_validate_json(refusal.read()).error
        return error
    return ""


frame = pd.DataFrame(PATIENTS).astype({"city": object})
wanted = [RequestOutput(name="predict"), RequestOutput(name="predict_class")]
by_columns = ask(CLINIC, InferenceRequest(inputs=columns(StringCodec), outputs=wanted))
with _open(f"{URL}/v2/models/{CLINIC}") as about:
    metadata = MetadataModelResponse.model_validate_json(about.read())

json.dump(
    {
        "frame": PandasCodec.decode_response(ask(CLINIC, PandasCodec.encode_request(frame))).to_dict(orient="list"),
        "columns": [
            NumpyCodec.decode_output(by_columns.outputs[0]).tolist(),
            StringCodec.decode_output(by_columns.outputs[1]),
        ],
        "matrix": NumpyRequestCodec.decode_response(
            ask(RISK, NumpyRequestCodec.encode_request(np.array([[50.0, 1.0], [60.0, 2.0]])))
        ).tolist(),
        "base64": NumpyCodec.decode_output(
            ask(CLINIC, InferenceRequest(inputs=columns(Base64Codec))).outputs[0]
        ).tolist(),
        "metadata": [tensor.name for tensor in metadata.inputs],
        "error": told(RISK, InferenceRequest(inputs=[NumpyCodec.encode_input("age", np.array([63]))])),
    },
    sys.stdout,
)
