"""The short way of predictions answers as the long way does, whatever comes over a connection."""

import asyncio
import json
import sqlite3
import weakref
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import pytest
import pytest_asyncio
from tests import models
from tests.http.hosting import LONG, Answer, Host, hosting, request
from tests.service_layer.doubles import until

from serinus.client import DocumentClient
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature

pytestmark = pytest.mark.asyncio(loop_scope="module")
GOOD = b'{"features": {"age": 63, "chol": 233.0}}'
MOST_BYTES = 100_000
TEXTS = Signature((Feature("größe", Dtype.STR, nullable=True), Feature("raucht", Dtype.BOOL)), Output(OutputKind.CLASS))
SLOW_S = 0.4


def deployed(client: DocumentClient) -> None:
    """Make deployments whose names say how they answer; ``canary`` has a canary that is asked where it is forced."""
    models.register(client, "risk", models.Risk())
    models.register(client, "risk", models.Risk())
    client.deploy("right", "risk@1")
    client.deploy("canary", "risk@1", {"allow_forced": True, "auto_promote": False, "auto_rollback": False})
    client.start("canary", 2, 0)
    for name, model in {
        "raises": models.Raises(),
        "nan": models.Answers(models.BAD_ANSWERS["nan"]),
        "slow": models.Risk(seconds=SLOW_S),
        "silent": models.Risk(seconds=5.0),
        "full": models.Risk(seconds=0.2),
    }.items():
        client.deploy(name, models.register(client, name, model))
    package = models.pickled(models.Ill("raises"), TEXTS)
    client.deploy("texts", client.register_package("texts", package)["ref"])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Host]:
    settings = {"max_request_bytes": MOST_BYTES, "predict_timeout": 1.5, "predictor_queue": 4}
    async with hosting(tmp_path_factory.mktemp("hot") / "home", **settings) as host:
        await host.does(deployed)
        for name in ("right", "texts"):  # a first answer takes longer than the next ones
            await host.ask(request(name, GOOD))
        yield host
    assert host.lost == []


def of_age(age: int, *headers: str, deployment: str = "right") -> bytes:
    return request(deployment, json.dumps({"features": {"age": age, "chol": 1.5}}).encode(), *headers)


async def both_ways(host: Host, deployment: str, body: bytes, *headers: str) -> tuple[Answer, Answer]:
    """Ask the short way, if it is one, and the long way."""
    return (
        await host.ask(request(deployment, body, *headers)),
        await host.ask(request(deployment, body, *headers, LONG)),
    )


def logged(host: Host, deployment: str) -> int:
    with closing(sqlite3.connect(host.home / "serinus.db")) as database:
        count: int = database.execute("SELECT count(*) FROM predictions WHERE deployment = ?", [deployment]).fetchone()[
            0
        ]
    return count


def heads(answer: Answer) -> dict[str, str]:
    """Give the headers that do not depend on time."""
    return {name: value for name, value in answer.headers.items() if name not in {"date", "content-length"}}


# ------------------------------------------------------------------------------------ what is answered


@pytest.mark.parametrize(
    ("deployment", "body"),
    [
        ("right", '{"features": {"age": 63, "chol": 233.0}}'),
        ("right", '{"features": {"chol": 233.0, "age": 63}}'),
        ("right", '{"entity_id": "Zoë 🐤", "features": {"age": 63, "chol": 233.0}}'),
        ("right", '{"entity_id": 17, "features": {"age": 63, "chol": 233.0}}'),
        ("right", '{"entity_id": null, "features": {"age": 63, "chol": 233.0}}'),
        ("right", '{"entity_id": 18446744073709551615, "features": {"age": 63, "chol": 233.0}}'),
        ("right", '{"features": {"age": 63.0, "chol": 233}}'),
        ("right", '{"features": {"age": 6.3e1, "chol": -0}}'),
        ("right", '{"features": {"age": 9007199254740993, "chol": 1e308}}'),
        ("right", '{"features": {"age": 63, "chol": 1267650600228229401496703205376}}'),
        ("right", ' \n{\t"features" : { "age" : 63 , "chol" : 233.0 } }\r\n'),
        ("right", '{"features": {"age": 1, "chol": 233.0, "age": 63}}'),
        ("texts", '{"features": {"größe": "klein", "raucht": true}}'),
        ("texts", '{"features": {"gr\\u00f6\\u00dfe": "klein", "raucht": false}}'),
    ],
)
async def test_a_good_request_gets_the_same_answer_both_ways(host: Host, deployment: str, body: str) -> None:
    host.short.clear()

    short, long = await both_ways(host, deployment, body.encode())

    assert short.status == long.status == 200, short.body
    assert host.short == [True]
    assert list(short.document) == list(long.document)
    assert json.dumps(short.steady) == json.dumps(long.steady)
    assert heads(short) == heads(long)
    assert short.document["prediction_id"] != long.document["prediction_id"]
    assert short.document["latency_ms"] > 0


