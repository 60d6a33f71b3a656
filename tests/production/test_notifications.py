"""Of several servers one tells a target, and another one goes on where it was when that one is killed."""

from tests import models
from tests.models import STABLE
from tests.notify.receiver import receiving
from tests.notify.samples import SECRET
from tests.production.fleet import Fleet
from tests.production.watching import readings
from tests.server import Server, eventually

from serinus.client import DocumentClient

NAMES = ("first", "second")


def tells(server: Server) -> bool:
    return any(series.startswith("serinus_notifications_pending") for series in readings(server.url))


def rollout(client: DocumentClient, name: str) -> None:
    client.start(name, 2, 10)
    client.set_weight(name, 20)
    client.rollback(name)


def test_every_event_is_told_whoever_is_killed_and_by_one_server_at_a_time(fleet: Fleet) -> None:
    with receiving() as receiver:
        fleet.settings |= {"SERINUS_WEBHOOK_URLS": receiver.url, "SERINUS_WEBHOOK_SECRET": SECRET}
        # A gateway alone and a checker alone: either can tell.
        servers = [fleet.gateway(), fleet.checker()]
        gateway = servers[0]
        assert eventually(lambda: [tells(server) for server in servers].count(True) == 1)
        fleet.register(gateway, models.Risk(), models.Risk())
        with gateway.client() as client:
            for name in NAMES:
                client.deploy(name, STABLE, {"auto_promote": False, "auto_rollback": False})
                rollout(client, name)
        assert eventually(lambda: len(receiver.posts) == 8), receiver.kinds()
        assert len(set(receiver.ids())) == 8, "nobody told what another one had told"

        others = [server for server in servers if not tells(server)]
        assert len(others) == 1
        for server in servers:
            if server not in others:
                server.kill()
        with fleet.gateway().client() as client:
            for name in NAMES:
                rollout(client, name)
        assert eventually(lambda: len(set(receiver.ids())) == 14), receiver.kinds()

    # Who is killed between a delivery and its note of it leaves the next one to tell that again, under the same id.
    first = {post.json["id"]: post for post in reversed(receiver.posts)}
    told_once = [post for post in receiver.posts if first[post.json["id"]] is post]
    assert len(receiver.posts) - len(told_once) <= len(NAMES), receiver.kinds()
    for name in NAMES:
        told = [post.json["data"] for post in told_once if post.json["subject"] == name]
        assert [each["generation"] for each in told] == sorted(each["generation"] for each in told)
        steps = ["canary_started", "traffic_adjusted", "rolled_back"]
        assert [each["kind"] for each in told] == ["deployment_created", *steps, *steps]
