"""A server tells its targets of what happens in it, whatever happens to it or to them."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests import models
from tests.models import STABLE
from tests.notify.receiver import Post, Receiver, Reply, receiving
from tests.notify.samples import SECRET
from tests.server import Server, eventually, serving

from serinus.client import DocumentClient

SETTINGS = {"SERINUS_ALLOW_PICKLE": "true", "SERINUS_LOG_FORMAT": "text", "SERINUS_WEBHOOK_SECRET": SECRET}
_numbers = count(1)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def telling(receiver: Receiver, *paths: str) -> dict[str, str]:
    """Give the settings of a server that posts to these paths of a receiver."""
    return SETTINGS | {"SERINUS_WEBHOOK_URLS": ", ".join(receiver.url + path for path in paths or ("/",))}


def deploy(client: DocumentClient) -> str:
    """Make a deployment, and give its name."""
    name = f"prod-{next(_numbers)}"
    if not client.models()["models"]:
        for _ in range(2):
            models.register(client, STABLE.model, models.Risk())
    client.deploy(name, STABLE, {"auto_promote": False, "auto_rollback": False})
    return name


def notifications(server: Server, name: str) -> list[float]:
    """Read the values of a metric."""
    with server.http() as http:
        text = http.get("/metrics").text
    families = text_string_to_metric_families(text)
    return sorted(sample.value for family in families for sample in family.samples if sample.name == name)


def told(receiver: Receiver, path: str) -> list[Post]:
    return [post for post in receiver.posts if post.path.startswith(path)]


def comes(receiver: Receiver, path: str, number: int) -> bool:
    return eventually(lambda: len(told(receiver, path)) == number)


def kinds(posts: list[Post]) -> list[str]:
    return [post.json["data"]["kind"] for post in posts]


def test_a_rollout_is_told_from_its_start_to_its_end(tmp_path: Path, receiver: Receiver) -> None:
    settings = telling(receiver, "/hook") | {
        "SERINUS_NOTIFY_URLS": receiver.url.replace("http://", "json://") + "/chat",
        "SERINUS_NOTIFY_KINDS": "rolled_back",
        "SERINUS_OPENLINEAGE_URL": receiver.url,
    }
    with serving(tmp_path / "home", **settings) as server, server.client() as client:
        name = deploy(client)
        client.start(name, 2, 10)
        client.set_weight(name, 50)
        client.rollback(name, reason="enough seen")
        for path, number in (("/hook", 4), ("/chat", 1), ("/api/v1/lineage", 2)):
            assert comes(receiver, path, number), path
        assert eventually(lambda: notifications(server, "serinus_notifications_pending") == [0.0, 0.0, 0.0])
        assert notifications(server, "serinus_notifications_total") == [1.0, 2.0, 4.0]
        events = client.events(name)["events"]

    hooked = [post.json["data"] for post in told(receiver, "/hook")]
    assert hooked == [each | {"deployment": name} for each in events]
    assert [each["kind"] for each in hooked][::3] == ["deployment_created", "rolled_back"]
    (message,) = told(receiver, "/chat")
    assert message.json["title"] == f"{name}: rolled back"
    runs = [post.json for post in told(receiver, "/api/v1/lineage")]
    assert [run["eventType"] for run in runs] == ["START", "ABORT"]
    assert "risk@2" in {each["name"] for each in runs[0]["inputs"]}


def test_a_server_that_is_killed_between_telling_and_noting_tells_it_again_with_the_same_id(
    tmp_path: Path, receiver: Receiver
) -> None:
    """And a target that is there only from then on is told only what comes then."""
    home = tmp_path / "home"
    with serving(home, **telling(receiver, "/old")) as server, server.client() as client:

        def kill_the_second_time(_: Post) -> Reply:
            if len(receiver.posts) == 2:
                server.kill()
            return Reply()

        receiver.answers = kill_the_second_time
        name = deploy(client)
        assert eventually(lambda: len(receiver.posts) == 1)
        client.start(name, 2, 10)
        assert eventually(lambda: server.process.poll() is not None)
    with serving(home, **telling(receiver, "/old", "/new")) as server, server.client() as client:
        assert eventually(lambda: len(notifications(server, "serinus_notifications_pending")) == 2)
        client.rollback(name)
        assert eventually(lambda: len(receiver.posts) == 5)

    old = told(receiver, "/old")
    assert kinds(old) == ["deployment_created", "canary_started", "canary_started", "rolled_back"]
    assert [old[1].headers["webhook-id"]] * 2 == [each.headers["webhook-id"] for each in old[1:3]]
    assert len({each.headers["webhook-id"] for each in old}) == 3
    assert kinds(told(receiver, "/new")) == ["rolled_back"]


def test_targets_that_are_down_slow_or_gone_are_in_nobodys_way(tmp_path: Path, receiver: Receiver) -> None:
    def answer(post: Post) -> Reply:
        if post.path == "/down":
            return Reply(500) if len(told(receiver, "/down")) < 3 else Reply()
        if post.path == "/slow":
            return Reply(delay_s=30.0)
        return Reply(410) if post.path == "/left" else Reply()

    receiver.answers = answer
    with (
        serving(tmp_path / "home", **telling(receiver, "/down", "/slow", "/left", "/well")) as server,
        server.client() as client,
    ):
        name = deploy(client)
        client.start(name, 2, 10)
        wanted = ["deployment_created", "canary_started"]
        assert eventually(lambda: kinds(told(receiver, "/well")) == wanted)
        assert eventually(lambda: kinds(told(receiver, "/down")) == [*wanted[:1] * 3, *wanted[1:]])
        assert eventually(lambda: kinds(told(receiver, "/slow"))[:1] == wanted[:1])
        client.rollback(name)
        assert eventually(lambda: kinds(told(receiver, "/well")) == [*wanted, "rolled_back"])
        assert kinds(told(receiver, "/left")) == wanted[:1]