@pytest.mark.parametrize(
    ("deployment", "body"),
    [
        ("texts", '{"features": {"größe": "Zoë 🐤", "raucht": true}}'),
        ("right", '{"instances": [{"age": 63, "chol": 233.0}, {"age": 64, "chol": 1}]}'),
        ("right", '{"features": {"age": 9223372036854775807, "chol": 1.5}}'),
        ("right", '{"features": {"age": -9223372036854775808, "chol": 1.5}}'),
    ],
)
async def test_a_good_request_that_takes_a_closer_look_gets_it(host: Host, deployment: str, body: str) -> None:
    short, long = await both_ways(host, deployment, body.encode())

    assert short.status == long.status == 200, short.body
    assert json.dumps(short.steady) == json.dumps(long.steady)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"features": {"age": 63}}', 422),
        ('{"features": {"age": 63, "chol": 1.5, "weight": 80}}', 422),
        ('{"features": {"age": 63, "cholesterol": 1.5}}', 422),
        ('{"features": {"age": "63", "chol": 1.5}}', 422),
        ('{"features": {"age": true, "chol": 1.5}}', 422),
        ('{"features": {"age": 63.5, "chol": 1.5}}', 422),
        ('{"features": {"age": null, "chol": 1.5}}', 422),
        ('{"features": {"age": 63, "chol": [1.5]}}', 422),
        ('{"features": {"age": 9223372036854775808, "chol": 1.5}}', 422),
        ('{"features": {"age": 63, "chol": 1e999}}', 422),
        (f'{{"features": {{"age": 63, "chol": 1{"0" * 400}}}}}', 422),
        ('{"features": {"age": 63, "chol": "NaN"}}', 422),
        ('{"features": {"age": 63, "chol": NaN}}', 400),
        ('{"features": {"age": 63, "chol": Infinity}}', 400),
        ('{"features": {"age": 63, "größe": 1.5}}', 422),
        (f'{{"features": {{"age": {"[" * 5000}1{"]" * 5000}, "chol": 1.5}}}}', 400),
        ('{"features": [63, 1.5]}', 422),
        ('{"features": null}', 422),
        ("{}", 422),
        ('{"features": {"age": 63, "chol": 1.5}, "entity": 1}', 422),
        ('{"features": {"age": 63, "chol": 1.5}, "entity_id": 1.5}', 422),
        ('{"features": {"age": 63, "chol": 1.5}, "entity_id": true}', 422),
        ('{"features": {"age": 63, "chol": 1.5}, "instances": []}', 422),
        ('{"instances": []}', 422),
        ("[]", 422),
        ("", 400),
        ("{", 400),
        ('{"features": {"age": 63, "chol": 1.5}} x', 400),
        ("age=63&chol=1.5", 400),
    ],
)
async def test_a_bad_request_is_refused_in_the_words_of_the_long_way(host: Host, body: str, status: int) -> None:
    host.short.clear()

    short, long = await both_ways(host, "right", body.encode())

    assert short.status == status, short.body
    assert short.body == long.body
    assert heads(short) == heads(long)
    assert host.short == [False]


async def test_bytes_that_are_no_text_are_refused_in_the_words_of_the_long_way(host: Host) -> None:
    short, long = await both_ways(host, "right", b'{"features": {"age": 63, "chol": 1.5}, "entity_id": "\xff"}')

    assert (short.status, short.body) == (400, long.body)


