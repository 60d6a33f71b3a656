"""What every command shares: the options that it takes, the client it speaks with, and how it prints its document."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from serinus.cli.messages import note, warn
from serinus.core.errors import SerinusError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from serinus.cli.display.screen import Screen
    from serinus.client import DocumentClient, NotFoundError


class Format(StrEnum):
    """How a document is printed."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The server. [default: $SERINUS_URL or http://127.0.0.1:8000]"),
]
Output = Annotated[
    Format | None,
    typer.Option("--output", "-o", help="For people, or the API's document as it is. [default: table]"),
]
Reason = Annotated[str | None, typer.Option("--reason", help="Why; it stands in the history.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DeploymentName = Annotated[str, typer.Argument(metavar="DEPLOYMENT", help="The deployment's name.")]


@dataclass(frozen=True, slots=True)
class Globals:
    """Options given before the command."""

    url: str | None = None
    output: Format | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """One command's way to the server and to stdout."""

    client: "DocumentClient"
    output: Format

    @property
    def for_people(self) -> bool:
        """Whether a table is wanted, not a document."""
        return self.output is Format.TABLE

    def show(self, document: dict[str, Any], view: "Callable[[dict[str, Any], Screen], RenderableType]") -> None:
        """Print a document on stdout: as ``view`` shows it, or as it is."""
        if not self.for_people:
            write_document(document, self.output)
            return
        from serinus.cli.display.screen import screen_of, stdout_console

        console = stdout_console()
        console.print(view(document, screen_of(console)))

    def show_deployment(self, document: dict[str, Any]) -> None:
        """Print a deployment after a command, and warn of gateways that still route as before."""
        from serinus.cli.display.release import deployment_view
        from serinus.cli.display.words import listed

        self.show(document, lambda shown, screen: deployment_view({**shown, "warnings": []}, screen))
        waiting = listed(document.get("unacknowledged"))
        if waiting:
            warn(
                f"Not confirmed yet by {len(waiting)} gateway(s): {', '.join(str(name) for name in waiting)}. "
                "They may route as before for a moment."
            )
        for text in listed(document.get("warnings")):
            warn(str(text))

    def hint(self, text: str) -> None:
        """Say what may come next; to a person, not into a log."""
        if self.for_people and sys.stderr.isatty():
            note(text)


@contextmanager
def connected(ctx: typer.Context, url: str | None, output: Format | None) -> Iterator[Session]:
    """Open a session; an option of the command goes before the same one before the command."""
    from serinus.client import DEFAULT_URL, DocumentClient, NotFoundError

    given = ctx.obj if isinstance(ctx.obj, Globals) else Globals()
    with DocumentClient(url or given.url or DEFAULT_URL, actor=actor()) as client:
        try:
            yield Session(client, output or given.output or Format.TABLE)
        except NotFoundError as error:
            if error.field == "deployment":
                _suggest(error, client, str(ctx.params.get("deployment") or ctx.params.get("rollout")))
            raise


def _suggest(error: "NotFoundError", client: "DocumentClient", deployment: str) -> None:
    """Add to an error the deployments whose names are like the one that does not exist, if the server tells them."""
    from serinus.cli.display.words import rows

    with suppress(SerinusError):
        names = [str(row.get("name")) for row in rows(client.deployments(), "deployments")]
        like = get_close_matches(deployment, names)
        if like:
            error.remedy = f"Did you mean {' or '.join(like)}? {error.remedy}".rstrip()


def actor() -> str:
    """Name the user of this machine."""
    from getpass import getuser

    try:
        return getuser()
    except (KeyError, OSError, ImportError):  # a container whose user has no name
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def write_document(document: dict[str, Any], output: Format, *, one_line: bool = False) -> None:
    """Write a document to stdout as JSON or YAML."""
    if output is Format.YAML:
        import yaml

        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=_takes_unicode())
        sys.stdout.write(f"---\n{text}" if one_line else text)
    else:
        text = json.dumps(document, indent=None if one_line else 2, ensure_ascii=not _takes_unicode())
        sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _takes_unicode() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
