import os
import pickle
import traceback
from contextlib import suppress
from pathlib import Path

import pytest

from serinus.core.errors import InvalidInput
from serinus.settings import MASK, PREFIX, ServerSettings, Setting, masked, read_settings, settings_in_force

SECRET = "gehEim-pw"
KEY = "0123456789abcdef"
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting comes from the environment of whoever runs the tests."""
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


def refused(**chosen: object) -> InvalidInput:
    """Read settings that are wrong."""
    with pytest.raises(InvalidInput) as refusal:
        read_settings(**chosen)
    return refusal.value


def problems(error: InvalidInput) -> dict[str, str]:
    """Give what is wrong with each variable."""
    listed = error.details["problems"]
    assert isinstance(listed, list)
    assert all(each["remedy"] for each in listed)
    return {each["field"]: each["message"] for each in listed}


def test_every_setting_has_a_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    settings = read_settings()

    assert settings.database == f"sqlite:///{tmp_path}/.serinus/serinus.db"
    assert settings.artifacts == f"{tmp_path}/.serinus/artifacts"
    assert settings.is_embedded


@pytest.mark.parametrize("name", ServerSettings.model_fields)
def test_every_setting_is_described(name: str) -> None:
    description = ServerSettings.model_fields[name].description

    assert description
    assert description[0].isupper()


def test_every_setting_is_read_from_a_variable_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "home": "/srv/serinus",
        "database_url": "sqlite:////srv/state.db",
        "redis_url": "rediss://board:6379/1",
        "redis_prefix": "canaries:",
        "artifacts_url": "s3://models",
        "s3_endpoint": "http://s3:8333",
        "s3_region": "eu-central-1",
        "s3_access_key_id": "reader",
        "s3_secret_access_key": SECRET,
        "artifact_cache_bytes": "0",
        "hash_key": KEY,
        "workers": "2",
        "predict_timeout": "2.5",
        "runners": "3",
        "runner_batch": "9",
        "runner_memory": "1000000",
        "runner_threads": "2",
        "runner_network": "true",
        "canary_niceness": "7",
        "inline_onnx": "true",
        "predictor_queue": "4",
        "canary_lease": "20",
        "check_interval": "5",
        "evidence_interval": "0.5",
        "acknowledge_timeout": "0",
        "load_timeout": "10",
        "drain_delay": "3",
        "log_interval": "0.5",
        "journal_bytes": "65536",
        "journal_fsync": "true",
        "max_request_bytes": "2048",
        "max_rows": "50",
        "max_artifact_bytes": "4096",
        "allow_pickle": "true",
        "allow_torchscript": "true",
        "trusted_types": "a.B",
        "remote_models": "triton:8000",
        "remote_tokens": f"triton:8000={SECRET}",
        "remote_concurrency": "5",
        "feast_url": "http://feast:6566",
        "feast_timeout": "0.5",
        "feast_ttl": "0",
        "webhook_urls": "https://hooks.example/a, https://hooks.example/b?x=1,2",
        "webhook_secret": WEBHOOK_SECRET,
        "notify_urls": "slack://a/b/c,mailto://example.com?to=a@x,b@x",
        "notify_kinds": "rolled_back, promoted",
        "openlineage_url": "http://marquez:5000/",
        "openlineage_namespace": "ml",
        "mlflow_tracking_uri": "http://mlflow:5000/",
        "mlflow_champion": "live",
        "mlflow_challenger": "next-{deployment}",
        "log_format": "json",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"SERINUS_{name.upper()}", value)

    settings = read_settings()

    default = ServerSettings.model_construct()
    assert set(values) == set(ServerSettings.model_fields), "a new setting is tested here too"
    assert [name for name in values if getattr(settings, name) == getattr(default, name)] == []


def test_what_is_chosen_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SERINUS_HOME", "/elsewhere")

    assert read_settings(home=tmp_path).home == tmp_path
    assert read_settings(home=None).home == Path("/elsewhere")


@pytest.mark.parametrize("name", ServerSettings.model_fields)
def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(PREFIX + name.upper(), "")

    assert getattr(read_settings(), name) == getattr(ServerSettings.model_construct(), name)


# -- wrong values


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PREDICT_TIMEOUT", "soon"),
        ("PREDICT_TIMEOUT", "nan"),
        ("PREDICT_TIMEOUT", "0"),
        ("PREDICT_TIMEOUT", "inf"),
        ("RUNNERS", "1.5"),
        ("PREDICTOR_QUEUE", "-1"),
        ("CHECK_INTERVAL", " "),
        ("EVIDENCE_INTERVAL", "61"),
        ("ACKNOWLEDGE_TIMEOUT", "-0.1"),
        ("LOG_INTERVAL", "0.001"),
        ("JOURNAL_BYTES", "0"),
        ("JOURNAL_FSYNC", "perhaps"),
        ("WORKERS", "0"),
        ("CANARY_LEASE", "0.5"),
        ("DRAIN_DELAY", "-1"),
        ("ARTIFACT_CACHE_BYTES", "10G"),
        ("MAX_REQUEST_BYTES", "1k"),
        ("MAX_ARTIFACT_BYTES", "1023"),
        ("ALLOW_PICKLE", "perhaps"),
        ("LOG_FORMAT", "xml"),
        ("REDIS_PREFIX", "two words"),
        ("ARTIFACTS_URL", "gs://models"),
        ("ARTIFACTS_URL", "s3:///models"),
        ("ARTIFACTS_URL", "S3://models"),
        ("ARTIFACTS_URL", "file://host/models"),
        ("S3_ENDPOINT", "s3:8333"),
        ("S3_ENDPOINT", "ftp://s3"),
        ("S3_ENDPOINT", "http://"),
        ("S3_ENDPOINT", "http://s3:many"),
        ("DATABASE_URL", "mysql://db/serinus"),
        ("DATABASE_URL", "sqlite://"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("DATABASE_URL", "sqlite:///a.db?mode=ro"),
        ("DATABASE_URL", "postgresql://db:0/serinus"),
        ("DATABASE_URL", "postgresql://db:65536/serinus"),
        ("DATABASE_URL", "postgresql://localhost"),
        ("DATABASE_URL", "postgresql://localhost/"),
        ("DATABASE_URL", "postgresql://localhost?sslmode=require"),
        ("REDIS_URL", "http://board"),
        ("REDIS_URL", "valkey://board"),
        ("REDIS_URL", "redis://board/abc"),
        ("REDIS_URL", "redis://board:70000"),
        ("REMOTE_MODELS", "*"),
        ("REMOTE_MODELS", "triton,http://triton/../admin"),
        ("REMOTE_CONCURRENCY", "0"),
        ("FEAST_URL", "feast:6566"),
        ("FEAST_URL", "ftp://feast"),
        ("FEAST_TIMEOUT", "0"),
        ("FEAST_TTL", "-1"),
        ("NOTIFY_KINDS", "rolled_back,rolled"),
        ("OPENLINEAGE_URL", "marquez:5000"),
        ("OPENLINEAGE_URL", "http://marquez:many"),
        ("OPENLINEAGE_URL", "http://marquez#x"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(PREFIX + name, value)

    wrong = refused()

    assert wrong.field == PREFIX + name
    assert wrong.message.startswith(f"{PREFIX}{name} is {value!r}: ")
    assert wrong.remedy


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("PREDICT_TIMEOUT", "soon", "a number is wanted"),
        ("PREDICT_TIMEOUT", "nan", "a number is wanted"),
        ("PREDICT_TIMEOUT", "601", "600.0 at most is wanted"),
        ("WORKERS", "1.5", "a whole number is wanted"),
        ("WORKERS", "two", "a whole number is wanted"),
        ("WORKERS", "0", "1 at least is wanted"),
        ("ALLOW_PICKLE", "perhaps", "true or false is wanted"),
        ("LOG_FORMAT", "xml", "'auto', 'json' or 'text' is wanted"),
        ("REDIS_PREFIX", "two words", "without a space"),
        ("ARTIFACTS_URL", "s3://x", "3 to 63"),
        ("ARTIFACTS_URL", "s3:///models", "names no bucket"),
        ("DATABASE_URL", "postgresql://ada@localhost:543x2/x", "the port '543x2' is no number"),
        ("DATABASE_URL", "postgresql://localhost", "names no database"),
        ("REDIS_URL", "redis://board/abc", "the database 'abc' is no number"),
    ],
)
def test_why_a_value_cannot_be_is_said_in_words_for_people(name: str, value: str, reason: str) -> None:
    assert reason in refused(**{name.lower(): value}).message


@pytest.mark.parametrize("name", ServerSettings.model_fields)
def test_no_setting_is_refused_in_the_words_of_the_library(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for value in ("\u00a7 \u00a7", "nan", "1.5", "-1", "9" * 30, "9" * 5000):
        monkeypatch.setenv(PREFIX + name.upper(), value)

        with suppress(InvalidInput):
            read_settings()
            continue
        assert "put should" not in str(refused())
        assert "nable to parse" not in str(refused())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "sqlite:///relative.db"),
        ("DATABASE_URL", f"postgresql://serinus:{SECRET}@db:5432/serinus?sslmode=require"),
        ("DATABASE_URL", "postgresql+psycopg:///serinus?host=/run/postgresql&passfile=/run/pgpass"),
        ("DATABASE_URL", "postgres://db/serinus"),
        ("DATABASE_URL", "postgresql://db/serinus?application_name=a@b"),
        ("DATABASE_URL", f"postgresql://ada@corp.example:{SECRET}@db/serinus"),
        ("DATABASE_URL", f"postgresql://serinus:{SECRET}/?#@[::1]:5432/serinus"),
        ("ARTIFACTS_URL", "models/of/ours"),
        ("ARTIFACTS_URL", "/srv/a@b"),
        ("ARTIFACTS_URL", "s3://models"),
        ("ARTIFACTS_URL", "s3://models/heart"),
        ("S3_ENDPOINT", "https://[::1]:8333"),
    ],
)
def test_an_address_that_can_be_is_taken(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv("SERINUS_ARTIFACTS_URL", "s3://models")
    monkeypatch.setenv(PREFIX + name, value)

    assert getattr(read_settings(), name.lower()) == value


@pytest.mark.parametrize(
    "url",
    [
        "redis://:pw@board:6379/0",
        "redis://:p@w@[::1]:6379/0/",
        "redis://board/?password=p@w",
        "rediss://board",
        "unix:///run/redis.sock?db=1",
    ],
)
def test_an_address_of_redis_is_taken_with_a_key_for_all_gateways(url: str) -> None:
    settings = read_settings(redis_url=url, hash_key=KEY, workers=4)

    assert settings.redis_url == url
    assert not settings.is_embedded


def test_a_wrong_value_that_was_chosen_is_the_one_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERINUS_PREDICT_TIMEOUT", "3")

    assert "is 'never'" in refused(predict_timeout="never").message


def test_everything_that_is_wrong_is_said_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "PREDICT_TIMEOUT": "soon",
        "WORKERS": "3",
        "CHECK_INTERVAL": "60",
        "DATABASE_URI": "sqlite:///a.db",
        "HASH_KEY_FILE": str(tmp_path / "nothing"),
        "S3_ACCESS_KEY_ID": "reader",
        "ARTIFACTS_URL": "s3://models",
    }.items():
        monkeypatch.setenv(PREFIX + name, value)

    wrong = refused()

    assert set(problems(wrong)) == {
        "SERINUS_PREDICT_TIMEOUT",
        "SERINUS_WORKERS",
        "SERINUS_CANARY_LEASE",
        "SERINUS_DATABASE_URI",
        "SERINUS_HASH_KEY",
        "SERINUS_S3_SECRET_ACCESS_KEY",
    }
    for message in problems(wrong).values():
        assert message in wrong.message


def test_a_clash_with_a_value_that_cannot_be_read_is_no_further_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERINUS_WORKERS", "4")
    monkeypatch.setenv("SERINUS_REDIS_URL", "board")

    assert set(problems(refused())) == {"SERINUS_REDIS_URL"}


# -- what cannot stand together


def test_a_lease_has_to_outlast_two_rounds_of_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERINUS_CHECK_INTERVAL", "10")

    assert read_settings(canary_lease=20).canary_lease == 20
    wrong = refused(canary_lease=19)
    assert wrong.field == "SERINUS_CANARY_LEASE"
    assert "19" in wrong.message
    assert "20 at least" in wrong.remedy


def test_several_workers_need_a_board_that_all_of_them_see() -> None:
    wrong = refused(workers=2)

    assert wrong.field == "SERINUS_WORKERS"
    assert "SERINUS_REDIS_URL" in wrong.remedy


def test_gateways_on_redis_need_one_key() -> None:
    wrong = refused(redis_url="redis://board")

    assert wrong.field == "SERINUS_HASH_KEY"
    assert "SERINUS_HASH_KEY" in wrong.remedy


def test_redis_and_sqlite_go_together_on_one_host() -> None:
    settings = read_settings(redis_url="redis://localhost", hash_key=KEY, workers=2)

    assert settings.database.startswith("sqlite:///")


@pytest.mark.parametrize(
    ("given", "missing"),
    [("s3_access_key_id", "s3_secret_access_key"), ("s3_secret_access_key", "s3_access_key_id")],
)
def test_half_of_the_credentials_of_s3_is_refused(given: str, missing: str) -> None:
    assert refused(**{given: "something", "artifacts_url": "s3://models"}).field == PREFIX + missing.upper()


@pytest.mark.parametrize("place", ["", "/srv/models"])
def test_settings_of_s3_without_a_place_in_s3_are_refused(place: str) -> None:
    wrong = refused(artifacts_url=place, s3_endpoint="http://s3:8333", s3_region="eu-central-1")

    assert wrong.field == "SERINUS_ARTIFACTS_URL"
    assert "SERINUS_S3_ENDPOINT, SERINUS_S3_REGION are set" in wrong.message
    assert "s3://BUCKET" in wrong.remedy


@pytest.mark.parametrize(
    "given",
    [{"s3_endpoint": "http://s3"}, {"s3_region": "eu"}, {"s3_access_key_id": "reader", "s3_secret_access_key": SECRET}],
    ids=lambda given: next(iter(given)),
)
def test_each_setting_of_s3_needs_a_place_there(given: dict[str, object]) -> None:
    assert refused(**given).field == "SERINUS_ARTIFACTS_URL"
    assert read_settings(**given, artifacts_url="s3://models/heart").artifacts == "s3://models/heart"


def test_settings_of_s3_beside_a_place_that_cannot_be_read_are_no_further_problem() -> None:
    assert set(problems(refused(artifacts_url="s3://x", s3_region="eu"))) == {"SERINUS_ARTIFACTS_URL"}


# -- variables that are no settings


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SERINUS_DATABSE_URL", "SERINUS_DATABASE_URL"),
        ("SERINUS_HASHKEY", "SERINUS_HASH_KEY"),
        ("SERINUS_REDIS_URL_FIEL", "SERINUS_REDIS_URL_FILE"),
        ("serinus_home", "SERINUS_HOME"),
        ("SERINUS_PORT", "--port"),
    ],
)
def test_a_misspelt_variable_is_refused_with_the_right_name(
    monkeypatch: pytest.MonkeyPatch, name: str, meant: str
) -> None:
    monkeypatch.setenv(name, SECRET)

    wrong = refused()

    assert wrong.field == name
    assert meant in wrong.remedy
    assert SECRET not in str(wrong)


def test_a_variable_like_no_setting_is_refused_with_where_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERINUS_XYZZY", "1")

    assert "canary config" in refused().remedy


def test_variables_of_clients_and_empty_ones_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERINUS_URL", "http://127.0.0.1:8000")
    monkeypatch.setenv("SERINUS_TOKEN", "abc")
    monkeypatch.setenv("SERINUS_HOMME", "")

    read_settings()


def test_what_kubernetes_says_of_a_service_called_serinus_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SERINUS_SERVICE_HOST": "10.0.0.1",
        "SERINUS_SERVICE_PORT": "8000",
        "SERINUS_SERVICE_PORT_HTTP": "8000",
        "SERINUS_PORT": "tcp://10.0.0.1:8000",
        "SERINUS_PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "SERINUS_PORT_8000_TCP_ADDR": "10.0.0.1",
        "SERINUS_REDIS_SERVICE_HOST": "10.0.0.2",
        "SERINUS_REDIS_PORT": "tcp://10.0.0.2:6379",
        "SERINUS_REDIS_PORT_6379_TCP_PROTO": "tcp",
    }.items():
        monkeypatch.setenv(name, value)

    read_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook_urls", f"https://ok.example,hooks.example/{SECRET}"),
        ("webhook_urls", f"https://ok.example, ftp://hooks.example/{SECRET}"),
        ("webhook_urls", f"https://ok.example, https://hooks.example/ {SECRET}"),
        ("webhook_secret", f"{WEBHOOK_SECRET}, {SECRET}"),
        ("webhook_secret", f"{WEBHOOK_SECRET}, whsec_{SECRET}"),
        ("webhook_secret", f"{WEBHOOK_SECRET}, whsec_c2hvcnQ="),
        ("notify_urls", f"slack://a/b/c, mailto:// {SECRET}"),
        ("notify_urls", SECRET),
        ("remote_tokens", SECRET),
        ("remote_tokens", f"triton:8000={SECRET}, other={SECRET} {SECRET}"),
        ("remote_tokens", f"triton:8000={SECRET}, triton:0={SECRET}"),
        ("remote_tokens", f"triton:8000={SECRET}, other="),
    ],
)
def test_a_wrong_one_of_several_is_named_and_not_shown(name: str, value: str) -> None:
    wrong = refused(**{"webhook_secret": WEBHOOK_SECRET} | {name: value})

    assert wrong.field == PREFIX + name.upper()
    assert "number " in wrong.message
    assert wrong.remedy
    assert SECRET not in str(wrong)


def test_webhooks_without_a_secret_are_refused() -> None:
    wrong = refused(webhook_urls="https://hooks.example/")

    assert wrong.field == "SERINUS_WEBHOOK_SECRET"
    assert "openssl rand" in wrong.remedy


# -- files


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database_url", f"postgresql://serinus:{SECRET}@db/serinus"),
        ("hash_key", KEY),
        ("webhook_secret", WEBHOOK_SECRET),
        ("notify_urls", "slack://a/b/c"),
        ("remote_tokens", "triton:8000=abc,https://ml.example.org=d=="),
    ],
)
def test_a_secret_can_stand_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str) -> None:
    (tmp_path / "secret").write_text(f"{value}\n")
    monkeypatch.setenv(f"{PREFIX}{name.upper()}_FILE", str(tmp_path / "secret"))

    read = getattr(read_settings(), name)

    assert (read if name == "database_url" else read.get_secret_value()) == value


def test_what_is_chosen_goes_before_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SERINUS_DATABASE_URL_FILE", str(tmp_path / "nothing"))

    assert read_settings(database_url="sqlite:///a.db").database == "sqlite:///a.db"


def test_a_variable_and_a_file_for_it_are_one_too_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(KEY)
    monkeypatch.setenv("SERINUS_HASH_KEY_FILE", str(tmp_path / "secret"))
    monkeypatch.setenv("SERINUS_HASH_KEY", KEY[::-1])

    wrong = refused()

    assert wrong.field == "SERINUS_HASH_KEY"
    assert "SERINUS_HASH_KEY_FILE" in wrong.message


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe", b"x" * 70_000], ids=lambda c: str(c)[:12])
def test_a_file_that_holds_no_secret_is_refused_by_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("SERINUS_S3_SECRET_ACCESS_KEY_FILE", str(path))

    message = problems(refused())["SERINUS_S3_SECRET_ACCESS_KEY"]

    assert str(path) in message


def test_only_secrets_are_read_from_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SERINUS_WORKERS_FILE", str(tmp_path))

    assert refused().field == "SERINUS_WORKERS_FILE"


# -- secrets


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HASH_KEY", SECRET),
        ("DATABASE_URL", f"mysql://serinus:{SECRET}@db/serinus"),
        ("DATABASE_URL", f"postgresql//serinus:{SECRET}@db/serinus"),
        ("DATABASE_URL", f"mysql://serinus:a@{SECRET}/b?c@db/serinus"),
        ("DATABASE_URL", f"postgresql://serinus@db/serinus?password={SECRET}"),
        ("DATABASE_URL", f"postgresql://serinus:{SECRET}@db:543x2/serinus"),
        ("DATABASE_URL", f"postgresql://serinus:{SECRET}@db"),
        ("DATABASE_URL", f"postgresql://serinus:{SECRET}"),
        ("DATABASE_URL", f"postgresql://serinus:{SECRET}/serinus"),
        ("REDIS_URL", f"valkey://:{SECRET}@board"),
        ("REDIS_URL", f"http://board?password={SECRET}"),
        ("REDIS_URL", f"redis://:{SECRET}@board/abc"),
        ("REDIS_URL", f"redis://:{SECRET}/2@board"),
        ("REDIS_URL", f"redis://:{SECRET}#2@board"),
        ("REDIS_URL", f"redis://:2?{SECRET}#2@board"),
        ("REDIS_URL", f"redis://board:{SECRET}/2"),
        ("REDIS_URL", SECRET),
        ("ARTIFACTS_URL", f"s3://key:{SECRET}@bucket"),
        ("S3_ENDPOINT", f"http://key:{SECRET}@s3:8333"),
        ("S3_SECRET_ACCESS_KEY", SECRET),
    ],
)
def test_a_secret_is_in_no_refusal(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(PREFIX + name, value)

    wrong = refused()

    assert SECRET not in "".join(traceback.format_exception(wrong)) + repr(wrong.details)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://a:one@two/w:three@localhost:5432/x",
        "postgresql://a:one@two@localhost:5432/x",
        "postgresql://a:one/two@three@localhost:5432/x",
        "postgresql://a:one@two?three@localhost:5432/x",
        "redis://:one/two@three@localhost:5432/0",
        "redis://:one@two#three@localhost:5432/0",
    ],
)
def test_a_password_with_characters_of_a_url_is_refused_with_how_to_write_them(url: str) -> None:
    wrong = refused(**{"redis_url" if url.startswith("redis") else "database_url": url})

    assert "@ as %40" in wrong.remedy
    assert "/ as %2F" in wrong.remedy
    assert "localhost:5432" in wrong.message
    assert not [word for word in ("one", "two", "three", "w:") if word in str(wrong)]


def test_a_secret_is_shown_nowhere() -> None:
    settings = read_settings(
        hash_key=SECRET * 2,
        database_url=f"postgresql://serinus:{SECRET}@db/serinus",
        redis_url=f"redis://:{SECRET}@board",
        artifacts_url="s3://models",
        s3_access_key_id="reader",
        s3_secret_access_key=SECRET,
        webhook_urls=f"https://hooks.example/{SECRET}",
        webhook_secret=WEBHOOK_SECRET,
        notify_urls=f"slack://{SECRET}/b/c",
    )

    assert WEBHOOK_SECRET not in f"{settings!r} {settings.model_dump_json()} {settings_in_force(settings)}"
    assert SECRET not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    assert SECRET not in repr(settings_in_force(settings))
    assert settings.hash_key.get_secret_value() == SECRET * 2


def test_settings_reach_another_process_whole() -> None:
    settings = read_settings(hash_key=KEY, database_url=f"postgresql://serinus:{SECRET}@db/serinus")

    assert pickle.loads(pickle.dumps(settings)) == settings


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("postgresql://serinus:pw@db:5432/x", f"postgresql://serinus:{MASK}@db:5432/x"),
        ("postgresql://serinus@db/x", "postgresql://serinus@db/x"),
        ("postgresql://u:p@s/w@db/x?sslmode=require", f"postgresql://u:{MASK}@db/x?sslmode=require"),
        ("redis://:pw@board:6379/0", f"redis://:{MASK}@board:6379/0"),
        ("redis://pw@board", f"redis://{MASK}@board"),
        ("redis://board:6379/0", "redis://board:6379/0"),
        ("redis://[::1]:6379/0", "redis://[::1]:6379/0"),
        ("redis://:p/w", f"redis://:{MASK}"),
        ("postgresql://serinus:pw/x?sslmode=require", f"postgresql://serinus:{MASK}?sslmode=require"),
        ("unix:///run/redis.sock?db=1&password=pw", f"unix:///run/redis.sock?db=1&password={MASK}"),
        ("sqlite:////srv/a@b.db", "sqlite:////srv/a@b.db"),
        ("no url at all", MASK),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert masked(url) == shown


# -- what is in force


def in_force(**chosen: object) -> dict[str, Setting]:
    return {each.name: each for each in settings_in_force(read_settings(**chosen), **chosen)}


def test_every_setting_in_force_is_told_with_where_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(KEY)
    monkeypatch.setenv("SERINUS_HASH_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("SERINUS_PREDICT_TIMEOUT", "2.5")
    monkeypatch.setenv("SERINUS_HOME", "/elsewhere")

    listed = in_force(home=tmp_path, workers=None)

    assert set(listed) == {PREFIX + name.upper() for name in ServerSettings.model_fields}
    told = {name: (each.value, each.source, each.place) for name, each in listed.items()}
    assert told["SERINUS_HASH_KEY"] == (MASK, "file", str(tmp_path / "key"))
    assert told["SERINUS_PREDICT_TIMEOUT"] == (2.5, "environment", "SERINUS_PREDICT_TIMEOUT")
    assert told["SERINUS_HOME"] == (str(tmp_path), "option", "--home")
    assert told["SERINUS_DATABASE_URL"] == (f"sqlite:///{tmp_path}/serinus.db", "default", "")
    assert told["SERINUS_REDIS_URL"] == (None, "default", "")


def test_an_option_goes_before_a_file_in_what_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SERINUS_DATABASE_URL_FILE", str(tmp_path / "nothing"))

    assert in_force(database_url="sqlite:///a.db")["SERINUS_DATABASE_URL"].source == "option"


@pytest.mark.parametrize(
    ("text", "types"),
    [("", set()), ("a.B", {"a.B"}), (" a.B , c.D,,a.B,", {"a.B", "c.D"})],
    ids=["none", "one", "some"],
)
def test_trusted_types_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, text: str, types: set[str]) -> None:
    monkeypatch.setenv("SERINUS_TRUSTED_TYPES", text)

    assert read_settings().trusted_types == types


def test_settings_do_not_change(tmp_path: Path) -> None:
    settings = read_settings(home=tmp_path)

    with pytest.raises(ValueError, match="frozen"):
        settings.max_rows = 1
