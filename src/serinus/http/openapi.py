"""What OpenAPI says of problems and of the prediction route, which is answered in front of FastAPI."""

from typing import Any

PROBLEM: dict[str, Any] = {
    "description": "A problem document (RFC 9457)",
    "content": {
        "application/problem+json": {
            "schema": {
                "type": "object",
                "required": ["type", "title", "status", "detail", "code", "instance"],
                "properties": {
                    "type": {"type": "string", "format": "uri"},
                    "title": {"type": "string"},
                    "status": {"type": "integer"},
                    "detail": {"type": "string"},
                    "code": {"type": "string", "pattern": "^SERINUS-"},
                    "instance": {"type": "string"},
                    "field": {"type": "string"},
                    "remedy": {"type": "string"},
                },
            },
            "example": {
                "type": "urn:serinus:error:not-allowed",
                "title": "Not allowed in this state",
                "status": 409,
                "detail": "Cannot promote deployment 'heart-prod': it is stable, with no canary running.",
                "code": "SERINUS-NOT-ALLOWED",
                "instance": "/deployments/heart-prod/promote",
                "remedy": "Possible now: configure, start.",
                "state": "stable",
                "possible": ["configure", "start"],
            },
        }
    },
}

_SCALAR: dict[str, Any] = {"type": ["boolean", "integer", "number", "string"]}
_ROW: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {"type": ["boolean", "integer", "number", "string", "null"]},
}
_REQUEST: dict[str, Any] = {
    "type": "object",
    "anyOf": [{"required": ["features"]}, {"required": ["entity_id"]}, {"required": ["instances"]}],
    "not": {"required": ["features", "instances"]},
    "additionalProperties": False,
    "properties": {
        "features": {
            **_ROW,
            "description": "One value for each feature of the baseline's signature, by name; where the deployment has "
            "a feature_service, those that are left out are looked up by entity_id",
        },
        "instances": {
            "type": "array",
            "minItems": 1,
            "items": _ROW,
            "description": "In place of features: several rows, each with a value for every feature. They are drawn "
            "once, answered by one model at once, and counted as one request",
        },
        "entity_id": {
            "type": ["string", "integer", "null"],
            "description": "Whom the request is about; routes a sticky deployment, and is whose features are looked up",
        },
    },
    "example": {"entity_id": "patient-17", "features": {"age": 63, "chol": 233, "thal": None}},
}
_ROLE: dict[str, Any] = {"type": "string", "enum": ["baseline", "canary"], "description": "Whose answer this is"}
_FAILOVER: dict[str, Any] = {"type": "boolean", "description": "The baseline answered for a canary that failed"}
_ANSWER: dict[str, Any] = {
    "prediction": _SCALAR,
    "prediction_class": {"type": ["string", "null"]},
    "confidence": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
}
_PREDICTION: dict[str, Any] = {
    "type": "object",
    "required": ["prediction"],
    "properties": {
        "prediction_id": {"type": "string"},
        "model_role": _ROLE,
        **_ANSWER,
        "latency_ms": {"type": "number"},
        "model_version": {"type": "string"},
        "failover": _FAILOVER,
    },
    "example": {
        "prediction_id": "5f0c1b1d9a1e4f5e8a55c1a0c8f5b7e2",
        "model_role": "canary",
        "prediction": 1,
        "prediction_class": "1",
        "confidence": 0.87,
        "latency_ms": 3.1,
        "model_version": "heart@2",
        "failover": False,
    },
}
_PREDICTIONS: dict[str, Any] = {
    "type": "object",
    "required": ["predictions"],
    "properties": {
        "prediction_id": {"type": "string", "description": "Under which the first row is logged"},
        "model_role": _ROLE,
        "model_version": {"type": "string"},
        "failover": _FAILOVER,
        "latency_ms": {"type": "number"},
        "predictions": {
            "type": "array",
            "description": "One for each of the instances, in their order",
            "items": {"type": "object", "required": ["prediction"], "properties": _ANSWER},
        },
    },
}


def predict_path() -> dict[str, Any]:
    """Describe POST /predict/{deployment}."""
    return {
        "post": {
            "tags": ["predictions"],
            "summary": "Predict",
            "description": "Answer a request of one row or several by the baseline or the canary, as the split has it.",
            "operationId": "predict",
            "parameters": [
                {
                    "name": "deployment",
                    "in": "path",
                    "required": True,
                    "schema": {"type": "string"},
                    "example": "heart-prod",
                },
                {
                    "name": "X-Canary",
                    "in": "header",
                    "required": False,
                    "schema": {"type": "string", "enum": ["always", "never"]},
                    "description": "Choose the role, where the deployment allows it; never counted as evidence",
                },
            ],
            "requestBody": {"required": True, "content": {"application/json": {"schema": _REQUEST}}},
            "responses": {
                "200": {
                    "description": "The prediction; for instances one for each",
                    "content": {"application/json": {"schema": {"oneOf": [_PREDICTION, _PREDICTIONS]}}},
                },
                "4XX": PROBLEM,
                "5XX": PROBLEM,
            },
        }
    }
