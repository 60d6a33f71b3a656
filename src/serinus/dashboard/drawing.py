"""Draws charts that hold their own data, each in its place: drawn anew with other data, a chart changes and stays."""

from typing import Any

import altair as alt
import streamlit as st

DAY_AND_NIGHT = {"line": "#6b7785", "worse": "#c2410c", "better": "#2f7d6d"}
"""Colours that stand out from a light and a dark page (3:1 and more), and are told apart without red and green."""


def drawn(chart: alt.Chart | alt.LayerChart, *, key: str, alternative: str) -> None:
    """Draw a chart; ``alternative`` says what it shows to those who do not see it."""
    spec = chart.to_dict()
    data = _taken_out(spec)
    st.vega_lite_chart(data, spec, key=key, alt=alternative, width="stretch")


def _taken_out(spec: dict[str, Any]) -> dict[str, list[Any]]:
    """Take the one data set out of a chart, as columns: what stays is the same whenever it is drawn."""
    rows: list[dict[str, Any]] = spec.pop("data")["values"]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}
