"""Charts of a rollout: documents of the API go in, Altair's charts come out. Each has one data set, in itself."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt

from serinus.dashboard.charts import ROLES, role_colour
from serinus.dashboard.drawing import DAY_AND_NIGHT
from serinus.dashboard.launching import BASELINE, CANARY
from serinus.words import mapped, number, points, read_time, rows

Document = Mapping[str, Any]
Chart = alt.Chart | alt.LayerChart

TITLES = {"errors": "error rate", "p95": "p95 latency"}
UNITS = {"errors": "points", "p95": "ms"}
SCALES = {"errors": 100.0, "p95": 1.0}
"""What a metric is multiplied by to be shown in its unit."""
LEAST_ODDS, MOST_ODDS = -3.0, 7.0
"""Common logarithms of the odds that are shown; what is beyond is drawn at the edge."""
SHOWN_MARGINS = 3.0
"""Differences are shown as far as so many margins; an interval that goes on is drawn to the edge."""
BUCKETS_TOGETHER = 8
"""So many log buckets, each 2 % wide, are one step of a distribution: 17 %."""
HEIGHT, LINE_HEIGHT = 300, 190
KINDS = ("model_errors", "timeouts", "client_errors", "platform_errors")

_ROLES = alt.Scale(domain=list(ROLES), range=[BASELINE, CANARY])
_ROLE_STROKES = alt.Scale(domain=list(ROLES), range=[[1, 0], [6, 2]])
_LEGEND = alt.Legend(orient="top", title=None, symbolType="stroke", symbolSize=300, labelLimit=320)
_IN_ONE = alt.Legend(orient="top", title=None, symbolType="stroke", symbolSize=300, columns=1)
_IN_TWO = alt.Legend(orient="top", title=None, symbolType="stroke", symbolSize=300, columns=2)
_MILLISECONDS = alt.Axis(title="latency, ms", tickCount=6, format="~g")
_TIME = alt.Axis(format="%H:%M:%S", tickCount=4, labelOverlap=True, labelBound=True)


def _of(held: list[dict[str, Any]]) -> alt.Chart:
    data: Any = alt.Data(values=held)  # type: ignore[no-untyped-call]
    return alt.Chart(data)


def _layered(height: int, *layers: alt.Chart) -> alt.LayerChart:
    chart: Any = alt.layer(*layers)
    layered: alt.LayerChart = chart.properties(height=height)
    return layered


# --------------------------------------------------------------------------------------- differences


def difference(metric: Document, threshold: Document) -> alt.LayerChart:
    """Draw a metric's difference, with its interval if it has one, against the limits of the policy.

    ``metric`` has ``name``, ``difference``, and ``low`` and ``high``; ``threshold`` that metric's limits.
    """
    name = str(metric.get("name"))
    scale, unit = SCALES.get(name, 1.0), UNITS.get(name, "")
    limits = list(_limits(name, threshold))
    reach = SHOWN_MARGINS * max((at for _, at in limits), default=1.0)
    held: list[dict[str, Any]] = [{"what": "limit", "name": label, "at": at} for label, at in limits]
    held.append({"what": "limit", "name": "no difference", "at": 0.0})
    middle, low, high = (number(metric.get(each)) for each in ("difference", "low", "high"))
    if low is not None and high is not None:
        held.append(
            {
                "what": "interval",
                "metric": name,
                "low": _within(low * scale, reach),
                "high": _within(high * scale, reach),
            }
        )
    if middle is not None:
        held.append(
            {"what": "difference", "metric": name, "at": _within(middle * scale, reach), "exact": middle * scale}
        )
    edges = alt.Scale(padding=24)
    names = [label for label, _ in limits]
    base, row = _of(held), alt.Y("metric:N", axis=None)
    axis = alt.Axis(title=f"canary minus baseline, {unit}", tickCount=5, format="~f", grid=False)
    rules = (
        base.transform_filter("datum.what == 'limit'")
        .mark_rule(strokeWidth=2)
        .encode(
            x=alt.X("at:Q", scale=edges, axis=axis),
            color=alt.Color(
                "name:N",
                scale=alt.Scale(
                    domain=["no difference", *names],
                    range=[DAY_AND_NIGHT["line"], DAY_AND_NIGHT["better"], DAY_AND_NIGHT["worse"]],
                ),
                legend=_IN_TWO,
            ),
            strokeDash=alt.StrokeDash(
                "name:N",
                scale=alt.Scale(domain=["no difference", *names], range=[[1, 0], [3, 3], [8, 4]]),
                legend=_IN_TWO,
            ),
            tooltip=[alt.Tooltip("name:N", title="limit"), alt.Tooltip("at:Q", title=unit, format=".3~f")],
        )
    )
    bar = (
        base.transform_filter("datum.what == 'interval'")
        .mark_bar(height=12, color=DAY_AND_NIGHT["line"], opacity=0.55, cornerRadius=3)
        .encode(x=alt.X("low:Q", scale=edges), x2="high:Q", y=row)
    )
    point = (
        base.transform_filter("datum.what == 'difference'")
        .mark_point(size=130, filled=True, shape="diamond", color=CANARY, opacity=1)
        .encode(
            x=alt.X("at:Q", scale=edges),
            y=row,
            tooltip=[alt.Tooltip("exact:Q", title=f"difference, {unit}", format=".3~f")],
        )
    )
    # A layer without data would be a picture without a name to those who have it read to them.
    known = {"interval": bar, "limit": rules, "difference": point}
    present = {each["what"] for each in held}
    return _layered(LINE_HEIGHT, *(layer for what, layer in known.items() if what in present))


def _limits(name: str, threshold: Document) -> Iterator[tuple[str, float]]:
    """Give a policy's limits of a metric in its unit, the smaller first."""
    for key, word in (("tolerance", "tolerance"), ("margin", "margin"), ("hold", "holds"), ("rollback", "rolls back")):
        limit = number(threshold.get(key))
        if limit is not None:
            yield f"{word} {points(limit) if name == 'errors' else f'{limit:g} ms'}", limit * SCALES.get(name, 1.0)


