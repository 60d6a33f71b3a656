"""Deploy new canary: choose a version and a way, see what is to be expected, try it, start it."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import streamlit as st

from serinus.client import ConflictError, InvalidError
from serinus.core.errors import SerinusError
from serinus.core.names import VersionRef
from serinus.core.presets import PRESETS
from serinus.dashboard import acting, app, charts, deploying, frame, launching, panels, session, states
from serinus.dashboard.acting import Notice
from serinus.dashboard.deploying import Document, Way
from serinus.words import mapped, plain, rows

BY_PLAN, AT_WEIGHT, OWN_PLAN = "By a plan", "At a weight", "By your own plan"
CANARY, FIRST = "A canary of this deployment", "A new deployment"

USUAL_WEIGHT = 20.0
TRY, START = "try", "start"
_PRESSED = "pressed"


def chosen_version(
    models: Sequence[Document], deployment: Document | None
) -> tuple[Document, Sequence[Document]] | None:
    """Let a version be chosen; gives it with all versions of its model."""
    names = [str(each.get("name")) for each in models]
    serving = plain(mapped(deployment).get("baseline")).partition("@")[0]
    model_place, version_place = st.columns([2, 3])
    with model_place:
        model = st.selectbox("Model", names, index=names.index(serving) if serving in names else 0, key="model")
    versions = rows(session.reading().versions(model), "versions")[::-1]
    if not versions:
        return None
    # The newest that has no traffic yet.
    known = (mapped(deployment).get("baseline"), mapped(panels.active_rollout(mapped(deployment))).get("canary"))
    first = next((at for at, each in enumerate(versions) if each.get("ref") not in known), 0)
    with version_place:
        version = st.selectbox(
            "Version", versions, index=first, format_func=deploying.version_words, key=f"version_{model}"
        )
    return version, versions


def shown_version(version: Document, baseline: Document | None) -> None:
    """Show what is known of the version."""
    st.html(deploying.metrics_view(version, baseline if baseline != version else None))
    st.html(deploying.version_view(version))
    with st.expander("Signature"):
        st.html(deploying.signature_view(version))


def chosen_way() -> Way:
    """Let the way of the traffic be chosen."""
    kind = st.segmented_control("Traffic", [BY_PLAN, AT_WEIGHT, OWN_PLAN], default=BY_PLAN, required=True, key="way")
    if kind == AT_WEIGHT:
        given = st.number_input("Weight in %", 0.0, 100.0, USUAL_WEIGHT, step=1.0, format="%.4g", key="start_weight")
        st.caption("It stays there until it is promoted, rolled back or given another weight.")
        return Way(weight=given)
    if kind == BY_PLAN:
        preset = st.selectbox("Plan", list(PRESETS), index=1, format_func=deploying.preset_words, key="preset")
        st.html(deploying.steps_of(PRESETS[preset]))
        return Way(preset=preset)
    written = st.text_area("Plan, as YAML", deploying.preset_text("standard"), height=340, key="plan_text")
    plan, remarks = deploying.read(written)
    st.caption("It is checked when you leave the field, or with Ctrl+Enter.")
    for remark in remarks:
        place = f"Line {remark.line}: " if remark.line else ""
        st.html(panels.note("bad" if remark.is_problem else "watch", f"{place}{remark.said}"))
    if plan is not None:
        st.html(deploying.steps_of(plan))
    return Way(own=plan)


def forecast(name: str, way: Way) -> None:
    """Show what is to be expected of the way, by the deployment's own traffic."""
    st.subheader("Forecast", anchor=False)
    if not way.asked:
        st.caption("There is no plan to forecast yet.")
        return
    expected = st.number_input(
        "Requests a second", 0.001, 1e6, value=None, placeholder="as of late", key="rate", width=180, format="%.4g"
    )
    with states.told(place="forecast"):
        try:
            document = session.reading().forecast(name, rate=expected, **way.asked)
        except InvalidError as refused:
            # Without traffic the rate has to be given; what is judged by another policy has no odds to foresee.
            remedy = "Give the requests a second that you expect." if refused.field == "rate" else refused.remedy
            st.html(panels.note("open", f"{refused.message} {remedy}".strip()))
            return
        st.caption(deploying.forecast_words(document))
        for warning in document.get("warnings") or ():
            st.html(panels.note("watch", plain(warning)))
        st.html(deploying.forecast_table(document))
        unit, columns = deploying.forecast_columns(document)
        if columns["share"]:
            charts.drawn(
                _bars(list(dict.fromkeys(columns["share"])), unit),
                columns,
                key="forecast_chart",
                alternative="Time at each share until a canary worse by the margin is rolled back, and until a good "
                "one may be promoted; the table above has the numbers.",
            )


