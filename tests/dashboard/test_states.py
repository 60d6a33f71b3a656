"""What a page says where there is nothing to show, and what to do about it; without a browser."""

from collections.abc import Iterator

import pytest
from streamlit.testing.v1 import AppTest
from tests.dashboard.apps import PAGES, app_of, written
from tests.dashboard.conftest import QUICK
from tests.dashboard.door import door
from tests.server import Server, serving

from serinus.client import DocumentClient
from serinus.dashboard.markup import table, text

each_page = pytest.mark.parametrize("name", PAGES)


def page(monkeypatch: pytest.MonkeyPatch, url: str, name: str) -> AppTest:
    """Run a page of the dashboard, which sees the server at ``url``."""
    app = app_of(monkeypatch, url, name).run()
    assert not app.exception, app.exception
    return app


def everything(app: AppTest) -> str:
    """Give all that was sent to the browser."""
    texts = [str(each.proto) for kind in ("html", "caption", "markdown") for each in app.get(kind)]
    return "\n".join([*texts, repr(app.main), repr(app.query_params)])


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which nothing has happened."""
    with serving(tmp_path_factory.mktemp("empty") / "home", **QUICK) as server:
        yield server


@each_page
def test_without_a_server_it_says_how_one_is_started(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    app = page(monkeypatch, "http://127.0.0.1:9", name)

    assert "No server answers" in written(app)
    assert "canary serve" in written(app)
    assert "canary dashboard --url" in written(app)
    assert app.button(key="retry_page").label == "Try again"


@pytest.mark.parametrize(("name", "status"), [*((name, 401) for name in PAGES), ("live_traffic", 403)])
def test_without_permission_it_says_where_a_token_goes(
    monkeypatch: pytest.MonkeyPatch, server: Server, name: str, status: int
) -> None:
    with door(server.url, lambda _: status) as shut:
        app = page(monkeypatch, shut.url, name)

    assert "You may not see this" in written(app)
    assert f"SERINUS_TOKEN=... canary dashboard --url {shut.url}" in written(app)


def test_a_token_opens_the_door_and_is_shown_to_nobody(
    monkeypatch: pytest.MonkeyPatch, server: Server, stable: str
) -> None:
    monkeypatch.setenv("SERINUS_TOKEN", "let-me-in")
    with door(
        server.url, lambda asked: None if asked.headers["authorization"] == "Bearer let-me-in" else 401
    ) as guarded:
        app = page(monkeypatch, guarded.url, "live_traffic")

    assert stable in app.selectbox(key="deployment").options
    assert "You may not see this" not in written(app)
    assert "let-me-in" not in everything(app)


def test_who_it_is_for_is_left_out_of_the_servers_address(
    monkeypatch: pytest.MonkeyPatch, server: Server, stable: str
) -> None:
    app = page(monkeypatch, server.url.replace("http://", "http://ada:pass-word@"), "live_traffic")

    assert stable in app.selectbox(key="deployment").options
    assert f"{server.url}/predict/" in everything(app)
    assert "pass-word" not in everything(app)


def test_who_may_look_and_not_act_is_told_so(
    monkeypatch: pytest.MonkeyPatch, server: Server, client: DocumentClient, release: str
) -> None:
    with door(server.url, lambda asked: None if asked.command == "GET" else 403) as looking:
        app = page(monkeypatch, looking.url, "live_traffic")
        app.selectbox(key="deployment").select(release).run()
        app.button(key="act_hold").click().run()

    assert "Not done: " in written(app)
    assert "SERINUS_TOKEN" in written(app)
    assert client.deployment(release)["status"] == "canary"


@each_page
def test_what_fails_in_part_is_said_in_its_place(
    monkeypatch: pytest.MonkeyPatch, server: Server, stable: str, name: str
) -> None:
    with door(server.url, lambda asked: None if asked.path == "/deployments" else 503) as failing:
        app = page(monkeypatch, failing.url, name)

    assert stable in app.selectbox(key="deployment").options
    assert 'role="alert"' in written(app)


@pytest.mark.parametrize("name", PAGES[:3])
def test_without_a_deployment_it_says_how_one_is_made(
    monkeypatch: pytest.MonkeyPatch, empty: Server, name: str
) -> None:
    app = page(monkeypatch, empty.url, name)

    assert "No deployment yet" in written(app)
    assert "canary deploy heart-prod heart@1" in written(app)


def test_without_a_model_there_is_nothing_to_deploy(monkeypatch: pytest.MonkeyPatch, empty: Server) -> None:
    app = page(monkeypatch, empty.url, "deploy_canary")

    assert "No model yet" in written(app)
    assert "canary register" in written(app)


def test_without_requests_it_says_how_to_ask(monkeypatch: pytest.MonkeyPatch, server: Server, stable: str) -> None:
    app = page(monkeypatch, server.url, "live_traffic")

    assert "No requests yet" in written(app)
    assert "/predict/" in written(app)
    assert stable in app.selectbox(key="deployment").options


def test_what_others_wrote_is_shown_and_never_read_as_html() -> None:
    shown = table(["<b>"], [[text("<img src=x>")]], caption="<script>alert(1)</script>")

    assert "<script" not in shown
    assert "<img" not in shown
    assert "&lt;b&gt;" in shown
