"""The four pages, each with an address, and their navigation."""

from pathlib import Path

import streamlit as st

from serinus.dashboard import markup

PAGES = Path(__file__).parent / "pages"
LIVE, COMPARISON, HISTORY, DEPLOY = (
    str(PAGES / f"{name}.py") for name in ("live_traffic", "model_comparison", "deployment_history", "deploy_canary")
)
"""The scripts of the pages; a file's name is its page's address."""
_TITLES = {
    LIVE: ("Live traffic", ":material/alt_route:"),
    COMPARISON: ("Model comparison", ":material/balance:"),
    HISTORY: ("Deployment history", ":material/history:"),
    DEPLOY: ("Deploy new canary", ":material/rocket_launch:"),
}


def show() -> None:
    """Draw the page that is asked for."""
    st.set_page_config(page_title="Serinus", page_icon=str(markup.styles().with_name("icon.svg")), layout="wide")
    st.html(markup.styles())
    pages = [
        st.Page(script, title=title, icon=icon, url_path=Path(script).stem) for script, (title, icon) in _TITLES.items()
    ]
    home = st.Page(_home, title="Serinus", default=True, visibility="hidden")
    st.navigation([home, *pages], position="top").run()


def _home() -> None:
    """Lead to the first page, which has an address of its own as all others have."""
    st.switch_page(LIVE, query_params=dict(st.query_params))
