"""What OpenAPI says of predictions in the forms of other protocols, which are answered in front of FastAPI."""

from typing import Any

from serinus.http.oip_tensors import DATATYPES
from serinus.http.openapi import PROBLEM

_PARAMETERS: dict[str, Any] = {"type": ["object", "null"]}
_NAME: dict[str, Any] = {"type": "string"}
_SCALARS = ["boolean", "integer", "number", "string", "null"]
_DEPLOYMENT: dict[str, Any] = {
    "name": "deployment",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "example": "heart-prod",
}
_VERSION: dict[str, Any] = {
    "name": "version",
    "in": "path",
    "required": True,
    "schema": {"type": "string"},
    "description": "The version's number, or MODEL@NUMBER",
    "example": "2",
}
_X_CANARY: dict[str, Any] = {
    "name": "X-Canary",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "enum": ["always", "never"]},
    "description": "Choose the role, where the deployment allows it; never counted as evidence",
}
_X_ENTITY: dict[str, Any] = {
    "name": "X-Entity-Id",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Whom the request is about; routes a sticky deployment",
}

_INFER: dict[str, Any] = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {"type": ["string", "null"]},
        "parameters": {
            **_PARAMETERS,
            "properties": {"entity_id": {"type": ["string", "integer", "null"]}},
        },
        "inputs": {
            "type": "array",
            "description": "A tensor of shape [n] or [n, 1] for each feature, or one of [n, features]",
            "items": {
                "type": "object",
                "required": ["name", "shape", "datatype"],
                "properties": {
                    "name": _NAME,
                    "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}},
                    "datatype": {"type": "string", "enum": list(DATATYPES)},
                    "parameters": _PARAMETERS,
                    "data": {"type": "array", "items": {"type": [*_SCALARS, "array"]}},
                },
            },
        },
        "outputs": {
            "type": ["array", "null"],
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": _NAME, "parameters": _PARAMETERS},
            },
        },
    },
    "example": {
        "inputs": [
            {"name": "age", "shape": [2], "datatype": "INT64", "data": [63, 41]},
            {"name": "chol", "shape": [2], "datatype": "FP64", "data": [233.0, 204.0]},
        ]
    },
}
_INFERRED: dict[str, Any] = {
    "type": "object",
    "required": ["model_name", "model_version", "id", "parameters", "outputs"],
    "properties": {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {"type": "string"},
        "parameters": {
            "type": "object",
            "properties": {
                "prediction_id": {"type": "string"},
                "model_role": {"type": "string", "enum": ["baseline", "canary"]},
                "model_version": {"type": "string"},
                "failover": {"type": "boolean"},
                "latency_ms": {"type": "number"},
            },
        },
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "shape", "datatype"],
                "properties": {
                    "name": _NAME,
                    "shape": {"type": "array", "items": {"type": "integer"}},
                    "datatype": {"type": "string"},
                    "parameters": {"type": "object"},
                    "data": {"type": "array", "items": {"type": _SCALARS}},
                },
            },
        },
    },
}

_ROW: dict[str, Any] = {"type": ["object", "array", *_SCALARS]}
_INVOKE: dict[str, Any] = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "dataframe_split": {
            "type": "object",
            "required": ["columns", "data"],
            "properties": {
                "columns": {"type": "array", "items": {"type": "string"}},
                "data": {"type": "array", "items": {"type": "array", "items": {"type": _SCALARS}}},
            },
        },
        "dataframe_records": {"type": "array", "items": {"type": "object"}},
        "instances": {"type": "array", "items": _ROW},
        "inputs": {"type": ["object", "array"], "items": _ROW},
        "params": {
            "type": ["object", "null"],
            "additionalProperties": False,
            "properties": {"entity_id": {"type": ["string", "integer", "null"]}},
        },
    },
    "example": {"dataframe_split": {"columns": ["age", "chol"], "data": [[63, 233.0], [41, 204.0]]}},
}
_INVOKED: dict[str, Any] = {
    "type": "object",
    "required": ["predictions"],
    "properties": {"predictions": {"type": "array", "items": {"type": ["boolean", "integer", "number", "string"]}}},
}
_SAYS_WHO: dict[str, Any] = {
    name: {"schema": {"type": "string"}, "description": about}
    for name, about in {
        "X-Serinus-Prediction-Id": "Under which the first row is logged",
        "X-Serinus-Role": "Whose answer this is: baseline or canary",
        "X-Serinus-Version": "The version that answered",
        "X-Serinus-Failover": "true where the baseline answered for a canary that failed",
    }.items()
}


def row_paths() -> dict[str, Any]:
    """Describe the routes by their paths."""
    return {
        "/v2/models/{deployment}/infer": _post(
            "Infer",
            "Answer rows in the form of the Open Inference Protocol, by the baseline or the canary, as the split has "
            "it. Tensors may follow the JSON as bytes.",
            "infer",
            [_DEPLOYMENT],
            {"application/json": {"schema": _INFER}},
            {"content": {"application/json": {"schema": _INFERRED}, "application/octet-stream": {}}},
        ),
        "/v2/models/{deployment}/versions/{version}/infer": _post(
            "Infer by one version",
            "Answer rows by the version named, whatever the split; never counted as evidence.",
            "infer_version",
            [_DEPLOYMENT, _VERSION],
            {"application/json": {"schema": _INFER}},
            {"content": {"application/json": {"schema": _INFERRED}, "application/octet-stream": {}}},
        ),
        "/invocations/{deployment}": _post(
            "Predict as MLflow does",
            "Answer rows in one of the forms of MLflow's scoring servers, by the baseline or the canary, as the split "
            "has it. Takes text/csv too.",
            "invoke",
            [_DEPLOYMENT],
            {"application/json": {"schema": _INVOKE}},
            {"headers": _SAYS_WHO, "content": {"application/json": {"schema": _INVOKED}}},
        ),
    }


def _post(
    summary: str, description: str, identity: str, place: list[Any], body: dict[str, Any], answer: dict[str, Any]
) -> dict[str, Any]:
    return {
        "post": {
            "tags": ["predictions" if identity == "invoke" else "open inference protocol"],
            "summary": summary,
            "description": description,
            "operationId": identity,
            "parameters": [*place, _X_CANARY, _X_ENTITY],
            "requestBody": {"required": True, "content": body},
            "responses": {"200": {"description": "The predictions", **answer}, "4XX": PROBLEM, "5XX": PROBLEM},
        }
    }
