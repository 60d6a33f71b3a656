"""`canary register`: send a saved model and what is known of it."""

import hashlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serinus.cli import values
from serinus.cli.messages import warn
from serinus.cli.session import Output, Url, connected
from serinus.core.errors import InvalidInput
from serinus.core.records import Lineage
from serinus.core.signature import Signature

if TYPE_CHECKING:
    import pandas as pd

GIT_PATIENCE_S = 5.0


def register(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The saved model.")],
    *,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="CSV", help="Its training data, from which the signature is taken."),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="COLUMN", help="The column of the data that is predicted.")
    ] = None,
    signature: Annotated[
        Path | None, typer.Option("--signature", metavar="JSON", help="A file with the signature, instead of data.")
    ] = None,
    class_names: Annotated[
        str | None, typer.Option("--class-names", metavar="A,B,…", help="Names for people, one per class.")
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME=NUMBER", help="An offline metric; can be given again.")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="A parameter of the training; likewise.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="NAME=VALUE", help="A tag; likewise.")] = None,
    description: Annotated[str, typer.Option("--description", "-d", help="What is new in it.")] = "",
    dataset_digest: Annotated[
        str | None, typer.Option("--dataset-digest", help="Digest of the training data. [default: that of --data]")
    ] = None,
    run_id: Annotated[str, typer.Option("--run-id", help="The training run that made it.")] = "",
    git_commit: Annotated[
        str | None, typer.Option("--git-commit", help="The code that made it. [default: HEAD of this work tree]")
    ] = None,
    parent: Annotated[
        str, typer.Option("--parent", metavar="MODEL@VERSION", help="The version it was made from.")
    ] = "",
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Pack joblib and pickle files; the server has to allow them, too.")
    ] = False,
    trust: Annotated[
        list[str] | None,
        typer.Option("--trust", metavar="TYPE", help="A further type that a skops file may hold; can be given again."),
    ] = None,
    output: Output = None,
    url: Url = None,
) -> None:
    """Register a saved model as the next version of its name.

    Example: canary register heart model.skops --data train.csv --target num --metric accuracy=0.85
    """
    lineage = Lineage(
        dataset_digest=_digest(data) if dataset_digest is None else dataset_digest,
        run_id=run_id,
        git_commit=_head_commit() if git_commit is None else git_commit,
        parent=parent,
    )
    metrics = values.numbers(metric or [], "--metric")
    parameters = values.json_values(param or [], "--param")
    tags = values.pairs(tag or [], "--tag")
    if not file.is_file():
        raise InvalidInput(f"There is no file {file}.", field="FILE", remedy="Name the saved model.")
    frame, known = _what_it_takes(data, target, signature)
    from serinus.cli.display.models import version_view

    with connected(ctx, url, output) as session:
        document = session.client.register_file(
            name,
            file,
            data=frame,
            target=target,
            signature=known,
            class_names=[part.strip() for part in class_names.split(",")] if class_names else (),
            allow_pickle=allow_pickle,
            trusted_types=trust or (),
            metrics=metrics,
            parameters=parameters,
            tags=tags,
            description=description,
            lineage=lineage,
        )
        session.show(document, version_view)
        ref = document.get("ref")
        session.hint(f"Next: canary deploy NAME {ref}, or canary start DEPLOYMENT {ref}")


def _what_it_takes(
    data: Path | None, target: str | None, signature: Path | None
) -> "tuple[pd.DataFrame | None, Signature | None]":
    if data is None and signature is None:
        raise InvalidInput(
            "What the model takes is not known.",
            field="--data",
            remedy="Give its training data (--data TRAIN.csv --target COLUMN), or --signature FILE.",
        )
    known = None if signature is None else _read_signature(signature)
    if data is None:
        return None, known
    if target is None and known is None:
        warn("no --target: every column of the data is taken for an input of the model.")
    return _read_csv(data), known


def _read_signature(path: Path) -> Signature:
    try:
        raw = values.read_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read as JSON: {error}.", field="--signature") from None
    return Signature.decoded(raw)


def _read_csv(path: Path) -> "pd.DataFrame":
    try:
        import pandas as pd
    except ImportError:
        raise InvalidInput(
            "Reading training data needs pandas.",
            field="--data",
            remedy="Install it with pip install 'serinus[sklearn]', or give --signature.",
        ) from None
    try:
        frame: pd.DataFrame = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read as CSV: {error}.", field="--data") from None
    return frame


def _digest(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error}.", field="--data") from None


def _head_commit() -> str:
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", "HEAD"],  # noqa: S607  # the user's git, wherever it is
            capture_output=True,
            text=True,
            timeout=GIT_PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
