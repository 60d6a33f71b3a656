"""What a page shows in place of its contents: what is wrong or missing, and what to do about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import streamlit as st

from serinus.client import ApiError, NotFoundError, UnexpectedAnswerError, UnreachableError
from serinus.core.errors import SerinusError
from serinus.dashboard import session
from serinus.dashboard.markup import element, text

_NO_PERMISSION = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


@contextmanager
def told(*, retried: bool = False, place: str = "page") -> Iterator[None]:
    """Show a failure of the block in place of what it would have drawn; ``retried``: it is tried again by itself.

    ``place`` tells blocks of a page apart that may fail together.
    """
    try:
        yield
    except SerinusError as error:
        failure(error, retried=retried, place=place)


def failure(error: SerinusError, *, retried: bool = False, place: str = "page") -> None:
    """Show what went wrong and what to do, with a button to try again."""
    title, remedy, commands = _explained(error)
    shown(title, f"{error.message} {remedy}".strip(), commands, tone="bad", code=error.code)
    if retried:
        st.caption("It is asked again by itself, every few seconds.")
    elif st.button("Try again", key=f"retry_{place}", icon=":material/refresh:"):
        st.rerun()


def shown(title: str, what: str, commands: tuple[str, ...] = (), *, tone: str = "open", code: str = "") -> None:
    """Show a state: a title, a sentence or two, and what can be typed in a terminal."""
    inside = element("h2", text(title), class_="sr-state-title") + element("p", text(what))
    inside += "".join(element("pre", element("code", text(command)), tabindex="0") for command in commands)
    if code:
        inside += element("p", text(code), class_="sr-quiet")
    st.html(element("section", inside, class_=f"sr-state sr-{tone}", role="alert" if tone == "bad" else "status"))


def no_deployment() -> None:
    """Say that nothing is deployed, and how the first one is made."""
    shown(
        "No deployment yet",
        "A deployment is a name under which a model version answers. Register a model, then deploy it here or in a "
        "terminal; after that each new version can come as its canary.",
        ("canary register model.skops --name heart", "canary deploy heart-prod heart@1"),
    )


def no_data(name: str) -> None:
    """Say that nothing has asked a deployment yet, and how to."""
    shown(
        "No requests yet",
        "Numbers appear here with the first prediction that somebody asks for.",
        (f"curl -X POST {session.shown_url()}/predict/{name} -H 'content-type: application/json' -d '{{…}}'",),
    )


def _explained(error: SerinusError) -> tuple[str, str, tuple[str, ...]]:
    """Give a title, a remedy and commands for an error."""
    if isinstance(error, UnreachableError):
        return (
            "No server answers",
            "Start one, or start the dashboard with the address of the one that you mean.",
            ("canary serve", "canary dashboard --url http://HOST:PORT"),
        )
    if isinstance(error, UnexpectedAnswerError):
        return "This is no Serinus server", error.remedy, ("canary dashboard --url http://HOST:PORT",)
    if isinstance(error, ApiError) and error.status in _NO_PERMISSION:
        return (
            "You may not see this",
            "Ask who runs the server for a token, and start the dashboard with it.",
            (f"SERINUS_TOKEN=... canary dashboard --url {session.shown_url()}",),
        )
    if isinstance(error, NotFoundError):
        return "Not found", error.remedy, ()
    return "That did not work", error.remedy, ()
