"""Files by which a user says what a model takes: a signature, example rows, the data that it was trained on."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from serinus.cli import values
from serinus.core.errors import InvalidInput
from serinus.core.signature import Signature

if TYPE_CHECKING:  # pandas belongs to an extra
    import pandas as pd


def read_signature(path: Path | None) -> Signature | None:
    """Read a signature from a JSON file; InvalidInput if there is none in it."""
    if path is None:
        return None
    try:
        raw = values.read_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read as JSON: {error}.", field="--signature") from None
    return Signature.decoded(raw)


def read_data(path: Path | None) -> "pd.DataFrame | None":
    """Read a table from a CSV file; InvalidInput if there is none in it, or pandas is not installed."""
    if path is None:
        return None
    try:
        frame: pd.DataFrame = _pandas("--data").read_csv(path)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read as CSV: {error}.", field="--data") from None
    return frame


def read_examples(path: Path) -> list[object]:
    """Read rows from a JSON file; InvalidInput if there is no list in it."""
    try:
        rows: object = values.read_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read as JSON: {error}.", field="--examples") from None
    if not isinstance(rows, list):
        raise InvalidInput(
            f"{path} holds no list of rows.", field="--examples", remedy="Write [[63, 233.0], [41, 204.0]]."
        )
    return rows


def read_table_of_examples(path: Path, signature: Signature) -> "pd.DataFrame":
    """Read rows from a JSON file as a table of a signature's features; InvalidInput if they are none."""
    names = [feature.name for feature in signature.features]
    pandas = _pandas("--examples")
    try:
        table: pd.DataFrame = pandas.DataFrame(read_examples(path), columns=names)
    except (ValueError, TypeError) as error:
        raise InvalidInput(
            f"{path} holds other rows than of {len(names)} values: {error}.",
            field="--examples",
            remedy=f"Write each row as a list, in the order of the signature: {', '.join(names)}.",
        ) from None
    return table


def _pandas(field: str) -> Any:
    try:
        import pandas as pd
    except ImportError:
        raise InvalidInput(
            "Reading tables needs pandas.",
            field=field,
            remedy="Install it with pip install 'serinus[sklearn]', or give --signature alone.",
        ) from None
    return pd
