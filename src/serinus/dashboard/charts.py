"""Charts in the two colours of the roles."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import streamlit as st

from serinus.dashboard.launching import BASELINE, CANARY

ROLES = ("baseline", "canary")
HEIGHT = 190


def role_colour() -> alt.Color:
    """Give the encoding of the field ``role`` as a colour; the legend stands above."""
    return alt.Color("role:N", scale=alt.Scale(domain=list(ROLES), range=[BASELINE, CANARY]), legend=_LEGEND)


_LEGEND = alt.Legend(orient="top", title=None, symbolType="stroke", symbolSize=300)
_DASHES = alt.Scale(domain=list(ROLES), range=[[1, 0], [6, 2]])


def over_time(field: str, title: str) -> alt.TopLevelMixin:
    """Make a chart of a field over ``at``, a line for each role."""
    base = alt.Chart(alt.NamedData("rows"))
    lines = base.mark_line(strokeWidth=2).encode(
        x=alt.X("at:T", title=None, axis=alt.Axis(format="%H:%M:%S", tickCount=4, labelOverlap=True)),
        y=alt.Y(f"{field}:Q", title=None, axis=alt.Axis(tickCount=4, format="~f"), scale=alt.Scale(domainMin=0)),
        color=role_colour(),
        strokeDash=alt.StrokeDash("role:N", scale=_DASHES, legend=_LEGEND),
        tooltip=[
            alt.Tooltip("role:N", title="role"),
            alt.Tooltip("at:T", title="at", format="%H:%M:%S"),
            alt.Tooltip(f"{field}:Q", title=title, format=".1f"),
        ],
    )
    # Where nothing happens the axis still has a length.
    return alt.layer(lines, base.mark_point(opacity=0, aria=False).encode(y=alt.datum(1.0))).properties(height=HEIGHT)


def drawn(chart: alt.TopLevelMixin, data: Mapping[str, Any], *, key: str, alternative: str) -> None:
    """Draw a chart of ``NamedData``, columns by name; drawn again under its key it changes in place.

    ``alternative`` is what it shows, for those who do not see it; another text would draw another chart. So would
    Altair itself, which names the data by their content.
    """
    spec = chart.to_dict()
    del spec["data"]
    st.vega_lite_chart(data, spec, key=key, alt=alternative, width="stretch")
