"""One way to the server for all visitors, and who is acting: nothing here draws."""

import os
from getpass import getuser

import streamlit as st

from serinus.client import DEFAULT_URL, DocumentClient
from serinus.client.way import Way
from serinus.dashboard.launching import PATIENCE_S

ACTOR = "actor"
"""The key under which the visitor's name is kept."""
COMMAND_S = 120.0
"""Seconds to wait for a command: one that starts a canary loads its model first."""


def server_url() -> str:
    """Give the URL of the server that is shown."""
    return os.environ.get("SERINUS_URL") or DEFAULT_URL


def shown_url() -> str:
    """Give that URL as anybody may see it: without a name and a password."""
    return Way.to(server_url(), "", "", PATIENCE_S).shown


def reading() -> DocumentClient:
    """Give the client that all pages read with."""
    return _reader(server_url())


def commanding() -> DocumentClient:
    """Make a client for a command in the name of the visitor, to be closed after it."""
    return DocumentClient(server_url(), actor=actor(), timeout=COMMAND_S)


def actor() -> str:
    """Give the name that stands in the history: the one that the visitor gave, else the user's of this machine."""
    given = str(st.session_state.get(ACTOR) or "").strip()
    return given or usual_actor()


def usual_actor() -> str:
    """Name the user of the machine that the dashboard runs on."""
    try:
        return f"{getuser()} (dashboard)"
    except (KeyError, OSError, ImportError):  # a container whose user has no name
        return "dashboard"


def _closed(client: DocumentClient) -> None:
    client.close()


@st.cache_resource(show_spinner=False, on_release=_closed)
def _reader(url: str) -> DocumentClient:
    return DocumentClient(url, actor="dashboard", timeout=PATIENCE_S)
