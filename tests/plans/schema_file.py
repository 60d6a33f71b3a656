"""Writes the JSON Schema that comes with the package anew: python -m tests.plans.schema_file."""

import json
from pathlib import Path

import serinus.plans
from serinus.plans.schema import FILE, made_schema

PLACE = Path(serinus.plans.__file__).with_name(FILE)


def text() -> str:
    return json.dumps(made_schema(), indent=2) + "\n"


if __name__ == "__main__":
    PLACE.write_text(text(), encoding="utf-8")
