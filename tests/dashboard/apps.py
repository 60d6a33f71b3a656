"""The dashboard without a browser: its pages as Streamlit's own test program runs them."""

import pytest
from streamlit.testing.v1 import AppTest

from serinus.dashboard import launching

PATIENCE_S = 90.0
PAGES = ("live_traffic", "model_comparison", "deployment_history", "deploy_canary")


def app_of(monkeypatch: pytest.MonkeyPatch, url: str, name: str, deployment: str = "") -> AppTest:
    """Give a page, still to be run, of the dashboard that shows the server at ``url``."""
    monkeypatch.setenv("SERINUS_URL", url)
    app = AppTest.from_file(launching.script(), default_timeout=PATIENCE_S)
    app.switch_page(f"../pages/{name}.py")
    if deployment:
        app.query_params["deployment"] = deployment
    return app


def written(app: AppTest) -> str:
    """Give the HTML of ours that a page sent."""
    assert not app.exception, app.exception
    return "\n".join(str(each.proto.body) for each in app.get("html"))
