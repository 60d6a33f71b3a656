"""`canary register`: send a saved model and what is known of it."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serinus.cli import values
from serinus.cli.inputs import read_data, read_signature, read_table_of_examples
from serinus.cli.messages import warn
from serinus.cli.remote import remote_package_of
from serinus.cli.session import Output, Url, connected
from serinus.core.errors import InvalidInput
from serinus.core.signature import Signature

if TYPE_CHECKING:
    import pandas as pd


def register(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model's name.")],
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="The saved model.", show_default=False)] = None,
    *,
    remote: Annotated[
        str | None,
        typer.Option(
            "--remote",
            metavar="URL",
            help="In place of a file: a model that another engine serves, http://HOST:PORT/v2/models/NAME.",
        ),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option("--examples", metavar="JSON", help="Without --data: a file with a list of rows to try it with."),
    ] = None,
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
        str | None, typer.Option("--git-commit", help="The code that made it. [default: that of this work tree]")
    ] = None,
    parent: Annotated[
        str, typer.Option("--parent", metavar="MODEL@VERSION", help="The version it was made from.")
    ] = "",
    format: Annotated[  # noqa: A002 - the option's name
        str | None, typer.Option("--format", help="The file's format. [default: what its content says]")
    ] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Pack joblib and pickle files; the server has to allow them, too.")
    ] = False,
    allow_torchscript: Annotated[
        bool, typer.Option("--allow-torchscript", help="Pack TorchScript files; the server has to allow them, too.")
    ] = False,
    trust: Annotated[
        list[str] | None,
        typer.Option("--trust", metavar="TYPE", help="A further type that a skops file may hold; can be given again."),
    ] = None,
    onnx: Annotated[
        bool,
        typer.Option(
            "--onnx", help="Convert a scikit-learn model to ONNX, if it is proved on the rows to answer as before."
        ),
    ] = False,
    onnx_tolerance: Annotated[
        float,
        typer.Option(
            "--onnx-tolerance", help="How far a probability may be from before, or a number relative to its size."
        ),
    ] = 1e-4,
    output: Output = None,
    url: Url = None,
) -> None:
    """Register a saved model, or one that another engine serves, as the next version of its name.

    Example: canary register heart model.skops --data train.csv --target num --metric accuracy=0.85
    """
    from serinus.cli.display.models import version_view
    from serinus.client.calls import About
    from serinus.client.provenance import head_commit
    from serinus.core.records import Lineage

    lineage = Lineage(
        dataset_digest=_digest(data) if dataset_digest is None else dataset_digest,
        run_id=run_id,
        git_commit=head_commit() if git_commit is None else git_commit,
        parent=parent,
    )
    metrics = values.numbers(metric or [], "--metric")
    parameters = values.json_values(param or [], "--param")
    tags = values.pairs(tag or [], "--tag")
    if remote is not None and onnx:
        raise InvalidInput(
            "A model that another engine serves is not converted.",
            field="--onnx",
            remedy="Name the saved model's file.",
        )
    if remote is not None or file is None:
        package = remote_package_of(remote, file or data, read_signature(signature), examples)
        tags.setdefault("endpoint", str(remote))
        about = About(metrics=metrics, parameters=parameters, tags=tags, description=description, lineage=lineage)
        with connected(ctx, url, output) as session:
            document = session.client.register_package(name, package, **about)
            session.show(document, version_view)
        return
    if not file.is_file():
        raise InvalidInput(f"There is no file {file}.", field="FILE", remedy="Name the saved model.")
    frame, known = _what_it_takes(data, target, signature, examples)

    with connected(ctx, url, output) as session:
        document = session.client.register_file(
            name,
            file,
            data=frame,
            target=target,
            signature=known,
            class_names=[part.strip() for part in class_names.split(",")] if class_names else (),
            format=format,
            allow_pickle=allow_pickle,
            allow_torchscript=allow_torchscript,
            trusted_types=trust or (),
            onnx=onnx,
            onnx_tolerance=onnx_tolerance,
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
    data: Path | None, target: str | None, signature: Path | None, examples: Path | None
) -> "tuple[pd.DataFrame | None, Signature | None]":
    if data is not None and examples is not None:
        raise InvalidInput(
            "Example rows are taken from --data.", field="--examples", remedy="Leave one of the two options out."
        )
    if data is None and signature is None:
        raise InvalidInput(
            "What the model takes is not known.",
            field="--data",
            remedy="Give its training data (--data TRAIN.csv --target COLUMN), or --signature FILE.",
        )
    known = read_signature(signature)
    if data is None:
        return (read_table_of_examples(examples, known) if examples and known else None), known
    if target is None and known is None:
        warn("no --target: every column of the data is taken for an input of the model.")
    return read_data(data), known


def _digest(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error}.", field="--data") from None
