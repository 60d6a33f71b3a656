"""The services that other tests stand on."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from obstore.exceptions import BaseError
from tests.server import REPOSITORY, eventually
from tests.service import HOST, Missing, find_program, listens
from tests.services import S3, HAProxy, NotStarted, PostgreSQL, Prometheus, Redis, SeaweedFS, Service, provided

SCRAPING = "global: {scrape_interval: 1s}"
GREETING = """
global
  stats socket "${STATS_SOCKET}" level admin
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend greeting
  bind "${HOST}:${PORT}"
  http-request return status 200 content-type text/plain string hello
"""
MAKERS: dict[str, Callable[[], Service]] = {
    "postgresql": PostgreSQL,
    "redis": Redis,
    "seaweedfs": SeaweedFS,
    "prometheus": lambda: Prometheus(SCRAPING),
    "haproxy": lambda: HAProxy(GREETING),
}
every_service = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def lives(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def processes_of(service: Service) -> list[int]:
    """Give the processes whose folder is its own."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").readlink().is_relative_to(service.folder):
                found.append(int(process.name))
    return found


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


@every_service
def test_a_service_keeps_its_ports_when_it_is_started_again(make: Callable[[], Service]) -> None:
    with provided(make()) as service:
        ports = list(service.ports)
        service.stop()
        assert not listens(service.port)
        service.start()
        service.kill()
        assert not listens(service.port)
        service.start()
        assert service.ports == ports
        assert listens(service.port)


@every_service
def test_a_service_leaves_nothing_behind(make: Callable[[], Service]) -> None:
    with provided(make()) as service:
        processes = processes_of(service)
        assert service.pid in processes
    assert not service.folder.exists()
    assert eventually(lambda: not any(map(lives, processes)))


@every_service
def test_a_service_takes_another_port_when_its_own_is_taken(make: Callable[[], Service]) -> None:
    service = make()
    port = service.port
    with socket.socket() as other:
        other.bind((HOST, port))
        other.listen()
        with provided(service):
            assert service.port != port
            assert listens(service.port)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with the one that started it")
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_service_does_not_outlive_a_killed_run(end: signal.Signals, tmp_path: Path, redis: Redis) -> None:
    script = "from tests.services import Redis; r = Redis(); r.start(); print(r.pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as run:
        assert run.stdout is not None
        pid = int(run.stdout.readline())
        assert lives(pid)
        run.send_signal(end)
    assert eventually(lambda: not lives(pid))


def test_a_service_that_cannot_start_says_so() -> None:
    with pytest.raises(NotStarted), provided(Prometheus("global: {scrape_interval: soon}")):
        pass


def test_a_missing_program_is_named() -> None:
    with pytest.raises(Missing) as raised:
        find_program("no-such-program", "There is none.")
    assert raised.value.program == "no-such-program"


class _Absent(Redis):
    def _command(self) -> list[str]:
        return [find_program("no-such-program", self.remedy)]


def test_a_missing_program_skips_a_test_on_a_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception), provided(_Absent()):
        pass


def test_a_missing_program_fails_a_test_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception), provided(_Absent()):
        pass


def test_what_postgresql_committed_outlives_a_kill() -> None:
    with provided(PostgreSQL()) as postgresql:
        database = postgresql.create_database()
        postgresql.execute("CREATE TABLE kept AS SELECT 7 AS number", database)
        postgresql.kill()
        postgresql.start()
        assert rows(postgresql.url(database), "SELECT number FROM kept") == [(7,)]


def test_postgresql_can_ask_for_a_password() -> None:
    with provided(PostgreSQL(password="open/sesame")) as postgresql:
        url = postgresql.url()
        assert rows(url, "SELECT 1") == [(1,)]
        with pytest.raises(psycopg.OperationalError):
            rows(url.replace("sesame", "barley"), "SELECT 1")


def test_a_database_is_made_like_another(postgresql: PostgreSQL) -> None:
    template = postgresql.create_database()
    postgresql.execute("CREATE TABLE copied AS SELECT 7 AS number", template)
    like_it, empty = postgresql.create_database(template), postgresql.create_database()
    assert rows(postgresql.url(like_it), "SELECT number FROM copied") == [(7,)]
    with pytest.raises(psycopg.errors.UndefinedTable):
        rows(postgresql.url(empty), "SELECT number FROM copied")
    for name in (template, like_it, empty):
        postgresql.drop_database(name)


def test_each_test_has_an_empty_database(postgresql_url: str) -> None:
    assert rows(postgresql_url, "SELECT count(*) FROM pg_stat_user_tables") == [(0,)]


def test_redis_forgets_all_when_it_ends() -> None:
    with provided(Redis()) as redis:
        redis.say("SET key value")
        redis.stop()
        redis.start()
        assert redis.say("EXISTS key") == ":0"


def test_redis_with_snapshots_remembers() -> None:
    with provided(Redis(snapshots=True)) as redis:
        redis.say("SET key value")
        redis.stop()
        redis.start()
        assert redis.say("EXISTS key") == ":1"


def test_redis_can_be_taken_back_to_an_old_snapshot() -> None:
    with provided(Redis()) as redis:
        redis.say("SET key old")
        redis.save()
        old = redis.dump.read_bytes()
        redis.say("SET key newer")
        redis.save()
        redis.kill()
        redis.dump.write_bytes(old)
        redis.start()
        assert redis.say("STRLEN key") == f":{len('old')}"


def test_a_paused_redis_answers_once_it_is_resumed() -> None:
    with provided(Redis()) as redis, socket.create_connection((HOST, redis.port), timeout=0.2) as connection:
        redis.pause()
        connection.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(100)
        redis.resume()
        connection.settimeout(60)
        assert connection.recv(100) == b"+PONG\r\n"


def test_each_test_has_an_empty_redis(redis: Redis, redis_url: str) -> None:
    assert redis_url == redis.url()
    assert redis.say("DBSIZE") == ":0"


def test_an_object_in_seaweedfs_outlives_a_kill() -> None:
    content = bytes(range(256)) * 1000
    with provided(SeaweedFS()) as seaweedfs:
        seaweedfs.s3("kept").store().put("object", content)
        seaweedfs.kill()
        seaweedfs.start()
        assert bytes(seaweedfs.s3("kept").store().get("object").bytes()) == content


def test_each_test_has_an_empty_place_in_s3(s3: S3, seaweedfs: SeaweedFS) -> None:
    assert s3.store().list_with_delimiter()["objects"] == []
    s3.store().put("object", b"content")
    assert seaweedfs.s3().store().head(f"{s3.prefix}/object")["size"] == len(b"content")


def test_s3_refuses_a_stranger(s3: S3) -> None:
    stranger = S3(s3.endpoint, s3.region, s3.access_key, "guessed", s3.bucket)
    with pytest.raises(BaseError):
        stranger.store(retries=0).put("object", b"content")


def test_haproxy_takes_commands_on_its_stats_socket() -> None:
    with provided(HAProxy(GREETING)) as haproxy:
        assert "Name: HAProxy" in haproxy.say("show info")