@pytest.mark.parametrize(
    "path",
    ["nowhere", "right/", "right/more", "", "%72ight", "right?x=1", "right;x", "%2e%2e/health", "RIGHT", "r%C3%A9"],
)
async def test_every_path_leads_to_the_same_both_ways(host: Host, path: str) -> None:
    short, long = await both_ways(host, path, GOOD)

    assert short.status == long.status
    assert short.steady == long.steady
    assert heads(short) == heads(long)
    assert (short.status == 200) == (path in {"%72ight", "right?x=1"})


@pytest.mark.parametrize(
    ("header", "role"), [("always", "canary"), ("never", "baseline"), (" ALWAYS ", "canary"), ("perhaps", "baseline")]
)
async def test_a_caller_may_choose_the_role_both_ways(host: Host, header: str, role: str) -> None:
    host.short.clear()

    short, long = await both_ways(host, "canary", GOOD, f"X-Canary: {header}", "X-Canary: never")

    assert short.document["model_role"] == long.document["model_role"] == role
    assert short.steady == long.steady
    assert host.short == [True]


# -------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize(
    ("deployment", "status", "code"),
    [
        ("raises", 500, "SERINUS-MODEL-ERROR"),
        ("nan", 500, "SERINUS-MODEL-OUTPUT"),
        ("silent", 504, "SERINUS-MODEL-TIMEOUT"),
    ],
)
async def test_a_baseline_that_fails_is_a_problem_document_both_ways(
    host: Host, deployment: str, status: int, code: str
) -> None:
    short, long = await asyncio.gather(host.ask(request(deployment, GOOD)), host.ask(request(deployment, GOOD, LONG)))

    assert short.status == long.status == status
    assert short.document["code"] == code
    assert short.headers["content-type"] == "application/problem+json"
    assert list(short.document) == list(long.document)
    assert {**short.document, "detail": ""} == {**long.document, "detail": ""}
    assert heads(short) == heads(long)


async def test_what_a_full_queue_cannot_hold_is_told_when_to_come_back(host: Host) -> None:
    answers = await asyncio.gather(*(host.ask(request("full", GOOD)) for _ in range(12)))
    refused = [answer for answer in answers if answer.status == 503]

    assert {answer.status for answer in answers} == {200, 503}
    assert {answer.document["code"] for answer in refused} == {"SERINUS-OVERLOADED"}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert {answer.headers["content-type"] for answer in refused} == {"application/problem+json"}


@pytest.mark.parametrize("hosts", [["evil.example"], ["127.0.0.1.evil.example"], [""], ["evil.example", "127.0.0.1"]])
async def test_a_request_that_names_another_machine_is_refused(host: Host, hosts: list[str]) -> None:
    host.short.clear()
    first, *more = hosts

    answer = await host.ask(request("right", GOOD, *(f"Host: {each}" for each in more), host=first))

    assert answer.status == 403
    assert host.short == []


@pytest.mark.parametrize("name", ["127.0.0.1:80", "localhost", "LOCALHOST:8000", "[::1]"])
async def test_this_machine_is_answered_by_each_of_its_names(host: Host, name: str) -> None:
    host.short.clear()

    assert (await host.ask(request("right", GOOD, host=name))).status == 200
    assert host.short == [True]


async def test_a_body_over_the_limit_is_refused_both_ways(host: Host) -> None:
    short, long = await both_ways(host, "right", GOOD + b" " * MOST_BYTES)

    assert short.status == long.status == 413
    assert short.body == long.body


# ------------------------------------------------------------------------------- what a connection brings


async def test_requests_that_came_in_one_segment_are_answered_in_their_order(host: Host) -> None:
    async with host.caller() as caller:
        caller.send(b"".join(map(of_age, range(20))))

        answers = [await caller.answer() for _ in range(20)]

    assert [answer.document["prediction"] for answer in answers] == [age / 100 for age in range(20)]


