"""`canary predict`: ask a deployment for one prediction."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from serinus.cli.session import DeploymentName, Output, Url, connected
from serinus.cli.values import read_json
from serinus.core.errors import InvalidInput


def predict(
    ctx: typer.Context,
    deployment: DeploymentName,
    features: Annotated[
        str | None,
        typer.Argument(metavar="[JSON|@FILE|-]", help="The features as a JSON object, in a file, or on stdin."),
    ] = None,
    entity: Annotated[
        str | None, typer.Option("--entity", metavar="ID", help="Whom it is about, for sticky routing.")
    ] = None,
    output: Output = None,
    url: Url = None,
) -> None:
    """Ask for one prediction, from whichever version the split draws.

    Example: canary predict heart-prod '{"age": 63, "chol": 233}' --entity patient-7
    """
    given = _read_features(features)
    from serinus.cli.display.answer import answer_view

    with connected(ctx, url, output) as session:
        session.show(session.client.predict(deployment, given, entity_id=entity), answer_view)


def _read_features(source: str | None) -> dict[str, Any]:
    where, text = _read_text(source)
    try:
        features = read_json(text)
    except ValueError as error:
        raise InvalidInput(
            f"The features {where} are not JSON: {error}.",
            field="features",
            remedy="""Give an object, like '{"age": 63}'; quote it for the shell.""",
        ) from None
    if not isinstance(features, dict):
        raise InvalidInput(
            f"The features {where} are {type(features).__name__}, not an object.",
            field="features",
            remedy="""Give names and values, like '{"age": 63}'.""",
        )
    return features


def _read_text(source: str | None) -> tuple[str, str]:
    if source is None and sys.stdin.isatty():
        raise InvalidInput(
            "There are no features.",
            field="features",
            remedy="""Give them as '{"age": 63}', as @FILE, or on stdin.""",
        )
    if source is None or source == "-":
        return "on stdin", sys.stdin.read()
    if not source.startswith("@"):
        return "in the argument", source
    path = Path(source[1:])
    try:
        return f"in {path}", path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read: {error}.", field="features") from None