def _within(value: float, reach: float) -> float:
    return max(-reach, min(reach, value))


# ---------------------------------------------------------------------------------- evidence over time


def evidence(history: Document, side: str, wanted: object, decides: str) -> alt.LayerChart:
    """Draw the odds of each metric over time on a logarithmic scale, with the odds that decide.

    ``side`` is ``odds_against`` or ``odds_for``; ``wanted`` the odds to one that are needed, ``decides`` what they do.
    """
    needed = number(wanted)
    threshold = f"{decides} at {needed or 0:g}:1"
    names = ["errors", "p95", threshold]
    colours = alt.Scale(domain=names, range=["#2f6fb0", "#b0662f", DAY_AND_NIGHT["line"]])
    strokes = alt.Scale(domain=names, range=[[1, 0], [6, 3], [1, 0]])
    held: list[dict[str, Any]] = [
        {"what": "odds", "at": at, "metric": str(metric.get("name")), "log": shown}
        for at, point in _over_time(history)
        for metric in rows(point, "metrics")
        if (shown := _common_log(metric.get(side))) is not None
    ]
    if needed:
        held.append({"what": "wanted", "metric": threshold, "log": math.log10(needed)})
    base = _of(held)
    odds = "datum.value < 0 ? '1:' + format(pow(10, -datum.value), ',') : format(pow(10, datum.value), ',') + ':1'"
    edges = alt.Scale(zero=False, padding=10)
    y = alt.Y("log:Q", scale=edges, axis=alt.Axis(title="odds", labelExpr=odds, tickMinStep=1, tickCount=6))
    lines = (
        base.transform_filter("datum.what == 'odds'")
        .mark_line(strokeWidth=2, interpolate="step-after", point=len(held) < 3)  # noqa: PLR2004 - no line from one point
        .encode(
            x=alt.X("at:T", title=None, axis=_TIME),
            y=y,
            color=alt.Color("metric:N", scale=colours, legend=_LEGEND),
            strokeDash=alt.StrokeDash("metric:N", scale=strokes, legend=_LEGEND),
            tooltip=[
                alt.Tooltip("metric:N", title="metric"),
                alt.Tooltip("at:T", title="at", format="%H:%M:%S"),
                alt.Tooltip("log:Q", title="odds, as a power of ten", format=".2f"),
            ],
        )
    )
    rule = (
        base.transform_filter("datum.what == 'wanted'")
        .mark_rule(strokeWidth=2)
        .encode(
            y=alt.Y("log:Q", scale=edges),
            color=alt.Color("metric:N", scale=colours, legend=_LEGEND),
            strokeDash=alt.StrokeDash("metric:N", scale=strokes, legend=_LEGEND),
        )
    )
    return _layered(HEIGHT, *([lines] if any(each["what"] == "odds" for each in held) else []), rule)


def differences(history: Document, name: str, threshold: Document) -> alt.LayerChart:
    """Draw the difference of a metric over time against the limits of a policy that goes by differences."""
    scale, unit = SCALES.get(name, 1.0), UNITS.get(name, "")
    key = "error_rate" if name == "errors" else "p95_ms"
    held: list[dict[str, Any]] = []
    for at, point in _over_time(history):
        baseline, canary = (number(mapped(point.get(role)).get(key)) for role in ROLES)
        if baseline is not None and canary is not None:
            held.append({"what": "difference", "at": at, "value": (canary - baseline) * scale})
    limits = list(_limits(name, threshold))
    held += [{"what": "limit", "name": label, "value": at} for label, at in limits]
    base = _of(held)
    y = alt.Y("value:Q", title=f"canary minus baseline, {unit}", axis=alt.Axis(tickCount=5, format="~f"))
    names = [label for label, _ in limits]
    lines = (
        base.transform_filter("datum.what == 'difference'")
        .mark_line(strokeWidth=2, color=CANARY, interpolate="step-after", point=len(held) - len(limits) < 2)  # noqa: PLR2004
        .encode(
            x=alt.X("at:T", title=None, axis=_TIME),
            y=y,
            tooltip=[
                alt.Tooltip("at:T", title="at", format="%H:%M:%S"),
                alt.Tooltip("value:Q", title=unit, format=".3~f"),
            ],
        )
    )
    shown = alt.Scale(domain=names, range=[DAY_AND_NIGHT["better"], DAY_AND_NIGHT["worse"]])
    dashes = alt.Scale(domain=names, range=[[3, 3], [8, 4]])
    rules = (
        base.transform_filter("datum.what == 'limit'")
        .mark_rule(strokeWidth=2)
        .encode(
            y=y,
            color=alt.Color("name:N", scale=shown, legend=_IN_ONE),
            strokeDash=alt.StrokeDash("name:N", scale=dashes, legend=_IN_ONE),
        )
    )
    return _layered(HEIGHT, lines, rules)


