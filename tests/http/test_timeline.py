"""Every change is on record, once, in order."""

import asyncio

import httpx2
import pytest
from tests.models import STABLE
from tests.server import PATIENCE_S, Server

from serinus.client import DocumentClient


def seven_events(client: DocumentClient, name: str) -> None:
    client.deploy(name, STABLE)
    client.start(name, 2, 10)
    for weight in (20, 30, 40, 50):
        client.set_weight(name, weight)
    client.rollback(name, reason="enough")


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 3, 7, 100])
def test_the_timeline_is_paged_without_gaps_or_repeats(
    http: httpx2.Client, client: DocumentClient, name: str, order: str, limit: int
) -> None:
    seven_events(client, name)

    pages, after = [], 0
    while True:
        page = http.get(f"/deployments/{name}/events", params={"limit": limit, "order": order, "after": after}).json()
        pages.append([event["id"] for event in page["events"]])
        if page["next"] is None:
            break
        after = page["next"]

    ids = [number for page in pages for number in page]
    assert len(ids) == len(set(ids)) == 7
    assert ids == sorted(ids, reverse=order == "desc")
    assert [len(page) for page in pages] == [limit] * (7 // limit) + [7 % limit] * bool(7 % limit)


def test_the_timeline_says_who_did_what_and_why(client: DocumentClient, name: str) -> None:
    seven_events(client, name)

    events = client.events(name)["events"]

    assert [event["kind"] for event in events] == [
        "deployment_created",
        "canary_started",
        *["traffic_adjusted"] * 4,
        "rolled_back",
    ]
    assert [event["generation"] for event in events] == list(range(1, 8))
    assert events[2]["data"] == {"from": 10.0, "to": 20.0}
    assert (events[-1]["actor"], events[-1]["reason"]) == ("api", "enough")


def test_the_timeline_can_be_read_by_kind(client: DocumentClient, name: str) -> None:
    seven_events(client, name)

    page = client.events(name, kinds=["canary_started", "rolled_back"])

    assert [event["kind"] for event in page["events"]] == ["canary_started", "rolled_back"]


def test_a_command_that_changes_nothing_is_no_event(client: DocumentClient, name: str) -> None:
    seven_events(client, name)
    client.start(name, 2, 10)
    before = client.events(name)["events"]

    assert client.set_weight(name, 10)["generation"] == before[-1]["generation"]
    assert client.configure(name, {"sticky": False})["generation"] == before[-1]["generation"]
    assert client.events(name)["events"] == before


def test_a_rollout_that_ended_is_kept_with_how_it_ended(http: httpx2.Client, client: DocumentClient, name: str) -> None:
    seven_events(client, name)
    client.start(name, 2, 5)
    client.promote(name, reason="good")

    rollouts = client.rollouts(name)["rollouts"]

    assert [(each["id"], each["phase"], each["reason"]) for each in rollouts] == [
        (f"{name}:2", "promoted", "good"),
        (f"{name}:1", "rolled_back", "enough"),
    ]
    assert len(http.get(f"/deployments/{name}/rollouts?limit=1").json()["rollouts"]) == 1


async def test_of_commands_given_at_once_one_wins_and_is_on_record_once(
    server: Server, client: DocumentClient, name: str
) -> None:
    client.deploy(name, STABLE)
    client.start(name, 2, 10)

    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=PATIENCE_S) as http:
        verbs = ["promote", "rollback"] * 10
        answers = await asyncio.gather(*(http.post(f"/deployments/{name}/{verb}") for verb in verbs))

    won = [(verb, answer) for verb, answer in zip(verbs, answers, strict=True) if answer.is_success]
    assert len(won) == 1
    assert {answer.status_code for answer in answers} == {200, 409}
    ended = [event["kind"] for event in client.events(name)["events"][2:]]
    assert ended == [{"promote": "promoted", "rollback": "rolled_back"}[won[0][0]]]
    assert client.deployment(name)["baseline"] == ("risk@2" if won[0][0] == "promote" else "risk@1")


async def test_of_changes_that_rest_on_one_look_one_wins(server: Server, client: DocumentClient, name: str) -> None:
    client.deploy(name, STABLE)
    seen = client.start(name, 2, 10)["generation"]

    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=PATIENCE_S) as http:
        answers = await asyncio.gather(
            *(
                http.patch(f"/deployments/{name}/traffic", json={"weight": 20 + step, "expected_generation": seen})
                for step in range(20)
            )
        )

    assert sorted(answer.status_code for answer in answers) == [200, *[409] * 19]
    assert client.deployment(name)["generation"] == seen + 1
    assert len(client.events(name, kinds=["traffic_adjusted"])["events"]) == 1