@pytest.mark.parametrize("ways", ["short long short", "long short long", "short short long long short"])
async def test_requests_of_both_ways_over_one_connection_are_answered_in_their_order(host: Host, ways: str) -> None:
    sent = [of_age(age, *([LONG] if way == "long" else [])) for age, way in enumerate(ways.split())]
    expected = [age / 100 for age in range(len(sent))]
    async with host.caller() as caller:
        caller.send(b"".join(sent))
        at_once = [(await caller.answer()).document["prediction"] for _ in sent]
        one_by_one = [(await caller.ask(each)).document["prediction"] for each in sent]

    assert at_once == expected
    assert one_by_one == expected


async def test_a_slow_request_holds_back_those_behind_it_and_no_other_connection(host: Host) -> None:
    async with host.caller() as caller:
        caller.send(of_age(1, deployment="slow") + of_age(2) + of_age(3, LONG) + of_age(4, deployment="nowhere"))
        assert (await host.ask(of_age(5))).document["prediction"] == 0.05

        answers = [await caller.answer() for _ in range(4)]

    assert [answer.status for answer in answers] == [200, 200, 200, 404]
    assert [answer.document["prediction"] for answer in answers[:3]] == [0.01, 0.02, 0.03]


@pytest.mark.parametrize("size", [1, 7, 60])
async def test_a_request_that_comes_in_pieces_is_answered(host: Host, size: int) -> None:
    async with host.caller() as caller:
        whole = of_age(63) + of_age(64)
        for begin in range(0, len(whole), size):
            caller.send(whole[begin : begin + size])
            await asyncio.sleep(0)
            await caller.writer.drain()

        answers = [await caller.answer() for _ in range(2)]

    assert [answer.document["prediction"] for answer in answers] == [0.63, 0.64]


async def test_a_body_that_comes_after_its_head_takes_the_long_way(host: Host) -> None:
    host.short.clear()
    whole = of_age(63)
    async with host.caller() as caller:
        seen = len(host.server.server_state.tasks)
        for piece in (whole[:-20], whole[-20:-10], whole[-10:]):
            caller.send(piece)
            await until(lambda: len(host.server.server_state.tasks) > seen)

        assert (await caller.answer()).document["prediction"] == 0.63
        assert host.short == []
        assert (await caller.ask(of_age(64))).document["prediction"] == 0.64
        assert host.short == [True]


async def test_a_head_that_was_there_before_is_not_parsed_again(host: Host) -> None:
    mine = "X-Mine: not parsed again"
    await host.ask(of_age(62, mine))
    host.parsed, answers = 0, []
    async with host.caller() as caller:
        answers += [(await caller.ask(of_age(age, mine))).document["prediction"] for age in (63, 64)]
    answers.append((await host.ask(of_age(65, mine))).document["prediction"])

    assert answers == [0.63, 0.64, 0.65]
    assert host.parsed == 0


@pytest.mark.parametrize(
    "ways", ["known known", "known long", "long known", "known new", "new known", "known bad known"]
)
async def test_known_heads_change_nothing_in_the_order_of_answers(host: Host, ways: str) -> None:
    """A head is known, or new, or takes the long way; ``bad`` has a known head and a body that is refused."""
    known, bad = "X-Mine: in order", len(of_age(63).partition(b"\r\n\r\n")[2])
    await host.ask(of_age(63, known))

    def sent(age: int, way: str) -> bytes:
        if way == "bad":
            return request("right", b"{}".ljust(bad), known)
        return of_age(age, {"known": known, "long": LONG, "new": f"X-Mine: {ways} {age}"}[way])

    every = [sent(number + 10, way) for number, way in enumerate(ways.split())]
    expected = [None if way == "bad" else (number + 10) / 100 for number, way in enumerate(ways.split())]
    async with host.caller() as caller:
        one_by_one = [(await caller.ask(each)).document.get("prediction") for each in every]
        caller.send(b"".join(every))
        at_once = [(await caller.answer()).document.get("prediction") for _ in every]

    assert one_by_one == at_once == expected


