"""Deployment history: every event of one deployment or of all, what was in production when, and all of it as a file."""

from datetime import datetime

import streamlit as st

from serinus.client import NotFoundError
from serinus.core.events import EventKind
from serinus.dashboard import frame, session, states
from serinus.dashboard.history import exports, reading, words
from serinus.dashboard.history.reading import Filter
from serinus.words import mapped, rows

FIT, TALL = 8, 360
"""So many deployments stand on the page; more are scrolled in so many pixels."""
PLACE = "history_place"
"""The key of where a visitor is: the filter, and where each page up to the present one begins."""


def chosen_filter(name: str) -> Filter:
    """Let events be chosen by deployment, kind and time."""
    everywhere = st.toggle("All deployments", key="everywhere")
    left, middle, right = st.columns([2, 1, 1], gap="medium")
    with left:
        kinds = st.multiselect(
            "Kinds of events",
            [str(kind) for kind in EventKind],
            format_func=words.kind_in_words,
            key="kinds",
            placeholder="All kinds",
        )
    with middle:
        since = st.datetime_input("From", value=None, key="since", help=_zone(), step=60)
    with right:
        until = st.datetime_input("To", value=None, key="until", help=_zone(), step=60)
    return Filter(None if everywhere else name, tuple(kinds), _aware(since), _aware(until))


def timeline(wanted: Filter) -> None:
    """Draw a page of events, newest first, each with what it rests on behind a click."""
    begins = _place(wanted)
    with states.told():
        events, following = wanted.page(session.reading(), begins[-1])
        if not events:
            states.shown("No such events", "Nothing that is on record is of these kinds and times. Widen the filter.")
            return
        for event in events:
            label = words.line(event, with_name=wanted.name is None)
            with st.expander(label, icon=words.icon(event.get("kind"))):
                st.html(words.facts(event))
                evidence = words.evidence(event)
                if evidence:
                    st.caption("What it rests on")
                    st.json(evidence, expanded=3)
        _pager(len(begins), following)
        _files(wanted)


def _pager(page: int, following: int | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Newer", key="newer", icon=":material/arrow_back:", disabled=page == 1, on_click=_go_back)
        st.button(
            "Older",
            key="older",
            icon=":material/arrow_forward:",
            disabled=following is None,
            on_click=_go_on,
            args=(following,),
        )
        st.caption(f"Page {page}, newest first")


def _files(wanted: Filter) -> None:
    client = session.reading()
    most = f"{reading.MOST_WRITTEN:,}".replace(",", " ")
    with st.container(horizontal=True, vertical_alignment="center"):
        st.download_button(
            "CSV",
            lambda: exports.as_csv(reading.everything(client, wanted)),
            file_name="events.csv",
            mime="text/csv",
            key="csv",
            icon=":material/download:",
            on_click="ignore",
        )
        st.download_button(
            "JSON",
            lambda: exports.as_json(reading.everything(client, wanted)),
            file_name="events.json",
            mime="application/json",
            key="json",
            icon=":material/download:",
            on_click="ignore",
        )
        st.caption(f"All that the filter finds, not this page alone: the newest {most} events at most.")


def production(wanted: Filter) -> None:
    """Say what was in production at a time that is chosen."""
    st.subheader("What was in production?", anchor=False)
    at = _aware(st.datetime_input("At", value=None, key="at", help=f"{_zone()} Empty: now.", step=60))
    with states.told(place="production"):
        client = session.reading()
        if wanted.name is None:
            everywhere = client.production(at)
            many = len(rows(everywhere, "deployments")) > FIT
            with st.container(height=TALL if many else "content", border=many):
                st.html(words.production_of_all(everywhere))
            return
        try:
            was = mapped(client.production_of(wanted.name, at).get("production"))
        except NotFoundError:
            was = {}
        st.html(words.production(was, wanted.name))


def _place(wanted: Filter) -> list[int]:
    """Give where each page up to the present one begins; another filter begins anew."""
    kept = st.session_state.get(PLACE)
    if kept is None or kept[0] != wanted:
        kept = st.session_state[PLACE] = (wanted, [0])
    begins: list[int] = kept[1]
    return begins


def _go_on(following: int) -> None:
    st.session_state[PLACE][1].append(following)


def _go_back() -> None:
    st.session_state[PLACE][1].pop()


def _aware(chosen: datetime | None) -> datetime | None:
    return None if chosen is None else chosen.astimezone()


def _zone() -> str:
    return f"In the dashboard's time zone, {datetime.now().astimezone().tzname()}."


found = chosen_filter(frame.opened("Deployment history", "What happened, who did it, why, and on which evidence."))
production(found)
st.subheader("Events", anchor=False)
timeline(found)
