"""What all pages have in common: the heading, the choice of a deployment, and who is acting."""

from collections.abc import Sequence

import streamlit as st

from serinus.core.errors import SerinusError
from serinus.dashboard import app, session, states
from serinus.words import rows

CHOSEN = "deployment"
"""The key, and the query parameter, of the deployment that is looked at."""
_KEPT = "looked_at"
"""The key of the deployment that was looked at last: Streamlit's links to pages leave the query out."""
_AGAIN_S = 2.0


def opened(title: str, about: str, *, without: bool = False) -> str:
    """Draw the top of a page, and give the name of the deployment that was chosen.

    Where there is none, or no server answers, this says so and ends the page; ``without``: the page has something to
    show without a deployment, and "" is given.
    """
    heading, choice = st.columns([3, 2], vertical_alignment="bottom")
    with heading:
        st.title(title, anchor=False)
        st.caption(about)
    try:
        names = [str(each.get("name")) for each in rows(session.reading().deployments(), "deployments")]
    except SerinusError as error:
        states.failure(error)
        _wait_for_server()
        st.stop()
    if not names:
        if without:
            return ""
        states.no_deployment()
        st.page_link(app.DEPLOY, label="Deploy a model", icon=":material/rocket_launch:")
        _wait_for_server(more_than=0)
        st.stop()
    with choice:
        name = _chosen(names)
    if name is None:
        asked = st.query_params.get(CHOSEN, "")
        states.shown(
            f"There is no deployment {asked!r}",
            "It may have another name, or be on another server. Choose one of those that there are.",
        )
        st.stop()
    return name


def visitor() -> None:
    """Draw whom the history will name, and which server is shown."""
    st.text_input(
        "Your name, for the history",
        key=session.ACTOR,
        placeholder=session.usual_actor(),
        max_chars=100,
        persist_state="session",
    )
    st.caption(f"Server: {session.shown_url()}")


def _chosen(names: Sequence[str]) -> str | None:
    """Let a deployment be chosen. The URL names it, so that a page can be linked; another page begins with the same."""
    kept = st.session_state.get(_KEPT)
    asked = st.query_params.get(CHOSEN, kept if kept in names else names[0])
    name = asked if asked in names else None
    st.session_state[CHOSEN] = name
    st.selectbox(
        "Deployment",
        names,
        index=0 if name else None,
        key=CHOSEN,
        placeholder="Choose a deployment",
        help=f"{len(names)} of them: type to search.",
        on_change=_name_in_url,
    )
    if name is not None:
        st.session_state[_KEPT] = name
        if CHOSEN not in st.query_params:
            st.query_params[CHOSEN] = name
    return name


def _name_in_url() -> None:
    st.query_params[CHOSEN] = st.session_state[CHOSEN]


def _wait_for_server(*, more_than: int | None = None) -> None:
    """Draw the page anew as soon as the server answers, or has deployments."""

    @st.fragment(run_every=_AGAIN_S)
    def look() -> None:
        try:
            found = len(rows(session.reading().deployments(), "deployments"))
        except SerinusError:
            return
        if more_than is None or found > more_than:
            st.rerun()

    look()