def _over_time(history: Document) -> Iterator[tuple[float, dict[str, Any]]]:
    """Give the points of a history, each with its time in milliseconds."""
    for point in rows(history, "points"):
        at = read_time(point.get("at"))
        if at is not None:
            yield at.timestamp() * 1000, point


def _common_log(natural: object) -> float | None:
    log = number(natural)
    return None if log is None else max(LEAST_ODDS, min(MOST_ODDS, log / math.log(10.0)))


# ------------------------------------------------------------------------------------ what the roles did


def latencies(metrics: Document) -> alt.Chart:
    """Draw the distribution of both roles' latencies, as shares of their requests, on a logarithmic scale."""
    held = [
        {"role": role, "low": low, "high": high, "share": share}
        for role in ROLES
        for low, high, share in distribution(rows(mapped(metrics.get(role)), "latency"))
    ]
    chart: alt.Chart = (
        _of(held)
        .mark_area(line={"strokeWidth": 2}, fillOpacity=0.15, interpolate="step-after")
        .encode(
            x=alt.X(
                "low:Q",
                scale=alt.Scale(type="log", nice=False),
                axis=_MILLISECONDS,
            ),
            y=alt.Y("share:Q", stack=None, axis=alt.Axis(title="share of its requests", format="~%", tickCount=4)),
            color=role_colour(),
            strokeDash=alt.StrokeDash("role:N", scale=_ROLE_STROKES, legend=_LEGEND),
            tooltip=[
                alt.Tooltip("role:N", title="role"),
                alt.Tooltip("low:Q", title="from ms", format=".3~g"),
                alt.Tooltip("high:Q", title="to ms", format=".3~g"),
                alt.Tooltip("share:Q", title="share", format=".2~%"),
            ],
        )
        .properties(height=HEIGHT)
    )
    return chart


def distribution(buckets: Sequence[Document]) -> list[tuple[float, float, float]]:
    """Put log buckets together: (from, to, share) in milliseconds, without gaps, with an empty one at either end."""
    counts: dict[int, float] = {}
    for bucket in buckets:
        low, count = number(bucket.get("low_ms")) or 0.0, number(bucket.get("count")) or 0.0
        # A little more than the edge, which is rounded. What took up to 1 ms is in the step before that.
        step = math.floor(math.log(low * 1.001) / _STEP) if low >= 1 else -1
        counts[step] = counts.get(step, 0.0) + count
    total = sum(counts.values())
    if not total:
        return []
    return [
        (math.exp(step * _STEP), math.exp((step + 1) * _STEP), counts.get(step, 0.0) / total)
        for step in range(min(counts) - 1, max(counts) + 2)
    ]


_STEP = BUCKETS_TOGETHER * math.log(1.02)


def failures(metrics: Document) -> alt.LayerChart:
    """Draw both roles' errors by kind, in a thousand requests."""
    held = []
    for role in ROLES:
        counts = mapped(metrics.get(role))
        requests = number(counts.get("requests"))
        for kind in KINDS:
            many = number(counts.get(kind))
            if requests and many is not None:
                held.append({"role": role, "kind": kind.replace("_", " "), "rate": many / requests * 1000})
    order = [kind.replace("_", " ") for kind in KINDS]
    base = _of(held)
    bars = base.mark_bar(cornerRadiusEnd=2).encode(
        x=alt.X("rate:Q", axis=alt.Axis(title="in 1000 requests", tickCount=4, format="~f")),
        y=alt.Y("kind:N", sort=order, axis=alt.Axis(title=None)),
        yOffset=alt.YOffset("role:N", sort=list(ROLES)),
        color=alt.Color("role:N", scale=_ROLES, legend=alt.Legend(orient="top", title=None, symbolType="square")),
        tooltip=[
            alt.Tooltip("role:N", title="role"),
            alt.Tooltip("kind:N", title="kind"),
            alt.Tooltip("rate:Q", title="in 1000 requests", format=".3~f"),
        ],
    )
    # Where nothing fails the axis still has a length.
    return _layered(HEIGHT, bars, base.mark_point(opacity=0, aria=False).encode(x=alt.datum(1.0)))