def _bars(shares: Sequence[str], unit: str) -> alt.TopLevelMixin:
    whats = alt.Scale(range=[launching.CANARY, launching.BASELINE])
    bars: alt.TopLevelMixin = (
        alt.Chart(alt.NamedData("rows"))
        .mark_bar()
        .encode(
            x=alt.X("time:Q", title=unit, axis=alt.Axis(tickCount=5)),
            y=alt.Y("share:N", title=None, sort=list(shares)),
            yOffset="what:N",
            color=alt.Color(
                "what:N", scale=whats, legend=alt.Legend(orient="top", title=None, labelLimit=0, columns=1)
            ),
            tooltip=["share:N", "what:N", alt.Tooltip("time:Q", title=unit, format=".3~g")],
        )
        .properties(height=alt.Step(14))
    )
    return bars


def start(name: str, version: Document, way: Way, deployment: Document) -> None:
    """Draw the buttons of a start, and carry out what is pressed."""
    st.subheader("Start", anchor=False)
    running = panels.active_rollout(deployment)
    ref = plain(version.get("ref"))
    replace = False
    if running:
        said = f"{plain(running.get('canary'))} is under way. Two canaries at once are not possible."
        st.html(panels.note("watch", said))
        replace = st.checkbox(f"Roll {plain(running.get('canary'))} back first, and replace it", key="replace")
    reason = st.text_input(
        "Reason, for the history", key="start_reason", placeholder=acting.USUAL_REASON, max_chars=1000
    )
    serves = deployment.get("baseline") == version.get("ref")
    ready = bool(way.sent) and (replace or not running) and not serves
    given: dict[str, Any] = {
        **way.sent,
        "model": str(version.get("model")),
        "replace": replace,
        "reason": reason.strip() or acting.USUAL_REASON,
    }
    seen = (deployment.get("generation"), plain(running.get("canary")) if running else "")
    with st.container(horizontal=True):
        st.button(
            "Dry run",
            key="dry_run",
            disabled=not ready,
            help="Load it, check it, say what would be; change nothing.",
            on_click=_press,
            args=(TRY, *seen),
        )
        st.button(f"Start {ref}", key="start", type="primary", disabled=not ready, on_click=_press, args=(START, *seen))
    if serves:
        st.caption(f"{ref} is the baseline already: choose another version.")
    elif not ready:
        st.caption("Choose to replace the canary under way." if running else "The plan has to be right first.")
    _carry_out(name, version, given)


def _press(what: str, generation: int | None, running: str) -> None:
    """Keep a press with what the visitor saw: by the time the page is drawn again it may have changed."""
    st.session_state[_PRESSED] = (what, generation, running)


def _carry_out(name: str, version: Document, given: dict[str, Any]) -> None:
    what, generation, running = st.session_state.pop(_PRESSED, ("", None, ""))
    given["expected_generation"] = generation
    if what == TRY:
        _try(name, version, given)
    elif what == START and running:
        _ask(name, version, given, running)
    elif what == START:
        _start(name, version, given)


