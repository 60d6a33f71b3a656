"""The buttons of the live page: what the state allows can be pressed, what it does not says why."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from serinus.dashboard import acting, app, frame, panels
from serinus.dashboard.acting import Act
from serinus.words import listed, mapped, number

Document = Mapping[str, Any]
STEP = 10.0
ALL = 100.0
_WEIGHT = "weight"
_ROLLOUT = ("pause", "resume", "set weight", "approve", "promote", "rollback")


def drawn(name: str, deployment: Document) -> None:
    """Draw the controls of a deployment as it was seen."""
    possible = {str(each) for each in listed(deployment.get("possible"))}
    if possible.isdisjoint(_ROLLOUT):
        _without_canary(name, deployment, possible)
        return
    st.text_input("Reason, for the history", key=acting.REASON, placeholder=acting.USUAL_REASON, max_chars=1000)
    now = panels.share(deployment)
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        for change, key in ((-STEP, "less"), (STEP, "more")):
            share = min(ALL, max(0.0, now + change))
            act = Act("set weight", name, deployment, weight=share)
            label = ("+" if change > 0 else "\N{MINUS SIGN}") + f"{STEP:g}"
            said = f"Give the canary {share:g} %." if share != now else f"It has {now:g} % already."
            _button(label, act, possible, key=key, said=said, enabled=share != now)
        given = st.number_input(
            "Weight in %", 0.0, ALL, step=1.0, value=None, placeholder=f"{now:g}", key=_WEIGHT, width=130, format="%.4g"
        )
        act = Act("set weight", name, deployment, weight=given)
        _button("Set weight", act, possible, key="set", said="Give the canary this share.", enabled=given is not None)
    with st.container(horizontal=True, gap="small"):
        held = "resume" if "resume" in possible else "pause"
        said = "Let it go on." if held == "resume" else "Hold it: it keeps its share."
        _button(held.title(), Act(held, name, deployment), possible, key="hold", said=said)
        _button("Approve", Act("approve", name, deployment), possible, key="approve", said="Give your word for it.")
        _button("Promote", Act("promote", name, deployment), possible, key="promote", said="Make it the baseline.")
        _button(
            "Roll back", Act("rollback", name, deployment), possible, key="rollback", said="Take it out.", primary=True
        )
    _why_not(deployment, possible)
    with st.expander("Who acts"):
        frame.visitor()


def _without_canary(name: str, deployment: Document, possible: set[str]) -> None:
    st.page_link(
        app.DEPLOY,
        label="Deploy a new canary",
        icon=":material/rocket_launch:",
        query_params={frame.CHOSEN: name},
    )
    if "undo" in possible:
        before = listed(deployment.get("previous"))[-1:]
        said = f"Return to {before[0]}." if before else "Return to the version before."
        _button("Undo the last promotion", Act("undo", name, deployment), possible, key="undo", said=said)


def _button(
    label: str, act: Act, possible: set[str], *, key: str, said: str, enabled: bool = True, primary: bool = False
) -> None:
    allowed = act.verb in possible
    st.button(
        label,
        key=f"act_{key}",
        type="primary" if primary else "secondary",
        help=said if allowed else f"Not possible now: {reason(act.verb, act.seen)}.",
        disabled=not (allowed and enabled),
        on_click=acting.wanted,
        args=(act,),
    )


def _why_not(deployment: Document, possible: set[str]) -> None:
    """Say in words, for those who cannot point at a button, what is not possible and why."""
    lacking = [verb for verb in ("set weight", "pause", "approve", "promote") if verb not in possible]
    if "resume" in possible:
        lacking = [verb for verb in lacking if verb != "pause"]
    reasons: dict[str, list[str]] = {}
    for verb in lacking:
        reasons.setdefault(reason(verb, deployment), []).append(verb)
    told = "; ".join(f"{', '.join(verbs)} ({why})" for why, verbs in reasons.items())
    # Always drawn, so that what follows keeps its place.
    st.caption(f"Not possible now: {told}." if told else "All commands are possible now.")


def reason(verb: str, deployment: Document) -> str:
    """Say why a command is not possible in a state."""
    status, rollout = str(deployment.get("status")), mapped(panels.active_rollout(deployment))
    if not rollout:
        return "no canary is running"
    if verb == "approve" and status == "canary":
        waits = number(mapped(rollout.get("plan")).get("step")) is not None
        return "the plan waits for nobody's word" if waits else "it follows no plan that waits for a word"
    if status == "paused":
        return "the rollout is paused: resume it first"
    if status == "baking":
        return "it is promoted, and bakes"
    return f"the deployment is {status}"
