"""Models and their versions."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from serinus.cli.display.screen import Screen
from serinus.cli.display.words import (
    MISSING,
    ago,
    clock,
    count,
    listed,
    mapped,
    number,
    pairs,
    plain,
    rows,
    scalar,
    size,
)

Document = Mapping[str, Any]


def models_view(document: Document, screen: Screen) -> RenderableType:
    """Show all models."""
    models = rows(document, "models")
    if not models:
        return Text("No models yet. Register one: canary register NAME FILE --data TRAIN.csv --target COLUMN")
    table = screen.table("model", "versions", "latest", "updated", right=("versions",))
    for model in models:
        table.add_row(
            Text(plain(model.get("name")), "bold"),
            plain(model.get("versions")),
            plain(model.get("latest")),
            ago(model.get("updated_at"), screen.now),
        )
    return table


def versions_view(document: Document, screen: Screen) -> RenderableType:
    """Show the versions of one model."""
    versions = rows(document, "versions")
    if not versions:
        return Text("No versions.")
    table = screen.table("version", "created", *([] if screen.narrow else ["by", "format", "size"]), "metrics", "about")
    for version in versions:
        cells: list[RenderableType] = [
            Text(plain(version.get("ref")), "bold"),
            ago(version.get("created_at"), screen.now),
            pairs(version.get("metrics")),
            Text(plain(version.get("description") or "")),
        ]
        if not screen.narrow:
            cells[2:2] = [
                plain(version.get("created_by")),
                _format(version),
                size(version.get("size")),
            ]
        table.add_row(*cells)
    return table


def version_view(version: Document, screen: Screen) -> RenderableType:
    """Show all that is known of one version."""
    title = Text(plain(version.get("ref")), "bold")
    if version.get("description"):
        title.append(f"  {plain(version['description'])}")
    created = f"{clock(version.get('created_at'))} ({ago(version.get('created_at'), screen.now)})"
    lineage = {name: value for name, value in mapped(version.get("lineage")).items() if value}
    signature = version.get("signature")
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for name, fact in (
        ("  created", f"{created} by {plain(version.get('created_by'))}"),
        ("  artifact", f"{plain(version.get('format'))}, {size(version.get('size'))}"),
        ("  digest", plain(version.get("digest"))),
        ("  parity", _parity(version)),
        ("  metrics", pairs(version.get("metrics"))),
        ("  parameters", pairs(_parameters(version))),
        ("  tags", pairs(version.get("tags"))),
        ("  inputs", _inputs(signature)),
        ("  output", _output(signature)),
        ("  examples", plain(version.get("examples"))),
        ("  lineage", pairs(lineage)),
    ):
        if fact not in {"", MISSING}:
            grid.add_row(name, fact)
    return Group(title, "", grid)


def _format(version: Document) -> str:
    """Name the format, and the proof that its model answers as the one did that it was converted from."""
    known = plain(version.get("format"))
    proof = _proof(version)
    if not proof:
        return known
    flips = number(proof.get("class_flips"))
    alike = "compared on" if flips is None else f"{count(flips)} flips in"
    return f"{known}, {alike} {count(proof.get('rows'))} rows"


def _parity(version: Document) -> str:
    proof = _proof(version)
    if not proof:
        return MISSING
    flips, far, relative = (
        number(proof.get(f"{each}")) for each in ("class_flips", "max_difference", "max_relative_difference")
    )
    parts = [
        *([f"{count(flips)} class flips"] if flips is not None else []),
        *([f"{far:.1e} apart at most"] if far is not None else []),
        *([f"relatively {relative:.1e}"] if relative is not None else []),
    ]
    tolerance = scalar(proof.get("tolerance"))
    return (
        f"proved on {count(proof.get('rows'))} rows: {', '.join(parts)} (tolerance {tolerance}); converted from "
        f"{plain(proof.get('converted_from'))} by {plain(proof.get('converter'))}, opset {plain(proof.get('opset'))}"
    )


def _proof(version: Document) -> dict[str, Any]:
    return mapped(mapped(version.get("parameters")).get("onnx")) if version.get("format") == "onnx" else {}


def _parameters(version: Document) -> dict[str, Any]:
    """Give the parameters without the proof, which has a line of its own."""
    proof = _proof(version)
    return {name: value for name, value in mapped(version.get("parameters")).items() if not proof or name != "onnx"}


def _inputs(signature: object) -> str:
    return ", ".join(
        f"{plain(f.get('name'))} {plain(f.get('dtype'))}{'?' * bool(f.get('nullable'))}"
        for f in rows(signature, "features")
    )


def _output(signature: object) -> str:
    output = mapped(mapped(signature).get("output"))
    names = listed(output.get("class_names")) or listed(output.get("classes"))
    return plain(output.get("kind")) + (f": {', '.join(plain(name) for name in names)}" if names else "")