@pytest.mark.parametrize("cut", [1, 5, 40, -30, -3, -1])
async def test_a_request_with_a_known_head_may_come_in_pieces(host: Host, cut: int) -> None:
    whole = of_age(63)
    async with host.caller() as caller:
        await caller.ask(whole)
        caller.send(whole[:cut])
        await until(lambda: host.connection_of(caller)._parsing)
        caller.send(whole[cut:] + of_age(64))

        assert [(await caller.answer()).document["prediction"] for _ in range(2)] == [0.63, 0.64]


async def test_the_role_that_a_caller_chose_is_in_a_head_that_is_known(host: Host) -> None:
    async with host.caller() as caller:
        roles = [
            (await caller.ask(of_age(63, f"X-Canary: {chosen}", deployment="canary"))).document["model_role"]
            for chosen in ("always", "never ", "always", "never ")
        ]

    assert roles == ["canary", "baseline"] * 2


async def test_more_heads_than_are_kept_are_answered_all_the_same(host: Host) -> None:
    async with host.caller() as caller:
        for number in range(1100):
            caller.send(of_age(number % 100, f"X-Mine: {number}"))
            assert (await caller.answer()).document["prediction"] == number % 100 / 100
        route = host.connection_of(caller)._route

    assert route is not None
    assert len(route._heads) <= 1024


async def test_more_names_than_are_kept_take_nobody_from_the_short_way(host: Host) -> None:
    mine = "X-Mine: stays short"
    async with host.caller() as caller:
        await caller.ask(of_age(63, mine))
        route = host.connection_of(caller)._route
        assert route is not None
        for number in range(1100):  # as heads of other callers would
            route.takes(b"/predict/nowhere-%d" % number, [(b"host", b"127.0.0.1")])
        host.short.clear()
        answers = [(await caller.ask(of_age(age, mine))).document["prediction"] for age in (64, 65)]

    assert answers == [0.64, 0.65]
    assert host.short == [True, True]


async def test_a_lost_connection_is_let_go_at_once(host: Host) -> None:
    async with host.caller() as caller:
        await caller.ask(of_age(63))
        kept = weakref.ref(host.connection_of(caller)._own_cycle)
    await until(lambda: kept() is None)


async def test_a_caller_that_asks_for_the_end_of_its_connection_gets_it(host: Host) -> None:
    for headers in (["Connection: close"], ["Connection: close", LONG]):
        async with host.caller() as caller:
            answer = await caller.ask(of_age(63, *headers))

            assert answer.document["prediction"] == 0.63
            assert answer.headers["connection"] == "close"
            assert await caller.is_closed()


async def test_http_1_0_is_answered_and_closed(host: Host) -> None:
    async with host.caller() as caller:
        answer = await caller.ask(request("right", GOOD, version="1.0"))

        assert answer.document["prediction"] == 0.63
        assert await caller.is_closed()


async def test_a_body_in_chunks_is_answered(host: Host) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (GOOD[:9], GOOD[9:])) + b"0\r\n\r\n"
    async with host.caller() as caller:
        answer = await caller.ask(request("right", b"", "Transfer-Encoding: chunked", sized=False) + chunks)

        assert answer.document["prediction"] == 0.63
        assert (await caller.ask(of_age(64))).document["prediction"] == 0.64


async def test_a_caller_that_waits_to_be_told_to_go_on_is_told(host: Host) -> None:
    head = request("right", GOOD, "Expect: 100-continue")[: -len(GOOD)]
    async with host.caller() as caller:
        assert (await caller.ask(head)).status == 100
        assert (await caller.ask(GOOD)).document["prediction"] == 0.63
        assert (await caller.ask(of_age(64))).document["prediction"] == 0.64


async def test_what_is_no_http_is_refused_and_the_connection_closed(host: Host) -> None:
    async with host.caller() as caller:
        assert (await caller.ask(of_age(63))).status == 200
        answer = await caller.ask(b"what?\r\n\r\n")

        assert answer.status == 400
        assert await caller.is_closed()


