"""A server without keys answers this machine alone."""

import httpx2
import pytest
from tests.http.problems import problem
from tests.server import Server

PATHS = ["/health", "/deployments", "/predict/any", "/metrics", "/openapi.json"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[", "0.0.0.0"])
def test_a_request_to_another_host_is_refused(http: httpx2.Client, path: str, host: str) -> None:
    refusal = problem(http.request("POST", path, headers={"host": host}), 403)

    assert refusal["code"] == "SERINUS-FORBIDDEN"
    assert "Host" in refusal["detail"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "["])
def test_a_request_from_another_sites_page_is_refused(http: httpx2.Client, path: str, origin: str) -> None:
    refusal = problem(http.get(path, headers={"origin": origin}), 403)

    assert refusal["code"] == "SERINUS-FORBIDDEN"
    assert "Origin" in refusal["detail"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"])
def test_this_machine_is_answered_by_each_of_its_names(http: httpx2.Client, server: Server, host: str) -> None:
    headers = {"host": f"{host}:{server.port}", "origin": f"http://{host}:{server.port}"}

    assert http.get("/health", headers=headers).status_code == 200
