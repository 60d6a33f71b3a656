"""The command that judges a rollout again, from what its checks took in."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from typing import Annotated, Any

import typer

from serinus.cli.exits import ExitCode
from serinus.cli.session import Output, Session, Url, connected
from serinus.cli.values import rollout_id
from serinus.core.errors import NotFound

Document = dict[str, Any]
Watch = Callable[[object], None]


def replay(
    ctx: typer.Context,
    rollout: Annotated[str, typer.Argument(metavar="ROLLOUT", help="NAME:NUMBER, as `canary status` shows it.")],
    policy: Annotated[
        str | None,
        typer.Option("--policy", "-p", metavar="FILE", help="Another policy, YAML or JSON: only what differs."),
    ] = None,
    output: Output = None,
    url: Url = None,
) -> None:
    """Judge a rollout again, from what each check took in.

    By its own policy every verdict comes out as it was, to the byte; it exits with 1 if one does not. With --policy it
    shows what another policy would have decided, and when, beside what happened.

    Example: canary replay heart-prod:3 --policy stricter.yaml
    """
    from serinus.cli.display.replay import replay_view

    name, number = rollout_id(rollout)
    with connected(ctx, url, output) as session:
        document = _replayed(session, name, number, policy)
        session.show(document, replay_view)
    if document["same"] < document["looks"]:
        raise typer.Exit(ExitCode.FAILURE)


def _replayed(session: Session, name: str, number: int, file: str | None) -> Document:
    from serinus.cli.display.words import rows
    from serinus.cli.policy_file import read_policy
    from serinus.cli.rejudging import rejudged

    found = rows(session.client.rollouts(name), "rollouts")
    happened = next((each for each in found if each.get("id") == f"{name}:{number}"), {})
    pages = session.client.looks(name, number)
    first = next(pages)
    if not rows(first, "looks"):
        raise NotFound(
            f"There is no look of {name}:{number} on record.",
            field="rollout",
            remedy="Only a sequential policy leaves looks, and `canary prune` removes those of ended rollouts.",
        )
    with _progress(session, first.get("started_at"), happened.get("ended_at")) as watch:
        judged = rejudged(
            _looks(chain([first], pages), watch),
            first.get("started_at"),
            None if file is None else partial(read_policy, file),
        )
    facts = {key: happened.get(key) for key in ("canary", "baseline", "phase", "started_at", "ended_at", "reason")}
    return {"rollout": f"{name}:{number}", "happened": facts, "policy_file": file, **judged}


def _looks(pages: Iterable[Document], watch: Watch) -> Iterator[Document]:
    from serinus.cli.display.words import rows

    for page in pages:
        looks = rows(page, "looks")
        yield from (look for look in looks if look.get("look") is not None)
        if looks:
            watch(looks[-1].get("at"))


@contextmanager
def _progress(session: Session, started_at: object, ended_at: object) -> Iterator[Watch]:
    """Show how far the replay has come, by the time of the looks; to a person at a terminal alone."""
    if not (session.for_people and sys.stderr.isatty()):
        yield lambda _: None
        return
    from rich.progress import Progress

    from serinus.cli.display.screen import stderr_console
    from serinus.cli.display.words import read_time

    start, end = read_time(started_at), read_time(ended_at) or datetime.now(UTC)
    total_s = max((end - start).total_seconds(), 1.0) if start else None
    with Progress(console=stderr_console(), transient=True) as bar:
        task = bar.add_task("Replaying", total=total_s)

        def watch(at: object) -> None:
            reached = read_time(at)
            if start and reached:
                bar.update(task, completed=(reached - start).total_seconds())

        yield watch
