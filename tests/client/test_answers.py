import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from serinus.client import calls
from serinus.client.answers import Reply, read_answer, read_result
from serinus.client.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    ModelFailedError,
    NotAllowedError,
    NotFoundError,
    OverloadedError,
    StaleGenerationError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
)

URL = "http://127.0.0.1:8000"


def read(status: int, content_type: str, body: bytes) -> dict[str, Any]:
    return read_answer(calls.models(), URL, Reply(status, content_type, body))


def problem(**members: object) -> bytes:
    return json.dumps({"code": "SERINUS-TEST", "detail": "No.", **members}).encode()


@pytest.mark.parametrize("status", [200, 201])
def test_a_success_gives_the_document_as_it_is(status: int) -> None:
    assert read(status, "application/json", b'{"models": [], "new": null}') == {"models": [], "new": None}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, InvalidError),
        (422, InvalidError),
        (500, ApiError),
        (401, UnauthorizedError),
        (403, ForbiddenError),
        (503, UnavailableError),
    ],
)
def test_a_problem_document_becomes_the_error_of_its_status(status: int, kind: type[ApiError]) -> None:
    with pytest.raises(ApiError) as raised:
        read(status, "application/problem+json", problem())

    assert type(raised.value) is kind
    assert raised.value.status == status


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "SERINUS-STALE-GENERATION", StaleGenerationError),
        (409, "SERINUS-NOT-ALLOWED", NotAllowedError),
        (409, "SERINUS-OF-A-NEWER-SERVER", ConflictError),
        (500, "SERINUS-MODEL-ERROR", ModelFailedError),
        (500, "SERINUS-MODEL-OUTPUT", ModelFailedError),
        (504, "SERINUS-MODEL-TIMEOUT", ModelFailedError),
        (503, "SERINUS-OVERLOADED", OverloadedError),
        (503, "SERINUS-UNAVAILABLE", UnavailableError),
    ],
)
def test_a_code_says_more_than_the_status(status: int, code: str, kind: type[ApiError]) -> None:
    with pytest.raises(ApiError) as raised:
        read(status, "application/problem+json", problem(code=code))

    assert type(raised.value) is kind


def test_what_is_possible_instead_is_told() -> None:
    with pytest.raises(NotAllowedError) as raised:
        read(409, "application/problem+json", problem(code="SERINUS-NOT-ALLOWED", state="stable", possible=["start"]))

    assert raised.value.state == "stable"
    assert raised.value.possible == ("start",)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("3", 3.0), ("", None), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("-1", None), ("inf", None)],
)
def test_the_time_to_come_back_is_told_in_seconds(header: str, seconds: float | None) -> None:
    with pytest.raises(UnavailableError) as raised:
        read_answer(calls.models(), URL, Reply(503, "application/problem+json", problem(), header))

    assert raised.value.retry_after_s == seconds


def test_an_error_can_go_from_one_process_to_another() -> None:
    with pytest.raises(UnavailableError) as raised:
        read_answer(calls.models(), URL, Reply(503, "application/problem+json", problem(field="x"), "2"))

    copy = pickle.loads(pickle.dumps(raised.value))

    assert type(copy) is UnavailableError
    assert (copy.detail, copy.field, copy.retry_after_s) == ("No.", "x", 2.0)


@pytest.mark.parametrize(("status", "kind"), [(401, UnauthorizedError), (403, ForbiddenError)])
def test_a_proxy_that_lets_nobody_pass_says_what_it_wants(status: int, kind: type[ApiError]) -> None:
    with pytest.raises(kind) as raised:
        read(status, "text/html", b"<html>who are you?</html>")

    assert "SERINUS_TOKEN" in raised.value.remedy


def test_an_error_has_all_that_the_problem_document_says() -> None:
    body = problem(field="weight", remedy="Give less.", state="canary", possible=["rollback"])

    with pytest.raises(ConflictError) as raised:
        read(409, "application/problem+json", body)

    error = raised.value
    assert (error.code, error.detail, error.field, error.remedy) == ("SERINUS-TEST", "No.", "weight", "Give less.")
    assert error.document["possible"] == ["rollback"]


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_proxy_without_a_server_behind_it_means_unreachable(status: int) -> None:
    with pytest.raises(UnreachableError, match=str(status)):
        read(status, "text/html", b"<html>bad gateway</html>")


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (200, "text/html; charset=utf-8", b"<html>hello</html>"),
        (200, "application/json", b"[1, 2]"),
        (200, "application/json", b"{not json"),
        (200, "application/json", b'{"a": ' + b"[" * 100_000),
        (200, "", b""),
        (302, "text/html", b""),
        (404, "application/json", b'{"detail": "Not Found"}'),
        (500, "text/plain", b"Internal Server Error"),
        (799, "application/json", b"{}"),
    ],
)
def test_an_answer_that_is_not_a_serinus_servers_is_said_to_be_so(status: int, content_type: str, body: bytes) -> None:
    with pytest.raises(UnexpectedAnswerError, match=f"GET /models gave {status}"):
        read(status, content_type, body)


def test_a_result_has_types_and_passes_over_what_it_does_not_know() -> None:
    document = {"name": "heart", "versions": 2, "latest": "heart@2", "updated_at": "2026-03-01T12:00:00+00:00", "x": 1}

    (model,) = read_result(calls.models(), {"models": [document]})

    assert model.updated_at == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert (model.name, model.versions, model.latest) == ("heart", 2, "heart@2")


def test_a_predicted_class_stays_of_its_type() -> None:
    answers = [
        read_result(calls.predict("prod", {}), {"prediction_id": "a", "prediction": value}).prediction
        for value in ("1", 1, 1.5, True, "true")
    ]

    assert [(type(value), value) for value in answers] == [
        (str, "1"),
        (int, 1),
        (float, 1.5),
        (bool, True),
        (str, "true"),
    ]


@pytest.mark.parametrize("document", [{}, {"models": None}, {"models": [{"name": 3}]}])
def test_a_document_that_lacks_what_is_needed_is_no_result(document: dict[str, Any]) -> None:
    with pytest.raises(UnexpectedAnswerError, match="GET /models"):
        read_result(calls.models(), document)
