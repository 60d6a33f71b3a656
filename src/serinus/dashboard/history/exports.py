"""Events as files: CSV for tables, JSON for programs."""

import csv
import json
from collections.abc import Iterable, Mapping
from io import BytesIO, TextIOWrapper
from typing import Any

COLUMNS = ("id", "at", "deployment", "kind", "actor", "reason", "rollout", "generation", "data")
_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What spreadsheets read as the beginning of a formula: the last four are the wide forms of the first four."""


def as_csv(events: Iterable[Mapping[str, Any]]) -> BytesIO:
    """Write a line for each event, its data as JSON.

    Text that a spreadsheet would take for a formula has a ``'`` in front of it: reasons and actors are anybody's words.
    """
    file = BytesIO()
    text = _text(file)
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for event in events:
        data = json.dumps(event.get("data"), ensure_ascii=False)
        writer.writerow([data if name == "data" else _cell(event.get(name)) for name in COLUMNS])
    return _begun_anew(text, file)


def as_json(events: Iterable[Mapping[str, Any]]) -> BytesIO:
    """Write the events' documents as an array, one on a line."""
    file = BytesIO()
    text = _text(file)
    text.write("[")
    for place, event in enumerate(events):
        text.write(",\n" if place else "\n")
        text.write(json.dumps(event, ensure_ascii=False))
    text.write("\n]\n")
    return _begun_anew(text, file)


def _text(file: BytesIO) -> TextIOWrapper:
    return TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="", write_through=True)


def _begun_anew(text: TextIOWrapper, file: BytesIO) -> BytesIO:
    text.detach()  # it would close the file, else
    file.seek(0)
    return file


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(_BEGINS_A_FORMULA):
        return f"'{value}"
    return value
