"""What a checker answers, which has no deployments, models and predictions to show."""

from collections.abc import Iterator

import httpx2
import pytest
from tests.http.problems import problem
from tests.server import start

HASH_KEY = "the same for all of the gateways"
NO_REDIS = "redis://127.0.0.1:9/0"
"""A checker answers without one; nothing listens on this port."""


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    settings = {"SERINUS_REDIS_URL": NO_REDIS, "SERINUS_HASH_KEY": HASH_KEY}
    server = start(tmp_path_factory.mktemp("checker") / "home", command="check", **settings)
    try:
        server.wait_until_ready()
        with server.http() as http:
            yield http
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/deployments"),
        ("POST", "/deployments/heart-prod/promote"),
        ("GET", "/models/heart/versions"),
        ("PUT", "/artifacts/sha256:0"),
        ("POST", "/predict/heart-prod"),
        ("POST", "/invocations/heart-prod"),
        ("POST", "/v2/models/heart-prod/infer"),
        ("GET", "/v2"),
    ],
)
def test_what_a_gateway_answers_is_refused_with_a_word_on_whom_to_ask(
    checker: httpx2.Client, method: str, path: str
) -> None:
    refusal = problem(checker.request(method, path), 404)

    assert refusal["code"] == "SERINUS-CHECKER"
    assert f"{method} {path}" in str(refusal["detail"])
    assert "canary serve" in str(refusal["remedy"])


def test_what_nobody_answers_is_just_not_found(checker: httpx2.Client) -> None:
    assert problem(checker.get("/nothing"), 404)["code"] == "SERINUS-HTTP-404"


def test_how_it_does_is_answered(checker: httpx2.Client) -> None:
    assert checker.get("/health").status_code == 200
    assert checker.get("/metrics").status_code == 200
