import socket
from typing import Any

import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from starlette.responses import HTMLResponse
from tests.client.fake_server import FakeServer

from serinus.client import (
    ConflictError,
    DocumentClient,
    InvalidError,
    NotFoundError,
    UnexpectedAnswerError,
    UnreachableError,
)
from serinus.core.errors import InvalidInput, SerinusError
from serinus.core.names import VersionRef
from serinus.core.records import Lineage, Package
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature

HEART_1 = VersionRef("heart", 1)
PACKAGE = Package(b"model", "skops", Signature((Feature("age", Dtype.INT),), Output(OutputKind.NUMBER)), ((63,),))


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def test_a_whole_release_can_be_steered(client: DocumentClient) -> None:
    client.deploy("prod", HEART_1, {"sticky": True})
    client.start("prod", 2, 20.0)
    client.set_weight("prod", 50.0)
    client.pause("prod")
    client.resume("prod")
    promoted = client.promote("prod", reason="better")
    undone = client.undo("prod")

    assert promoted["baseline"] == "heart@2"
    assert undone["baseline"] == "heart@1"
    assert client.rollouts("prod")["rollouts"][0]["phase"] == "promoted"


def test_a_plan_is_followed_with_a_persons_word(client: DocumentClient) -> None:
    client.deploy("prod", HEART_1)
    client.start("prod", 2, 5.0)
    document = {
        "apiVersion": "serinus/v1",
        "kind": "RolloutPlan",
        "metadata": {"name": "mine"},
        "spec": {"steps": [{"setWeight": 1}, {"setWeight": 5}]},
    }

    started = client.start("prod", 2, plan=document, replace=True)

    assert started["rollout"]["weight"] == 1.0
    assert started["rollout"]["plan"]["name"] == "mine"
    with pytest.raises(ConflictError):
        client.approve("prod")
    assert client.explain("prod")["rollout"]["id"] == "prod:2"


def test_looks_come_page_by_page_to_the_last(client: DocumentClient, server: FakeServer) -> None:
    client.deploy("prod", HEART_1)
    server.looks["prod:1"] = [{"id": number} for number in range(1, 6)]

    pages = [[look["id"] for look in page["looks"]] for page in client.looks("prod", 1, limit=2)]

    assert pages == [[1, 2], [3, 4], [5]]
    assert [dict(seen.query)["after"] for seen in server.seen[-3:]] == ["0", "2", "4"]


def test_the_actor_stands_in_the_history(client: DocumentClient) -> None:
    client.deploy("prod", HEART_1)

    assert [event["actor"] for event in client.events("prod")["events"]] == ["ann"]


@pytest.mark.parametrize("actor", ["Zoë", "a\r\nX-Evil: 1", "x" * 500])
def test_any_actor_can_be_named(server: FakeServer, actor: str) -> None:
    with DocumentClient(server.url, actor=actor) as client:
        client.models()

    assert 0 < len(server.seen[-1].headers["x-serinus-actor"]) <= 100
    assert "x-evil" not in server.seen[-1].headers


def test_a_package_is_uploaded_and_then_registered(client: DocumentClient, server: FakeServer) -> None:
    version = client.register_package("wine", PACKAGE, metrics={"rmse": 0.5}, lineage=Lineage(git_commit="abc"))

    assert server.artifacts[version["digest"]] == b"model"
    assert version["ref"] == "wine@1"
    assert version["metrics"] == {"rmse": 0.5}
    assert version["lineage"]["git_commit"] == "abc"


def test_a_stale_generation_is_a_conflict(client: DocumentClient) -> None:
    client.deploy("prod", HEART_1)

    with pytest.raises(ConflictError) as raised:
        client.configure("prod", {"sticky": True}, expected_generation=7)

    assert raised.value.code == "SERINUS-STALE-GENERATION"


def test_a_command_that_is_not_possible_says_what_is(client: DocumentClient) -> None:
    client.deploy("prod", HEART_1)

    with pytest.raises(ConflictError) as raised:
        client.promote("prod")

    assert raised.value.code == "SERINUS-NOT-ALLOWED"
    assert raised.value.document["possible"] == ["configure", "start"]


def test_what_is_not_there_is_not_found(client: DocumentClient) -> None:
    with pytest.raises(NotFoundError):
        client.deployment("nowhere")


def test_wrong_features_are_invalid_and_the_field_is_named(client: DocumentClient) -> None:
    client.deploy("prod", HEART_1)

    with pytest.raises(InvalidError) as raised:
        client.predict("prod", {"height": 3})

    assert raised.value.field == "features.age"


def test_every_error_is_one_of_the_tree(client: DocumentClient) -> None:
    with pytest.raises(SerinusError):
        client.deployment("nowhere")


def test_nobody_listening_means_unreachable_and_says_what_to_do() -> None:
    url = f"http://127.0.0.1:{free_port()}"

    with DocumentClient(url) as client, pytest.raises(UnreachableError) as raised:
        client.models()

    assert url in raised.value.message
    for way_out in ("canary serve", "--url", "SERINUS_URL"):
        assert way_out in raised.value.remedy


def test_a_server_that_does_not_answer_means_unreachable_and_leaves_a_doubt() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with (
            DocumentClient(f"http://127.0.0.1:{port}", timeout=0.2) as client,
            pytest.raises(UnreachableError) as raised,
        ):
            client.promote("prod")

    assert "may have been done" in raised.value.remedy


def test_another_programs_answer_is_told_from_ours(client: DocumentClient, server: FakeServer) -> None:
    server.answer_instead = lambda: HTMLResponse("<html>hello</html>")

    with pytest.raises(UnexpectedAnswerError):
        client.models()


def test_a_proxy_for_the_world_is_not_asked_for_this_machine(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    with DocumentClient(server.url) as client:
        assert client.server_health()["status"] == "ok"


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://localhost", "http://", "http://host:99999", "http://[::1"]
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput):
        DocumentClient(url)


def test_a_slash_at_the_end_of_the_url_does_no_harm(server: FakeServer) -> None:
    with DocumentClient(f"{server.url}/") as client:
        assert client.models()["models"][0]["name"] == "heart"


def test_a_fitted_model_is_packed_and_registered(client: DocumentClient, server: FakeServer) -> None:
    data = pd.DataFrame({"age": [63, 41, 57, 29], "chol": [233.5, 204.0, 354.0, 180.5], "num": [0, 1, 1, 0]})
    model = LogisticRegression().fit(data[["age", "chol"]], data["num"])

    version = client.register(
        model, "wine", data=data, target="num", class_names=["no", "yes"], metrics={"accuracy": 0.5}
    )

    assert version["ref"] == "wine@1"
    assert version["format"] == "skops"
    assert version["examples"] > 0
    assert version["signature"]["output"]["class_names"] == ["no", "yes"]
    assert version["digest"] in server.artifacts


def test_without_a_url_the_one_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERINUS_URL", "http://127.0.0.1:8123")
    with DocumentClient() as client:
        assert client.base_url == "http://127.0.0.1:8123"
    monkeypatch.delenv("SERINUS_URL")
    with DocumentClient() as client:
        assert client.base_url == "http://127.0.0.1:8000"


@pytest.mark.parametrize("features", [None, [1, 2, 3], {"age": b"63"}, {"age": "\ud800"}])
def test_features_that_cannot_be_sent_are_refused_in_words(features: Any) -> None:
    with DocumentClient() as client, pytest.raises(InvalidInput):
        client.predict("heart-prod", features)
