import asyncio
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import obstore
import psycopg
import pytest
import yaml
from tests import models
from tests.cli.conftest import Canary, Ran
from tests.cli.terminal import run
from tests.server import eventually, serving, start
from tests.services import S3, PostgreSQL, Redis, provided

from serinus.boards.redis import open_board
from serinus.core.routing import Split
from serinus.journal import FileJournals
from serinus.settings import PREFIX
from serinus.stores.sql import open_store

KEY = "0123456789abcdef"
SECRET = "gehEim-pw"
NOWHERE = "127.0.0.1:9"
PATIENT_S = 60.0
"""Generous: each check gives up after a few seconds, on a machine that has nothing else to do."""


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.upper().startswith((PREFIX, "AWS_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SERINUS_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a server that has ended: prod is at generation 2, with risk@1 and a canary, risk@2."""
    home = tmp_path_factory.mktemp("left") / "home"
    with serving(home, SERINUS_ALLOW_PICKLE="true") as server:
        with server.client() as client:
            client.register_package("risk", models.pickled(models.Risk()))
            client.register_package("risk", models.pickled(models.Risk(seconds=0.001)))
            client.deploy("prod", models.STABLE)
            client.start("prod", 2, 20)
        assert server.terminate() == 0
    return home


@pytest.fixture
def home(left: Path, tmp_path: Path) -> Path:
    """A copy of that home, in place."""
    return shutil.copytree(left, tmp_path / "home")


@pytest.fixture
def on_redis(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> str:
    """The board is on an empty Redis."""
    monkeypatch.setenv("SERINUS_REDIS_URL", redis_url)
    monkeypatch.setenv("SERINUS_HASH_KEY", KEY)
    return redis_url


@pytest.fixture
def on_s3(monkeypatch: pytest.MonkeyPatch, s3: S3) -> S3:
    """Model files are in an empty place of an S3 store."""
    settings = {
        "ARTIFACTS_URL": s3.url,
        "S3_ENDPOINT": s3.endpoint,
        "S3_REGION": s3.region,
        "S3_ACCESS_KEY_ID": s3.access_key,
        "S3_SECRET_ACCESS_KEY": s3.secret_key,
    }
    for name, value in settings.items():
        monkeypatch.setenv(PREFIX + name, value)
    return s3


def checks(ran: Ran) -> dict[str, Mapping[str, Any]]:
    """Give the checks of a run by name."""
    return {each["check"]: each for each in ran.document["checks"]}


def statuses(ran: Ran) -> dict[str, str]:
    return {name: each["status"] for name, each in checks(ran).items()}


def problems(ran: Ran, check: str, severity: str = "wrong") -> str:
    """Give what is wrong in a check, with what to do, as one text."""
    found = [each for each in checks(ran)[check]["problems"] if each["severity"] == severity]
    assert all(each["remedy"] for each in found)
    return " ".join(f"{each['message']} {each['remedy']}" for each in found)


def facts(ran: Ran, check: str) -> str:
    return " ".join(checks(ran)[check]["facts"])


def publish(url: str, *splits: Split) -> None:
    """Put up splits on the board of a Redis."""

    async def put_up() -> None:
        board = open_board(url, on_trouble=pytest.fail)
        for split in splits:
            await board.publish(split)
        await board.close()

    asyncio.run(put_up())


# -- settings and this machine


def test_before_the_first_start_all_is_well_and_nothing_is_made(canary: Canary, tmp_path: Path) -> None:
    ran = canary("doctor")

    assert ran.code == 0
    assert "All is well." in ran.out
    assert list(tmp_path.iterdir()) == []


def test_wrong_settings_are_all_named_and_nothing_else_is_looked_at(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERINUS_PREDICT_TIMEOUT", "soon")
    monkeypatch.setenv("SERINUS_DATABSE_URL", "sqlite:///a.db")

    ran = canary("doctor", "--workers", "2", "-o", "json")

    assert ran.code == 1
    assert set(checks(ran)) == {"settings"}
    for name in ("SERINUS_PREDICT_TIMEOUT", "SERINUS_DATABASE_URL", "SERINUS_WORKERS"):
        assert name in problems(ran, "settings")


def test_a_home_that_cannot_be_made_is_named(canary: Canary, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ran = canary("doctor", "--home", str(tmp_path / "file" / "home"), "-o", "json")

    assert ran.code == 1
    assert "SERINUS_HOME" in problems(ran, "home")


def test_a_home_that_is_there_is_left_as_it_was(canary: Canary, home: Path) -> None:
    before = sorted(home.rglob("*"))

    ran = canary("doctor", "-o", "json")

    assert ran.code == 0
    assert {"home", "database", "artifacts", "models"} <= {name for name, is_ in statuses(ran).items() if is_ == "ok"}
    assert statuses(ran)["server"] == "skipped"
    assert [path for path in sorted(home.rglob("*")) if path.suffix not in {".db-shm", ".db-wal"}] == [
        path for path in before if path.suffix not in {".db-shm", ".db-wal"}
    ]


def test_logged_predictions_that_wait_for_the_next_server_are_worth_a_look(canary: Canary, home: Path) -> None:
    journal = FileJournals(home / "journal", "store", "dead", limit=10_000, on_trouble=print).begin()
    journal.append([b"a row"], 1, 2)
    while_it_runs = canary("doctor", "-o", "json")
    journal.close(remove=False)

    ran = canary("doctor", "-o", "json")

    assert statuses(while_it_runs)["home"] == "ok"
    assert "Logged predictions of servers that ended wait" in problems(ran, "home", "note")


def test_json_and_yaml_say_the_same(canary: Canary, home: Path) -> None:
    as_json, as_yaml = canary("doctor", "-o", "json").document, yaml.safe_load(canary("doctor", "-o", "yaml").out)

    assert [(each["check"], each["status"]) for each in as_json["checks"]] == [
        (each["check"], each["status"]) for each in as_yaml["checks"]
    ]


@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_no_line_is_wider_than_the_terminal(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    (tmp_path / "file").touch()

    ran = canary("doctor", "--home", str(tmp_path / "file" / ("long" * 30)))

    assert max(map(len, ran.out.splitlines())) <= int(columns)
    assert "things are wrong" in ran.out


def test_what_is_found_can_be_told_where_only_ascii_gets_through(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    ran = run("doctor", "--home", str(tmp_path / "file" / "home"), PYTHONIOENCODING="ascii")

    assert ran.returncode == 1
    assert ran.stdout.isascii()
    assert "?" not in ran.stdout


# -- SQLite


def test_a_file_that_is_no_database_is_named(canary: Canary, home: Path) -> None:
    (home / "serinus.db").write_bytes(b"no database " * 1000)

    ran = canary("doctor", "-o", "json")

    assert ran.code == 1
    assert "serinus.db" in problems(ran, "database")
    assert statuses(ran)["models"] == "skipped"


def test_a_model_file_that_is_gone_is_named_with_who_needs_it(canary: Canary, home: Path) -> None:
    files = sorted((path for path in (home / "artifacts").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-1])

    ran = canary("doctor", "-o", "json")

    assert ran.code == 1
    for said in ("risk@1, which prod may have to serve", "risk@2, which prod may have to serve", "is missing", "bytes"):
        assert said in problems(ran, "models")


def test_a_folder_of_model_files_that_is_gone_is_told(canary: Canary, home: Path) -> None:
    shutil.rmtree(home / "artifacts")

    ran = canary("doctor", "-o", "json")

    assert ran.code == 1
    assert "risk@1" in problems(ran, "models")
    assert not (home / "artifacts").exists()


def test_a_database_that_another_process_keeps_locked_is_told(canary: Canary, home: Path) -> None:
    with closing(sqlite3.connect(home / "serinus.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ran = canary("doctor", "-o", "json")

    assert ran.code == 1
    assert "locked" in problems(ran, "database")


# -- one process alone


def test_a_server_that_runs_is_asked_how_it_does(canary: Canary, home: Path) -> None:
    with serving(home, SERINUS_ALLOW_PICKLE="true") as server:
        well = canary("doctor", "-o", "json")
        server.kill()
        killed = canary("doctor", "-o", "json")

    assert well.code == 0
    assert statuses(well)["server"] == "ok"
    assert killed.code == 0
    assert server.url in problems(killed, "server", "note")


def test_a_server_whose_models_cannot_be_loaded_says_so(canary: Canary, home: Path) -> None:
    for path in (home / "artifacts").rglob("*"):
        if path.is_file():
            path.unlink()

    with serving_unready(home):
        ran = canary("doctor", "-o", "json")

    assert ran.code == 1
    assert "models" in problems(ran, "server")


@contextmanager
def serving_unready(home: Path) -> Iterator[None]:
    """Run a server that will not become ready."""
    server = start(home, SERINUS_ALLOW_PICKLE="true")
    try:
        assert eventually(lambda: server.announced), server.stderr
        yield
    finally:
        server.kill()


# -- PostgreSQL


def test_an_empty_database_is_left_empty(canary: Canary, monkeypatch: pytest.MonkeyPatch, postgresql_url: str) -> None:
    monkeypatch.setenv("SERINUS_DATABASE_URL", postgresql_url)

    ran = canary("doctor", "-o", "json")

    assert ran.code == 0
    assert "PostgreSQL" in facts(ran, "database")
    with psycopg.connect(postgresql_url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


def upgraded(url: str) -> None:
    async def open_and_close() -> None:
        await (await open_store(url)).close()

    asyncio.run(open_and_close())


def test_a_database_that_is_ready_is_well_and_has_nothing_more_in_it(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, postgresql_url: str
) -> None:
    upgraded(postgresql_url)
    monkeypatch.setenv("SERINUS_DATABASE_URL", postgresql_url)

    ran = canary("doctor", "-o", "json")

    assert ran.code == 0
    for fact in ("schema", "round trip", "takes writes", "clock"):
        assert fact in facts(ran, "database")
    assert statuses(ran)["models"] == "ok"
    with psycopg.connect(postgresql_url) as connection:
        assert connection.execute("SELECT count(*) FROM leases").fetchone() == (0,)


@pytest.mark.parametrize(
    ("revision", "code", "severity", "said"),
    [("0001", 0, "note", "backup"), ("9999", 1, "wrong", "newer")],
    ids=["older", "newer"],
)
def test_a_database_of_another_version_is_told_and_left_as_it_is(
    canary: Canary,
    monkeypatch: pytest.MonkeyPatch,
    postgresql_url: str,
    revision: str,
    code: int,
    severity: str,
    said: str,
) -> None:
    upgraded(postgresql_url)
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = %s", [revision])
        connection.execute("UPDATE schema_compatibility SET oldest = '9999'")
    monkeypatch.setenv("SERINUS_DATABASE_URL", postgresql_url)

    ran = canary("doctor", "-o", "json")

    assert ran.code == code
    assert said in problems(ran, "database", severity)
    assert statuses(ran)["models"] == "skipped"
    with psycopg.connect(postgresql_url) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == (revision,)


def test_a_role_without_its_rights_is_told_which(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, postgresql: PostgreSQL, postgresql_url: str
) -> None:
    upgraded(postgresql_url)
    with psycopg.connect(postgresql_url) as connection:
        connection.execute("DROP ROLE IF EXISTS doctors_reader")
        connection.execute("CREATE ROLE doctors_reader LOGIN")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO doctors_reader")
        connection.execute("GRANT INSERT ON events TO doctors_reader")
    monkeypatch.setenv("SERINUS_DATABASE_URL", postgresql_url.replace(f"{postgresql.username}@", "doctors_reader@"))

    ran = canary("doctor", "-o", "json")

    with psycopg.connect(postgresql_url) as connection:
        connection.execute("DROP OWNED BY doctors_reader")
        connection.execute("DROP ROLE doctors_reader")
    assert ran.code == 1
    assert "INSERT, UPDATE on deployments" in problems(ran, "database")
    assert "on events" not in problems(ran, "database")


def test_a_database_that_is_not_there_is_named(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, postgresql: PostgreSQL
) -> None:
    monkeypatch.setenv("SERINUS_DATABASE_URL", postgresql.url("nonesuch"))

    ran = canary("doctor", "-o", "json")

    assert ran.code == 1
    assert "nonesuch" in problems(ran, "database")


def test_one_thing_that_does_not_answer_keeps_no_other_from_being_looked_at(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.setenv("SERINUS_DATABASE_URL", f"postgresql://serinus:{SECRET}@{NOWHERE}/serinus")
    monkeypatch.setenv("SERINUS_REDIS_URL", f"redis://:{SECRET}@{NOWHERE}")
    monkeypatch.setenv("SERINUS_HASH_KEY", SECRET * 2)
    monkeypatch.setenv("SERINUS_ARTIFACTS_URL", "s3://models")
    monkeypatch.setenv("SERINUS_S3_ENDPOINT", f"http://{NOWHERE}")
    monkeypatch.setenv("SERINUS_S3_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("SERINUS_S3_SECRET_ACCESS_KEY", SECRET)

    ran = canary("doctor", "-o", "json")

    assert ran.code == 1
    assert statuses(ran) == {
        "settings": "ok",
        "home": "ok",
        "database": "wrong",
        "board": "wrong",
        "artifacts": "wrong",
        "models": "skipped",
        "splits": "skipped",
        "checker": "skipped",
        "gateways": "skipped",
    }
    assert SECRET not in ran.out + ran.err


def test_a_database_that_is_down_is_told_in_one_sentence(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERINUS_DATABASE_URL", f"postgresql://serinus:{SECRET}@{NOWHERE}/models")

    ran = canary("doctor", "-o", "json")

    (problem,) = checks(ran)["database"]["problems"]
    assert f"The database postgresql://serinus@{NOWHERE}/models does not answer: " in problem["message"]
    assert problem["message"].endswith("Connection refused.")
    assert "?" not in problem["message"]
    assert "See that PostgreSQL runs there" in problem["remedy"]


def test_a_password_that_is_wrong_is_told_and_not_shown(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    with provided(PostgreSQL(password="another")) as postgresql:
        monkeypatch.setenv("SERINUS_DATABASE_URL", postgresql.url().replace("another", SECRET))
        ran = canary("doctor", "-o", "json")

    assert ran.code == 1
    assert "password" in problems(ran, "database")
    assert SECRET not in ran.out + ran.err


def test_what_hangs_is_not_waited_for(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    with provided(PostgreSQL()) as postgresql, provided(Redis()) as redis:
        monkeypatch.setenv("SERINUS_DATABASE_URL", postgresql.url())
        monkeypatch.setenv("SERINUS_REDIS_URL", redis.url())
        monkeypatch.setenv("SERINUS_HASH_KEY", KEY)
        postgresql.pause()
        redis.pause()
        started = time.monotonic()

        ran = canary("doctor", "-o", "json")

        assert time.monotonic() - started < PATIENT_S
    assert ran.code == 1
    assert problems(ran, "database")
    assert problems(ran, "board")


# -- Redis


def test_a_redis_that_is_well_keeps_nothing_of_the_look_at_it(canary: Canary, on_redis: str, redis: Redis) -> None:
    ran = canary("doctor", "-o", "json")

    assert ran.code == 0
    assert statuses(ran)["board"] == "ok"
    for fact in ("Redis", "round trip", "scripts and channels work"):
        assert fact in facts(ran, "board")
    assert redis.say("DBSIZE") == ":0"


def test_a_redis_that_drops_keys_is_worth_a_look(canary: Canary, on_redis: str, redis: Redis) -> None:
    redis.say("CONFIG SET maxmemory 100mb")
    redis.say("CONFIG SET maxmemory-policy volatile-lru")
    try:
        ran = canary("doctor", "-o", "json")
    finally:
        redis.say("CONFIG SET maxmemory-policy noeviction")
        redis.say("CONFIG SET maxmemory 0")

    assert ran.code == 0
    assert "noeviction" in problems(ran, "board", "note")


@pytest.mark.parametrize(
    ("rights", "status"),
    [("~* &* +@all -info", "note"), ("~* &* +@all -eval -evalsha", "wrong"), ("~* +@all", "wrong")],
)
def test_a_user_of_redis_who_may_not_do_all_is_told(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, on_redis: str, redis: Redis, rights: str, status: str
) -> None:
    channels = "" if "&" in rights else " resetchannels"
    assert redis.say(f"ACL SETUSER doctors reset on >{SECRET}{channels} {rights}") == "+OK"
    monkeypatch.setenv("SERINUS_REDIS_URL", on_redis.replace("redis://", f"redis://doctors:{SECRET}@"))
    try:
        ran = canary("doctor", "-o", "json")
    finally:
        redis.say("ACL DELUSER doctors")

    assert statuses(ran)["board"] == status
    assert SECRET not in ran.out + ran.err


# -- S3


def test_an_s3_that_is_well_keeps_nothing_of_the_look_at_it(canary: Canary, on_s3: S3) -> None:
    ran = canary("doctor", "-o", "json")

    assert ran.code == 0
    assert statuses(ran)["artifacts"] == "ok"
    assert "create only" in facts(ran, "artifacts")
    assert [each for batch in obstore.list(on_s3.store()) for each in batch] == []


def test_a_wrong_key_of_s3_is_told_and_not_shown(canary: Canary, monkeypatch: pytest.MonkeyPatch, on_s3: S3) -> None:
    monkeypatch.setenv("SERINUS_S3_SECRET_ACCESS_KEY", SECRET)

    ran = canary("doctor", "-o", "json")

    assert ran.code == 1
    assert "SERINUS_S3_SECRET_ACCESS_KEY" in problems(ran, "artifacts")
    assert SECRET not in ran.out + ran.err


def test_a_bucket_that_is_not_there_is_told(canary: Canary, monkeypatch: pytest.MonkeyPatch, on_s3: S3) -> None:
    monkeypatch.setenv("SERINUS_ARTIFACTS_URL", "s3://nobucket")

    ran = canary("doctor", "-o", "json")

    assert ran.code == 1
    assert "bucket" in problems(ran, "artifacts")


class Overwriting(BaseHTTPRequestHandler):
    """A store that does not know conditional writes, as there were many: it takes every PUT, and finds nothing."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, b"", ETag='"1"')

    def do_GET(self) -> None:
        self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_DELETE(self) -> None:
        self._answer(204, b"")

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Undeletable(Overwriting):
    """A store that overwrites nothing, and whose user may remove nothing."""

    put: ClassVar[set[str]] = set()

    def do_PUT(self) -> None:
        if self.path in self.put:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        else:
            self.put.add(self.path)
            super().do_PUT()

    def do_DELETE(self) -> None:
        self._answer(403, b"<Error><Code>AccessDenied</Code></Error>")


def looked_at(canary: Canary, monkeypatch: pytest.MonkeyPatch, kind: type[Overwriting]) -> Ran:
    """Look at a store of such a kind."""
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as store:
        Thread(target=store.serve_forever, daemon=True).start()
        monkeypatch.setenv("SERINUS_S3_ENDPOINT", f"http://127.0.0.1:{store.server_port}")
        ran = canary("doctor", "-o", "json")
        store.shutdown()
    return ran


def test_a_probe_that_cannot_be_removed_is_worth_a_look(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, on_s3: S3
) -> None:
    ran = looked_at(canary, monkeypatch, Undeletable)

    assert ran.code == 0
    assert "create only" in facts(ran, "artifacts")
    assert "The probe doctor/" in problems(ran, "artifacts", "note")


def test_a_store_that_overwrites_is_refused(canary: Canary, monkeypatch: pytest.MonkeyPatch, on_s3: S3) -> None:
    ran = looked_at(canary, monkeypatch, Overwriting)

    assert ran.code == 1
    assert "overwrites" in problems(ran, "artifacts")


# -- what runs

PROD = Split("prod", 2, "prod:1", 1, 20.0, baseline="risk@1")


def test_where_nothing_runs_the_board_may_be_empty(canary: Canary, home: Path, on_redis: str) -> None:
    ran = canary("doctor", "-o", "json")

    assert ran.code == 0
    assert statuses(ran)["splits"] == "ok"
    assert statuses(ran)["checker"] == "skipped"
    assert "nobody answers" in problems(ran, "gateways", "note")


def test_a_board_that_is_ahead_of_the_store_is_named(canary: Canary, home: Path, on_redis: str) -> None:
    publish(on_redis, replace(PROD, generation=9))

    ran = canary("doctor", "-o", "json")

    assert ran.code == 1
    assert "'prod': the board is ahead, at generation 9, and the store is at 2" in problems(ran, "splits")


def test_splits_that_are_of_no_deployment_are_named(canary: Canary, home: Path, on_redis: str) -> None:
    publish(on_redis, replace(PROD, deployment="stranger"))

    ran = canary("doctor", "-o", "json")

    assert ran.code == 1
    assert "stranger" in problems(ran, "splits")
    assert "SERINUS_REDIS_PREFIX" in problems(ran, "splits")


def test_servers_that_run_are_found_with_all_they_share(canary: Canary, home: Path, on_redis: str) -> None:
    with serving(home, SERINUS_ALLOW_PICKLE="true", SERINUS_REDIS_URL=on_redis, SERINUS_HASH_KEY=KEY):
        ran = canary("doctor", "-o", "json")

    assert ran.code == 0, ran.out
    assert set(statuses(ran).values()) == {"ok"}
    assert "1 deployment in the store the board agrees" in facts(ran, "splits")
    assert "leads" in facts(ran, "checker")
    assert "canaries are leased" in facts(ran, "checker")
    assert "1 gateway" in facts(ran, "gateways")


def test_settings_of_another_board_than_the_servers_have_are_told(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, home: Path, on_redis: str
) -> None:
    with serving(home, SERINUS_ALLOW_PICKLE="true", SERINUS_REDIS_URL=on_redis, SERINUS_HASH_KEY=KEY):
        monkeypatch.setenv("SERINUS_REDIS_PREFIX", "others:")
        other_prefix = canary("doctor", "-o", "json")
        monkeypatch.delenv("SERINUS_REDIS_PREFIX")
        monkeypatch.setenv("SERINUS_HASH_KEY", KEY[::-1])
        other_key = canary("doctor", "-o", "json")
        monkeypatch.setenv("SERINUS_HASH_KEY", KEY)
        monkeypatch.delenv("SERINUS_REDIS_URL")
        embedded = canary("doctor", "-o", "json")

    assert other_prefix.code == 1
    assert "not on the board" in problems(other_prefix, "splits")
    assert "SERINUS_REDIS_PREFIX" in problems(other_prefix, "board")
    assert other_key.code == 1
    assert "SERINUS_HASH_KEY" in problems(other_key, "board")
    assert embedded.code == 1
    assert "SERINUS_REDIS_URL" in problems(embedded, "board")


def test_gateways_without_a_checker_are_told(canary: Canary, home: Path, on_redis: str) -> None:
    with serving(home, "--no-checker", SERINUS_ALLOW_PICKLE="true", SERINUS_REDIS_URL=on_redis, SERINUS_HASH_KEY=KEY):
        ran = canary("doctor", "-o", "json")

    assert ran.code == 1
    assert "canary check" in problems(ran, "checker")
