"""Live traffic split: what runs, how it does, and the buttons to steer it; drawn anew every second."""

from datetime import UTC, datetime

import streamlit as st

from serinus.dashboard import acting, charts, controls, frame, panels, session, states
from serinus.dashboard.rates import Series
from serinus.words import mapped, number

EVERY_S = 1.0


def series_of(name: str) -> Series:
    """Give the totals that this visitor has seen of a deployment."""
    kept = st.session_state.setdefault("series", {})
    if name not in kept:
        kept.clear()
        kept[name] = Series()
    found: Series = kept[name]
    return found


@st.fragment(run_every=EVERY_S)
def live(name: str) -> None:
    """Draw a deployment as it is now."""
    if acting.ASKED in st.session_state:
        st.rerun()
    with states.told(retried=True):
        client = session.reading()
        deployment, health = client.deployment(name), client.health(name)
        metrics = client.metrics(name, between=panels.active_rollout(deployment) is None)
        now = datetime.now(UTC)
        series = series_of(name)
        series.add(metrics.get("rollout"), now, metrics)
        _notice(name)
        st.html(
            panels.heading(deployment, health, now)
            + panels.verdict(deployment, health)
            + panels.notes(deployment, health, now)
        )
        left, right = st.columns([3, 2], gap="large")
        with left:
            st.subheader("Traffic", anchor=False)
            st.html(panels.split(deployment) + panels.steps(deployment, now))
        with right:
            st.subheader("Steer", anchor=False)
            controls.drawn(name, deployment)
        _numbers(name, metrics, health, series)


def _notice(name: str) -> None:
    """Say what came of the last command, until it is dismissed."""
    notice = st.session_state.get(acting.NOTICE)
    if notice is None or notice.name != name:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.html(f"<div role='alert'>{notice.html}</div>")
        st.button("Dismiss", key="dismiss", on_click=lambda: st.session_state.pop(acting.NOTICE, None))


def _numbers(name: str, metrics: panels.Document, health: panels.Document, series: Series) -> None:
    asked = sum(number(mapped(metrics.get(role)).get("requests")) or 0 for role in charts.ROLES)
    if not asked:
        states.no_data(name)
        return
    latest = series.latest()
    columns = series.columns()
    for place, (field, title) in zip(
        st.columns(2, gap="large"), (("requests", "requests / s"), ("errors", "errors / s")), strict=True
    ):
        with place:
            st.subheader(title.capitalize(), anchor=False)
            charts.drawn(
                charts.over_time(field, title),
                {name: columns[name] for name in ("at", "role", field)},
                key=f"chart_{field}",
                alternative=f"{title} of both roles over the last two minutes; the table below has the newest values.",
            )
    st.subheader("Baseline and canary" if metrics.get("canary") else "Baseline", anchor=False)
    st.html(panels.arms(metrics, health, latest))


chosen = frame.opened("Live traffic split", "What serves, how it does, and the way to steer it.")
asked_for = st.session_state.pop(acting.ASKED, None)
live(chosen)
if asked_for is not None and asked_for.name == chosen:
    acting.ask(asked_for)