async def test_other_requests_over_the_same_connection_are_answered(host: Host) -> None:
    async with host.caller() as caller:
        assert (await caller.ask(of_age(63))).status == 200
        assert (await caller.ask(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")).status == 200
        assert (await caller.ask(b"GET /predict/right HTTP/1.1\r\nHost: localhost\r\n\r\n")).status == 405
        assert (await caller.ask(of_age(64))).document["prediction"] == 0.64


async def test_a_caller_that_does_not_read_its_answers_is_answered_no_further_until_it_does(host: Host) -> None:
    async with host.caller() as caller:
        await caller.ask(of_age(63))
        connection = host.connection_of(caller)
        logged_before = logged(host, "right")
        connection.pause_writing()  # as its transport does where too much is not read

        caller.send(of_age(64))
        await until(lambda: logged(host, "right") > logged_before)

        assert host.is_asked(caller)
        connection.resume_writing()
        assert (await caller.answer()).document["prediction"] == 0.64


# ------------------------------------------------------------------------------------------ how it ends


@pytest_asyncio.fixture(loop_scope="module")
async def impatient(host: Host) -> AsyncIterator[Host]:
    """A server that closes connections soon that nobody uses."""
    host.config.timeout_keep_alive, before = 0.3, host.config.timeout_keep_alive  # type: ignore[assignment]
    yield host
    host.config.timeout_keep_alive = before


@pytest.mark.parametrize("ways", [[()], [(LONG,)], [(), (LONG,)], [(LONG,), ()], [(), ()]])
async def test_a_connection_that_nobody_uses_is_closed(impatient: Host, ways: list[tuple[str, ...]]) -> None:
    async with impatient.caller() as caller:
        begun = 0.0
        for headers in ways:
            begun = asyncio.get_running_loop().time()
            assert (await caller.ask(of_age(63, *headers))).status == 200

        assert await caller.is_closed(10.0)

        assert asyncio.get_running_loop().time() - begun > 0.28


@pytest.mark.parametrize("headers", [(), (LONG,)])
async def test_a_connection_is_not_closed_while_a_request_is_under_way(
    impatient: Host, headers: tuple[str, ...]
) -> None:
    async with impatient.caller() as caller:
        assert (await caller.ask(of_age(63, *headers))).status == 200
        answer = await caller.ask(of_age(63, *headers, deployment="slow"))

        assert answer.status == 200


async def test_a_connection_that_is_used_again_and_again_stays(impatient: Host) -> None:
    async with impatient.caller() as caller:
        for _ in range(8):
            assert (await caller.ask(of_age(63))).status == 200
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("headers", [(), (LONG,)])
async def test_a_request_whose_caller_hangs_up_is_on_record_like_any_other(
    host: Host, headers: tuple[str, ...]
) -> None:
    before = logged(host, "slow")
    async with host.caller() as caller:
        caller.send(of_age(63, *headers, deployment="slow"))
        await until(lambda: host.is_asked(caller))
        caller.writer.transport.abort()

        await until(lambda: logged(host, "slow") > before)

    assert (await host.ask(of_age(64))).status == 200


async def test_a_caller_that_hangs_up_with_requests_in_line_does_no_harm(host: Host) -> None:
    async with host.caller() as caller:
        caller.send(of_age(1, deployment="slow") + of_age(2, LONG) + of_age(3))
        await asyncio.sleep(SLOW_S / 4)
        caller.writer.transport.abort()

    await asyncio.sleep(SLOW_S)
    assert (await host.ask(of_age(64))).status == 200


@pytest.mark.parametrize("headers", [(), (LONG,)])
async def test_a_server_that_ends_answers_what_is_under_way_and_closes(
    tmp_path_factory: pytest.TempPathFactory, headers: tuple[str, ...]
) -> None:
    def deployed_slow(client: DocumentClient) -> Any:
        return client.deploy("slow", models.register(client, "risk", models.Risk(seconds=SLOW_S)))

    async with hosting(tmp_path_factory.mktemp("ending") / "home") as ending, ending.caller() as caller:
        await ending.does(deployed_slow)
        caller.send(of_age(63, *headers, deployment="slow"))
        await until(lambda: ending.is_asked(caller))

        ending.server.should_exit = True

        answer = await caller.answer()
        assert answer.document["prediction"] == 0.63
        assert answer.headers["connection"] == "close"
        assert await caller.is_closed()
        await ending.ended
        assert ending.lost == []
