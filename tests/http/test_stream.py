"""The timeline as it happens: every event once, in order, until the caller or the server goes away."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests import models
from tests.http.problems import problem
from tests.models import STABLE
from tests.server import PATIENCE_S, Server, eventually, serving

from serinus.client import DocumentClient
from serinus.http.stream import STREAMS


class Stream:
    """What came of a stream, read in a thread of its own."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self.events: list[dict[str, str]] = []
        self.ended = threading.Event()
        self.broken = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        fields: dict[str, str] = {}
        try:
            for line in self.answer.iter_lines():
                name, _, value = line.partition(": ")
                if line:
                    fields[name] = value
                elif "data" in fields:
                    self.events.append(fields)
                    fields = {}
        except httpx2.TransportError:  # cut off, or left by the test
            self.broken = True
        self.ended.set()

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(each["data"]) for each in self.events]

    def kinds(self) -> list[str]:
        return [each["event"] for each in self.events]


@contextmanager
def following(http: httpx2.Client, last: str | None = None, **asked: Any) -> Iterator[Stream]:
    headers = {} if last is None else {"Last-Event-ID": last}
    with http.stream("GET", "/events/stream", params=asked, headers=headers) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Stream(answer)


@pytest.fixture
def other(client: DocumentClient, name: str) -> str:
    """A deployment with an event or two of before."""
    client.deploy(name, STABLE)
    client.start(name, 2, 10)
    return name


def test_events_are_sent_as_they_happen_with_id_kind_and_document(
    http: httpx2.Client, client: DocumentClient, other: str
) -> None:
    with following(http, deployment=other) as stream:
        client.set_weight(other, 20)
        client.rollback(other, reason="enough")
        assert eventually(lambda: len(stream.events) >= 2)

    recorded = client.events(other)["events"][2:]
    assert stream.documents == recorded
    assert [(each["id"], each["event"]) for each in stream.events] == [
        (str(each["id"]), each["kind"]) for each in recorded
    ]


def test_a_stream_goes_on_after_the_event_that_was_read_last(
    http: httpx2.Client, client: DocumentClient, other: str
) -> None:
    created, started = client.events(other)["events"]

    with following(http, deployment=other, after=created["id"]) as stream:
        assert eventually(lambda: stream.documents == [started])
    client.set_weight(other, 20)
    # Who connects again asks for the same, and says besides how far it came.
    with following(http, str(started["id"]), deployment=other, after=created["id"]) as again:
        assert eventually(lambda: again.kinds() == ["traffic_adjusted"])


def test_a_stream_is_of_the_kinds_that_are_asked_for(http: httpx2.Client, client: DocumentClient, other: str) -> None:
    with following(http, deployment=other, kind=["rolled_back", "canary_started"], after=0) as stream:
        client.set_weight(other, 20)
        client.rollback(other)
        assert eventually(lambda: len(stream.events) == 2)

    assert stream.kinds() == ["canary_started", "rolled_back"]


@pytest.mark.parametrize("last", ["-1", "x", "9223372036854775808", "1.0"])
def test_a_last_id_that_is_none_is_refused(http: httpx2.Client, last: str) -> None:
    refusal = problem(http.get("/events/stream", headers={"Last-Event-ID": last}), 422)

    assert refusal["field"] == "Last-Event-ID"
    assert last in refusal["detail"]


def test_streams_are_bounded_and_one_that_is_left_makes_room(server: Server, http: httpx2.Client) -> None:
    limits = httpx2.Limits(max_connections=None)
    with (
        httpx2.Client(base_url=server.url, trust_env=False, timeout=PATIENCE_S, limits=limits) as many,
        ExitStack() as streams,
    ):
        for _ in range(STREAMS):
            streams.enter_context(many.stream("GET", "/events/stream"))
        refusal = http.get("/events/stream")
        assert str(STREAMS) in problem(refusal, 503)["detail"]
        assert refusal.headers["retry-after"] == "1"

    def open_again() -> bool:
        with http.stream("GET", "/events/stream") as answer:
            return answer.status_code == 200

    assert eventually(open_again)


def test_a_server_that_ends_ends_its_streams(tmp_path: Path) -> None:
    with serving(tmp_path / "home", SERINUS_ALLOW_PICKLE="true") as server:
        with server.client() as client:
            models.register(client, "risk", models.Risk())
            client.deploy("prod", STABLE)
        with server.http() as http, following(http, after=0) as stream:
            assert eventually(lambda: stream.kinds() == ["deployment_created"])
            assert server.terminate() == 0
            assert stream.ended.wait(PATIENCE_S)
            assert not stream.broken  # as it would be after the time that requests under way are given
