"""Model comparison: what speaks for a canary and what against it, in the rollout under way or one that ended."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from serinus.client import ApiError
from serinus.core.errors import SerinusError
from serinus.dashboard import drawing, frame, panels, session, states
from serinus.dashboard.charts import ROLES
from serinus.dashboard.comparison import charts, words
from serinus.dashboard.markup import element, text
from serinus.words import mapped, number, rows

Document = Mapping[str, Any]
EVERY_S = 5.0
POINTS = 300
CHOSEN = "rollout"


def compared(name: str, rollout: Document) -> None:
    """Draw one rollout."""
    with states.told(retried=True):
        client = session.reading()
        place = int(str(rollout["id"]).rpartition(":")[2])
        history = client.history(name, place, points=POINTS)
        metrics = client.metrics(name, str(rollout["id"]))
        st.html(words.verdict(history))
        _time_to_decision(name, history)
        _limits(history)
        _evidence(history)
        _roles(metrics)


def _limits(history: Document) -> None:
    st.subheader("Metrics against their limits", anchor=False)
    found = words.guardrails(history)
    if not found:
        st.caption("Nothing has been compared yet: there are no limits on record.")
        return
    for (metric, limit), place in zip(found, st.columns(len(found), gap="large"), strict=True):
        name = str(metric["name"])
        with place:
            interval = " with its interval" if metric.get("low") is not None else ""
            st.caption(f"{charts.TITLES.get(name, name).capitalize()}: the difference{interval}")
            said = f"The difference of the {charts.TITLES.get(name, name)} against its limits, as in the table below."
            drawing.drawn(charts.difference(metric, limit), key=f"difference_{name}", alternative=said)
    st.html(words.table_of_guardrails(history))


def _evidence(history: Document) -> None:
    thresholds = mapped(history.get("thresholds"))
    if not rows(history, "points"):
        return
    left, right = st.columns(2, gap="large")
    if number(thresholds.get("rollback_odds")) is None:
        for limit, place in zip(rows(thresholds, "metrics"), (left, right), strict=False):
            name = str(limit["name"])
            with place:
                st.subheader(f"Difference of the {charts.TITLES.get(name, name)} over time", anchor=False)
                said = f"{charts.TITLES.get(name, name)} over time; the table above has the newest values."
                drawing.drawn(charts.differences(history, name, limit), key=f"over_time_{name}", alternative=said)
        return
    sides = (
        ("odds_against", "rollback_odds", "Evidence that it is worse", "rolled back"),
        ("odds_for", "promotion_odds", "Evidence that it is no worse", "may be promoted"),
    )
    for (side, needed, title, decides), place in zip(sides, (left, right), strict=True):
        with place:
            st.subheader(title, anchor=False)
            wanted = number(thresholds.get(needed)) or 1.0
            said = words.said_of_evidence(history, side, wanted)
            drawing.drawn(
                charts.evidence(history, side, wanted, decides),
                key=side,
                alternative=f"{title}, over time; the newest stands below.",
            )
            st.caption(said)


def _roles(metrics: Document) -> None:
    if not any(number(mapped(metrics.get(role)).get("requests")) for role in ROLES):
        states.no_data(str(metrics.get("deployment")))
        return
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Latency", anchor=False)
        said = "The distribution of both roles' latencies; the table below has its quantiles."
        drawing.drawn(charts.latencies(metrics), key="latencies", alternative=said)
        st.html(words.table_of_latencies(metrics))
    with right:
        st.subheader("Errors by kind", anchor=False)
        said = "Errors of both roles by kind; the table below has the counts."
        drawing.drawn(charts.failures(metrics), key="failures", alternative=said)
        st.html(words.table_of_failures(metrics))


def _time_to_decision(name: str, history: Document) -> None:
    rollout = mapped(history.get("rollout"))
    share = number(rollout.get("weight")) or 0.0
    if rollout.get("phase") not in panels.ACTIVE:
        said = words.time_taken(history)
    elif not 0.0 < share < panels.ALL:
        return
    else:
        try:
            said = words.time_to_decision(session.reading().forecast(name, weights=[share]), history)
        except ApiError as refused:  # without traffic, or by a policy that has no odds to foresee
            said = f"{refused.message} {refused.remedy}".strip()
    st.html(element("p", f"{element('strong', 'Time to decision:')} {text(said)}", class_="sr-verdict"))


def _chosen_rollout(name: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Let a rollout be chosen, the newest at first."""
    labels = {str(each["id"]): words.label(each) for each in found}
    asked = st.query_params.get(CHOSEN)
    chosen = st.selectbox(
        "Rollout",
        list(labels),
        index=list(labels).index(asked) if asked in labels else 0,
        format_func=lambda each: labels[each],
        key=f"rollout_of_{name}",
    )
    if chosen != next(iter(labels)):
        st.query_params[CHOSEN] = chosen
    elif CHOSEN in st.query_params:
        del st.query_params[CHOSEN]
    return next(each for each in found if each["id"] == chosen)


chosen_name = frame.opened("Model comparison", "How a canary does against the baseline, and how sure that is.")
try:
    rollouts = rows(session.reading().rollouts(chosen_name), "rollouts")
except SerinusError as error:
    states.failure(error)
    st.stop()
if rollouts:
    one = _chosen_rollout(chosen_name, rollouts)
    every_s = EVERY_S if one.get("phase") in panels.ACTIVE else None
    st.fragment(compared, run_every=every_s)(chosen_name, one)
else:
    states.shown(
        "No canary yet",
        "There is nothing to compare until a canary has had a share of the traffic. What the baseline does is below.",
        (f"canary start {chosen_name} VERSION --plan standard",),
    )
    with states.told():
        _roles(session.reading().metrics(chosen_name))
