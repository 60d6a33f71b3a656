import json
from typing import Any

import pytest

from serinus.client import calls
from serinus.client.answers import read_answer
from serinus.client.errors import (
    ApiError,
    ConflictError,
    InvalidError,
    NotFoundError,
    UnexpectedAnswerError,
    UnreachableError,
)

URL = "http://127.0.0.1:8000"


def read(status: int, content_type: str, body: bytes) -> dict[str, Any]:
    return read_answer(calls.models(), URL, status, content_type, body)


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
        (503, ApiError),
    ],
)
def test_a_problem_document_becomes_the_error_of_its_status(status: int, kind: type[ApiError]) -> None:
    with pytest.raises(ApiError) as raised:
        read(status, "application/problem+json", problem())

    assert type(raised.value) is kind
    assert raised.value.status == status


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
