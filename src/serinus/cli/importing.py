"""`canary import`: bring a model version from another registry."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serinus.cli.inputs import read_data, read_signature
from serinus.cli.messages import note, warn
from serinus.cli.session import Output, Session, Url, connected
from serinus.core.errors import InvalidInput
from serinus.importing.addresses import name_here, parsed

if TYPE_CHECKING:
    from serinus.importing.mlflow_registry import Told

commands = typer.Typer(
    name="import",
    help="Import a model version from another registry.",
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@commands.command()
def mlflow(
    ctx: typer.Context,
    uri: Annotated[
        str,
        typer.Argument(
            metavar="URI", help="models:/NAME@ALIAS, models:/NAME/VERSION, models:/m-ID or runs:/RUN_ID/PATH."
        ),
    ],
    *,
    tracking_uri: Annotated[
        str | None,
        typer.Option("--tracking-uri", envvar="MLFLOW_TRACKING_URI", metavar="URI", help="MLflow's tracking server."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="The model's name here. [default: as in MLflow]")
    ] = None,
    flavor: Annotated[
        str | None,
        typer.Option("--flavor", help="Which of the model's flavors. [default: onnx, else the one it has]"),
    ] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Load pickles on this machine; they are sent as skops if possible.")
    ] = False,
    trust: Annotated[
        list[str] | None,
        typer.Option("--trust", metavar="TYPE", help="A further type that a skops file may hold; can be given again."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="CSV", help="Its training data, in place of the signature in MLflow."),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", metavar="COLUMN", help="The column of the data that is predicted.")
    ] = None,
    signature: Annotated[
        Path | None, typer.Option("--signature", metavar="JSON", help="A file with the signature, likewise.")
    ] = None,
    class_names: Annotated[
        str | None, typer.Option("--class-names", metavar="A,B,…", help="Names for people, one per class.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="Import it although it is here already.")] = False,
    max_bytes: Annotated[int, typer.Option("--max-bytes", min=1, help="Fetch no more than so much.")] = 1_073_741_824,
    output: Output = None,
    url: Url = None,
) -> None:
    """Import a model version from MLflow, with its metrics, parameters, signature and lineage.

    Example: canary import mlflow models:/heart@challenger --tracking-uri http://127.0.0.1:5000
    """
    name_here(parsed(uri), name)
    if not tracking_uri:
        raise InvalidInput(
            "Where MLflow is is not known.",
            field="--tracking-uri",
            remedy="Give --tracking-uri http://HOST:PORT, or set MLFLOW_TRACKING_URI.",
        )
    from serinus.cli.display.models import version_view
    from serinus.importing.flavors import Consent
    from serinus.importing.imports import Given, import_version
    from serinus.importing.mlflow_registry import opened

    given = Given(
        name=name,
        flavor=flavor,
        consent=Consent(allow_pickle=allow_pickle, trusted_types=tuple(trust or ())),
        data=read_data(data),
        target=target,
        signature=read_signature(signature),
        class_names=[part.strip() for part in class_names.split(",")] if class_names else (),
        again=again,
        most_bytes=max_bytes,
    )
    with connected(ctx, url, output) as session, opened(tracking_uri) as registry, _progress(session) as told:
        imported = import_version(session.client, registry, uri, given, told)
        for text in imported.warnings:
            warn(text)
        ref = imported.document.get("ref")
        if imported.before:
            note(f"It was imported before, as {ref}; nothing was changed. To import it once more: --again")
        session.show(imported.document, version_view)
        session.hint(f"Next: canary deploy NAME {ref}, or canary start DEPLOYMENT {ref}")


@contextmanager
def _progress(session: Session) -> Iterator["Told"]:
    """Show how far a download is, where a person looks at it and it takes a while."""
    from serinus.cli.display.screen import stderr_console

    console = stderr_console()
    if not session.for_people or not console.is_terminal:
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Fetching from MLflow"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, visible=False)
        yield lambda done, total: progress.update(task, completed=done, total=total, visible=True)