def _try(name: str, version: Document, given: dict[str, Any]) -> None:
    with st.spinner(f"Loading and checking {plain(version.get('ref'))} …"):
        try:
            asked = {name: value for name, value in given.items() if name != "reason"}
            with session.commanding() as client:
                answer = client.rehearse(name, int(version["version"]), **asked)
        except SerinusError as error:
            st.html(Notice(name, "bad", _why("It could not be started", name, given, error)).html)
            return
    st.html(Notice(name, "good", tuple(deploying.would_be(answer))).html)


def _start(name: str, version: Document, given: dict[str, Any]) -> None:
    ref = plain(version.get("ref"))
    with st.spinner(f"Loading, warming and checking {ref} …"):
        try:
            with session.commanding() as client:
                done = client.start(name, int(version["version"]), **given)
        except SerinusError as error:
            st.html(Notice(name, "bad", _why("Not started", name, given, error)).html)
            return
    _show(name, (f"{ref} is started.", *acting.cautions(done)))


def _why(what_not: str, name: str, given: dict[str, Any], error: SerinusError) -> tuple[str, ...]:
    if isinstance(error, ConflictError):
        return acting.conflicted(what_not, name, given["expected_generation"], error)
    return (f"{what_not}: {error}",)


@st.dialog("Are you sure?")
def _ask(name: str, version: Document, given: dict[str, Any], running: str) -> None:
    ref = plain(version.get("ref"))
    said = f"{running} is rolled back, and {ref} gets its first share of the traffic of {name}."
    st.html(panels.question(f"Replace {running}?", said))
    yes, no = st.columns(2)
    if yes.button("Replace", type="primary", key="replace_yes", width="stretch"):
        _start(name, version, given)
    if no.button("Cancel", key="replace_no", width="stretch"):
        st.rerun()


def deploy(version: Document) -> None:
    """Draw what makes a new deployment, and carry it out."""
    st.subheader("Deploy", anchor=False)
    name = st.text_input("Name of the deployment", key="new_name", placeholder="heart-prod", max_chars=63)
    reason = st.text_input("Reason, for the history", key="new_reason", placeholder=acting.USUAL_REASON, max_chars=1000)
    ref = VersionRef(str(version["model"]), int(version["version"]))
    if st.button(f"Deploy {ref}", key="deploy", type="primary", disabled=not name.strip()):
        with st.spinner(f"Loading, warming and checking {ref} …"):
            try:
                with session.commanding() as client:
                    done = client.deploy(name.strip(), ref, reason=reason.strip() or acting.USUAL_REASON)
            except SerinusError as error:
                st.html(Notice(name, "bad", (f"Not deployed: {error}",)).html)
                return
        _show(name.strip(), (f"{ref} serves as {name.strip()}.", *acting.cautions(done)))


def _show(name: str, told: tuple[str, ...]) -> None:
    st.session_state[acting.NOTICE] = Notice(name, "good", told)
    st.switch_page(app.LIVE, query_params={frame.CHOSEN: name})


def page() -> None:
    """Draw the page."""
    name = frame.opened(
        "Deploy new canary",
        "Choose a version and the way of its traffic; see what to expect; try it; start it.",
        without=True,
    )
    with states.told():
        client = session.reading()
        models = rows(client.models(), "models")
        if not models:
            states.shown(
                "No model yet",
                "Register a version of a model first; it can be deployed then.",
                ("canary register model.skops --name heart",),
            )
            return
        kinds = [CANARY, FIRST] if name else [FIRST]
        kind = st.segmented_control("What to start", kinds, default=kinds[0], required=True, key="kind")
        is_first = kind == FIRST
        deployment = None if is_first else client.deployment(name)
        what, how = st.columns(2, gap="large")
        with what:
            st.subheader("Version", anchor=False)
            found = chosen_version(models, deployment)
            if found is None:
                return
            version, versions = found
            baseline = mapped(deployment).get("baseline")
            shown_version(version, next((each for each in versions if each.get("ref") == baseline), None))
        with how:
            if deployment is None:
                deploy(version)
                return
            st.subheader("Traffic", anchor=False)
            way = chosen_way()
        forecast(name, way)
        start(name, version, way, deployment)
        with st.expander("Who acts"):
            frame.visitor()


page()
