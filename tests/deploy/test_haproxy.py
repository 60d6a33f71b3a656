"""The load balancer as it is shipped, in front of stand-ins that are as ready, and as slow to go, as the test wants."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx2
import pytest
from tests.deploy.files import HAPROXY, assert_passes, program
from tests.server import eventually
from tests.service import free_ports, provided
from tests.services import HAProxy as LoadBalancer


class Gateway:
    """Answers as a gateway does, and remembers which predictions it was asked for."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.is_ready = True
        self.asked: list[str] = []
        self._running = ExitStack()

    def start(self) -> None:
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(200 if gateway.is_ready else 503)

            def do_POST(self) -> None:
                gateway.asked.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
                self._answer(200)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                """Say nothing."""

        server = self._running.enter_context(_Server(("127.0.0.1", self.port), Handler))
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        self._running.callback(thread.join)
        self._running.callback(server.shutdown)

    def stop(self) -> None:
        self._running.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


@contextmanager
def balanced(folder: Path) -> Iterator[tuple[httpx2.Client, Gateway, Gateway]]:
    """Run two gateways behind the load balancer, which has looked at both; gives a caller and the gateways."""
    one, other = (Gateway(port) for port in free_ports(2))
    addresses = "".join(
        f"  setenv GATEWAY_{number} 127.0.0.1:{gateway.port}\n" for number, gateway in enumerate((one, other), 1)
    )
    socket = f"  stats socket {folder / 'stats'} level admin\n"
    with ExitStack() as stack:
        for gateway in (one, other):
            stack.callback(gateway.stop)
            gateway.start()
        balancer = stack.enter_context(provided(LoadBalancer(f"global\n{addresses}{socket}{HAPROXY.read_text()}")))
        yield stack.enter_context(httpx2.Client(base_url=balancer.url, trust_env=False, timeout=30)), one, other


def predict(http: httpx2.Client, body: str = "{}", **headers: str) -> int:
    # A new connection each time, as most callers have.
    return http.post("/predict/fraud", content=body, headers={"Connection": "close", **headers}).status_code


def test_haproxy_accepts_its_configuration() -> None:
    haproxy = program("haproxy", LoadBalancer.remedy)

    assert_passes([haproxy, "-c", "-f", HAPROXY], GATEWAY_1="127.0.0.1:1", GATEWAY_2="127.0.0.1:2")


def test_both_gateways_are_asked(tmp_path: Path) -> None:
    with balanced(tmp_path) as (http, one, other):
        assert {predict(http) for _ in range(20)} == {200}

        assert len(one.asked) + len(other.asked) == 20
        assert min(len(one.asked), len(other.asked)) >= 5


def test_a_gateway_that_is_not_ready_gets_no_requests_until_it_is(tmp_path: Path) -> None:
    with balanced(tmp_path) as (http, one, other):
        one.is_ready = False

        assert eventually(lambda: _asks_only(http, other, not_asked=one))
        one.is_ready = True
        assert eventually(lambda: predict(http) == 200 and len(one.asked) > 0 and _asks(http, one))


def test_no_caller_notices_a_gateway_that_is_gone(tmp_path: Path) -> None:
    with balanced(tmp_path) as (http, one, other):
        one.stop()

        answers = [predict(http, f"request {number}") for number in range(20)]

        assert set(answers) == {200}
        assert other.asked == [f"request {number}" for number in range(20)]


def test_gateways_of_which_none_is_ready_are_asked_all_the_same(tmp_path: Path) -> None:
    with balanced(tmp_path) as (http, one, other):
        one.is_ready = other.is_ready = False
        assert eventually(lambda: http.get("/health/any-gateway").status_code == 503)

        assert {predict(http) for _ in range(10)} == {200}


def test_it_is_well_as_long_as_one_gateway_is_ready(tmp_path: Path) -> None:
    with balanced(tmp_path) as (http, one, other):
        one.is_ready = False
        assert eventually(lambda: _asks_only(http, other, not_asked=one))

        assert http.get("/health/any-gateway").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:8000"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "null"},
    ],
    ids=str,
)
def test_a_page_of_another_site_can_ask_for_nothing(tmp_path: Path, headers: dict[str, str]) -> None:
    with balanced(tmp_path) as (http, one, other):
        assert predict(http, **headers) == 403

        assert one.asked == other.asked == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost:8000"},
        {"Host": "[::1]:8000"},
        {"Host": "load-balancer:8000"},
        {"Origin": "http://localhost:8501"},
    ],
    ids=str,
)
def test_a_page_of_this_machine_can_ask(tmp_path: Path, headers: dict[str, str]) -> None:
    with balanced(tmp_path) as (http, _, _):
        assert predict(http, **headers) == 200


def _asks(http: httpx2.Client, gateway: Gateway) -> bool:
    before = len(gateway.asked)
    assert {predict(http) for _ in range(6)} == {200}
    return len(gateway.asked) > before


def _asks_only(http: httpx2.Client, gateway: Gateway, *, not_asked: Gateway) -> bool:
    before = len(not_asked.asked)
    return _asks(http, gateway) and len(not_asked.asked) == before
