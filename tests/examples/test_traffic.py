"""What the callers count, against a server that misbehaves."""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from serinus.examples.heart_disease.traffic import Tally, Traffic

FEATURES: list[dict[str, object]] = [{"age": 63}, {"age": 41}]


def answer(version: str, *, failover: bool = False) -> bytes:
    return json.dumps({"model_version": version, "failover": failover}).encode()


class Handler(BaseHTTPRequestHandler):
    """Answers as its class is told to."""

    protocol_version = "HTTP/1.1"
    respond: Callable[[], tuple[int, bytes]]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        status, body = type(self).respond()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def sent(url: str, respond: Callable[[], tuple[int, bytes]]) -> Tally:
    Handler.respond = staticmethod(respond)
    with Traffic(url, "heart-prod", FEATURES) as traffic:
        while traffic.total().requests < 20:
            time.sleep(0.01)
    return traffic.total()


def test_answers_are_counted_by_the_version_that_gave_them(url: str) -> None:
    tally = sent(url, lambda: (200, answer("heart@1")))

    assert tally.answered == Counter({"heart@1": tally.requests})
    assert tally.failed == 0


def test_a_fail_over_was_meant_for_the_canary_and_failed_no_caller(url: str) -> None:
    tally = sent(url, lambda: (200, answer("heart@1", failover=True)))

    assert tally.failovers == tally.requests
    assert tally.answered == Counter()
    assert tally.failed == 0


@pytest.mark.parametrize("status", [400, 500, 503])
def test_every_status_but_success_is_a_failed_caller(url: str, status: int) -> None:
    tally = sent(url, lambda: (status, b"{}"))

    assert tally.failed == tally.statuses[status] == tally.requests


def test_an_answer_that_is_no_document_is_a_failed_caller(url: str) -> None:
    tally = sent(url, lambda: (200, b"<html>"))

    assert tally.failed == tally.requests


def test_a_server_that_is_gone_is_counted_too() -> None:
    tally = sent("http://127.0.0.1:1", lambda: (200, b""))

    assert tally.failed == tally.statuses["no answer"] == tally.requests


def test_what_is_sent_after_a_phase_began_counts_in_it(url: str) -> None:
    version = ["heart@1"]
    Handler.respond = staticmethod(lambda: (200, answer(version[0])))
    with Traffic(url, "heart-prod", FEATURES) as traffic:
        while traffic.total().requests < 10:
            time.sleep(0.01)
        version[0] = "heart@2"
        tally = traffic.phase()
        while tally.requests < 10:
            time.sleep(0.01)

    assert set(tally.answered) == {"heart@2"}
    assert traffic.total().answered["heart@1"] > 0
