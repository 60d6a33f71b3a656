"""The JSON Schema of a plan's document (draft 2020-12): the file in this package, and what it is made from."""

import json
from importlib.resources import files
from typing import Any

from serinus.plans.shape import PlanShape

FILE = "rollout-plan.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NULL = {"type": "null"}


def shipped_schema() -> dict[str, Any]:
    """Read the schema that comes with this package."""
    schema: dict[str, Any] = json.loads(files("serinus.plans").joinpath(FILE).read_text("utf-8"))
    return schema


def made_schema() -> dict[str, Any]:
    """Make the schema from the shape that is read."""
    made = _plain(PlanShape.model_json_schema())
    definitions = made["$defs"]
    for name, definition in definitions.items():
        if not name.endswith("Policy"):
            definitions[name] = _without_null(definition)
    definitions["StepShape"] |= {"minProperties": 1, "maxProperties": 1}
    definitions["PauseShape"] |= {"minProperties": 1}
    return {"$schema": _DIALECT, "$id": "urn:serinus:v1:RolloutPlan", "title": "RolloutPlan", **made}


def _plain(schema: Any, *, of_names: bool = False) -> Any:
    """Leave out the titles, which repeat the names, and absent defaults; ``of_names``: keys are names of fields."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _plain(value, of_names=key in {"properties", "$defs"} and not of_names)
        for key, value in schema.items()
        if of_names or not (key == "title" or (key == "default" and value is None))
    }


def _without_null(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_null(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: _without_null(value) for key, value in schema.items()}
    options = kept.get("anyOf")
    if isinstance(options, list) and _NULL in options:
        rest = [option for option in options if option != _NULL]
        del kept["anyOf"]
        kept = (rest[0] if len(rest) == 1 else {"anyOf": rest}) | kept
    return kept
