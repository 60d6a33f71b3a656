"""What holds for the typed clients whatever they call: time, numbers, who asks, and how they end."""

import asyncio
import inspect
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response
from tests.client.fake_server import FakeServer
from tests.client.test_documents import free_port
from tests.client.test_repeating import breaking

from serinus.client import (
    AsyncClient,
    Client,
    DocumentClient,
    ForbiddenError,
    PredictionFailure,
    UnauthorizedError,
    UnavailableError,
    UnreachableError,
)
from serinus.client.results import Prediction
from serinus.core.errors import InvalidInput

TOKEN = "abc.DEF-123_~+/="
ROW = {"age": 63}

Run = Callable[..., Any]


@pytest.fixture(params=[Client, AsyncClient], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    """Calls one method of a client that is made for it, and gives what it comes to."""

    def called(url: str | None, method: str, *args: Any, **made: Any) -> Any:
        if request.param is Client:
            with Client(url, **made) as client:
                return getattr(client, method)(*args)
        return asyncio.run(_awaited(url, method, *args, **made))

    return called


async def _awaited(url: str | None, method: str, *args: Any, **made: Any) -> Any:
    async with AsyncClient(url, **made) as client:
        return await getattr(client, method)(*args)


@contextmanager
def listening_in_silence() -> Iterator[str]:
    """Accept connections, and say nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


@contextmanager
def dripping() -> Iterator[str]:
    """Begin an answer, and say a blank every tenth of a second, without end."""
    done = threading.Event()

    def drip(listener: socket.socket) -> None:
        with suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n")
                while not done.wait(0.1):
                    connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=[listener])
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        done.set()
        thread.join(10)


# ---------------------------------------------------------------------------------------------------- time


def test_a_server_that_does_not_answer_is_given_up_in_time(run: Run) -> None:
    with listening_in_silence() as url, pytest.raises(UnreachableError) as given_up:
        run(url, "promote", "prod", timeout=0.3)

    assert "within 0.3 s" in given_up.value.message
    assert "may have been done" in given_up.value.remedy


def test_an_answer_that_comes_drop_by_drop_is_given_up_in_time(run: Run) -> None:
    with dripping() as url, pytest.raises(UnreachableError) as given_up:
        run(url, "models", timeout=0.5, retries=0)

    assert "within 0.5 s" in given_up.value.message


def test_a_server_that_is_not_there_is_looked_for_several_times(run: Run) -> None:
    url = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(UnreachableError) as given_up:
        run(url, "models", retries=1)

    assert url in given_up.value.message
    assert not given_up.value.sent


def test_a_command_is_repeated_under_its_key_until_it_is_answered(run: Run) -> None:
    with breaking(2) as server, pytest.raises(Exception, match="cannot read"):
        run(server.url, "promote", "prod")

    assert len(server.keys) == 3
    assert len(set(server.keys)) == 1


def test_a_server_that_is_busy_for_a_moment_is_asked_again(run: Run, server: FakeServer) -> None:
    refusals = iter(range(2))

    def busy() -> Response:
        if next(refusals, None) is None:
            server.answer_instead = None
        body = {"code": "SERINUS-UNAVAILABLE", "detail": "Not now."}
        return JSONResponse(body, 503, {"retry-after": "0"}, "application/problem+json")

    server.answer_instead = busy

    assert [each.name for each in run(server.url, "models")] == ["heart"]
    server.answer_instead = busy
    refusals = iter(range(9))
    with pytest.raises(UnavailableError):
        run(server.url, "models", retries=0)


@pytest.mark.parametrize("timeout", [0, -1.0, float("inf"), float("nan"), None, "60"])
def test_a_time_that_cannot_be_waited_is_refused(timeout: Any) -> None:
    for kind in (Client, AsyncClient, DocumentClient):
        with pytest.raises(InvalidInput):
            kind(timeout=timeout)


# ------------------------------------------------------------------------------------------------ who asks


def test_a_token_is_sent_with_every_call(run: Run, server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    run(server.url, "models", token=TOKEN)
    monkeypatch.setenv("SERINUS_TOKEN", "of-the-environment")
    run(server.url, "models")
    run(server.url, "models", token="")

    assert [seen.headers.get("authorization") for seen in server.seen] == [
        f"Bearer {TOKEN}",
        "Bearer of-the-environment",
        None,
    ]


def test_a_token_is_told_to_nobody_else(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://user:{TOKEN[:7]}@127.0.0.1:{free_port()}"
    with pytest.raises(UnreachableError) as raised:
        run(url, "promote", "prod", token=TOKEN, retries=0)

    shown = [repr(raised.value), str(raised.value), *(repr(kind(url, token=TOKEN)) for kind in (Client, AsyncClient))]
    assert not [text for text in shown if TOKEN[:7] in text]


@pytest.mark.parametrize("url", ["ftp://ann:secret@host", "ann:secret@host", "http://ann:secret@host:99999"])
def test_a_password_in_a_url_that_cannot_be_is_not_shown(url: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        Client(url)

    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("token", ["a b", "a\nb", "ä", "a\r\nX-Evil: 1"])
def test_a_token_that_no_header_can_carry_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        Client(token=token)

    assert token not in str(raised.value)


@pytest.mark.parametrize(("status", "kind"), [(401, UnauthorizedError), (403, ForbiddenError)])
def test_a_proxy_that_wants_a_token_says_so(run: Run, server: FakeServer, status: int, kind: type[Exception]) -> None:
    server.answer_instead = lambda: Response("<html>who?</html>", status, media_type="text/html")

    with pytest.raises(kind):
        run(server.url, "models")

    assert len(server.seen) == 1


# ---------------------------------------------------------------------------------------- many predictions


class Counting:
    """Answers predictions slowly enough that they meet, and counts how many are under way at a time."""

    def __init__(self) -> None:
        self.most = 0
        self._under_way = 0
        self._lock = threading.Lock()

    async def answer(self) -> Response:
        with self._lock:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        await asyncio.sleep(0.02)
        with self._lock:
            self._under_way -= 1
        return JSONResponse({"prediction_id": "a", "prediction": 1})


def test_so_many_predictions_as_allowed_are_under_way_and_no_more(run: Run, server: FakeServer) -> None:
    counting = Counting()
    server.answer_instead = counting.answer

    answers = run(server.url, "predict_many", "prod", [ROW] * 30)

    assert len(answers) == 30
    assert all(isinstance(each, Prediction) for each in answers)
    assert 1 < counting.most <= 8


def test_rows_are_answered_in_their_order_and_none_for_another(run: Run, server: FakeServer) -> None:
    server.add_deployment("prod", "heart@1")
    rows = [ROW, {"height": 3}, None, {"age": float("inf")}, ROW]

    answers = run(server.url, "predict_many", "prod", rows)

    assert [isinstance(each, Prediction) for each in answers] == [True, False, False, False, True]
    assert [each.row for each in answers if isinstance(each, PredictionFailure)] == [1, 2, 3]
    assert [each.error.field for each in answers[1:4]] == ["features.age", "features", "features.age"]


@pytest.mark.parametrize("rows", [{"age": 63}, "age", 3, None])
def test_what_are_no_rows_is_refused(run: Run, rows: Any) -> None:
    with pytest.raises(InvalidInput) as raised:
        run(None, "predict_many", "prod", rows)

    assert raised.value.field == "rows"


def test_what_cannot_be_asked_of_all_rows_is_refused_at_once() -> None:
    with Client() as client:
        for wrong in ({"at_once": 0}, {"at_once": 101}, {"at_once": 2.5}, {"entity_ids": ["one"]}):
            with pytest.raises(InvalidInput) as raised:
                client.predict_many("prod", [ROW, ROW], **wrong)
            assert raised.value.field in wrong
        with pytest.raises(InvalidInput):
            client.predict_many("no/name", [ROW])


def test_no_rows_have_no_predictions(run: Run) -> None:
    assert run(None, "predict_many", "prod", []) == []


# ------------------------------------------------------------------------------------------ how they end


async def test_a_call_that_is_cancelled_leaves_a_client_that_works(server: FakeServer) -> None:
    with listening_in_silence() as url:
        async with AsyncClient(url) as client:
            waiting = asyncio.create_task(client.models())
            many = asyncio.create_task(client.predict_many("prod", [ROW] * 20))
            await asyncio.sleep(0.05)
            waiting.cancel()
            many.cancel()
            ended = await asyncio.gather(waiting, many, return_exceptions=True)

    assert [type(each) for each in ended] == [asyncio.CancelledError] * 2
    async with AsyncClient(server.url) as client:
        slow = asyncio.create_task(client.models())
        slow.cancel()
        await asyncio.wait([slow])
        assert [each.name for each in await client.models()] == ["heart"]


async def test_tasks_share_a_client(server: FakeServer) -> None:
    async with AsyncClient(server.url) as client:
        found = await asyncio.gather(*(client.models() for _ in range(30)))

    assert found == [found[0]] * 30


def test_threads_share_a_client(server: FakeServer) -> None:
    found = []
    with Client(server.url) as client:
        threads = [threading.Thread(target=lambda: found.append(client.models())) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

    assert found == [found[0]] * 10


async def test_a_client_that_is_closed_says_so(server: FakeServer) -> None:
    client, later = Client(server.url), AsyncClient(server.url)
    client.close()
    await later.aclose()

    with pytest.raises(RuntimeError, match="closed"):
        client.models()
    with pytest.raises(RuntimeError, match="closed"):
        await later.models()
    with pytest.raises(RuntimeError, match="closed"):
        client.predict_many("prod", [ROW])
    with pytest.raises(RuntimeError, match="closed"):
        await later.predict_many("prod", [ROW])


async def test_what_is_wrong_with_a_call_is_told_when_it_is_awaited() -> None:
    async with AsyncClient() as client:
        call = client.deployment("no/name")
        with pytest.raises(InvalidInput):
            await call


# ----------------------------------------------------------------------------------------- what it takes


def test_the_client_needs_no_numbers_and_no_server_to_be_imported() -> None:
    heavy = ["numpy", "pandas", "sklearn", "fastapi", "starlette", "uvicorn", "sqlalchemy", "pydantic", "asyncio"]
    code = f"import sys, serinus.client; print([name for name in {heavy} if name in sys.modules])"

    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.strip() == "[]"


def test_the_three_clients_take_the_same() -> None:
    asked = [list(inspect.signature(kind.__init__).parameters) for kind in (Client, AsyncClient, DocumentClient)]

    assert asked[0] == asked[1] == [*asked[2], "retries"]
