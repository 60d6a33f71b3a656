import traceback
from pathlib import Path

import pytest

from serinus.core.errors import InvalidInput
from serinus.settings import PREFIX, ServerSettings, read_settings

SECRET = "gehEim-pw"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting comes from the environment of whoever runs the tests."""
    for name in ServerSettings.model_fields:
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)


def test_every_setting_has_a_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    settings = read_settings()

    assert settings.database == f"sqlite:///{tmp_path}/.serinus/serinus.db"
    assert settings.artifacts == f"{tmp_path}/.serinus/artifacts"


@pytest.mark.parametrize("name", ServerSettings.model_fields)
def test_every_setting_is_described(name: str) -> None:
    description = ServerSettings.model_fields[name].description

    assert description
    assert description[0].isupper()


def test_every_setting_is_read_from_a_variable_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "home": "/srv/serinus",
        "database_url": "sqlite:////srv/state.db",
        "artifacts_url": "file:///srv/models",
        "hash_key": "0123456789abcdef",
        "predict_timeout": "2.5",
        "predictor_threads": "3",
        "predictor_queue": "4",
        "check_interval": "5",
        "evidence_interval": "0.5",
        "acknowledge_timeout": "0",
        "log_interval": "0.25",
        "log_limit": "7",
        "max_request_bytes": "2048",
        "max_artifact_bytes": "4096",
        "allow_pickle": "true",
        "trusted_types": "a.B",
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PREDICT_TIMEOUT", "soon"),
        ("PREDICT_TIMEOUT", "nan"),
        ("PREDICT_TIMEOUT", "0"),
        ("PREDICT_TIMEOUT", "inf"),
        ("PREDICTOR_THREADS", "1.5"),
        ("PREDICTOR_QUEUE", "-1"),
        ("CHECK_INTERVAL", ""),
        ("EVIDENCE_INTERVAL", "61"),
        ("ACKNOWLEDGE_TIMEOUT", "-0.1"),
        ("LOG_INTERVAL", "0.001"),
        ("LOG_LIMIT", "0"),
        ("MAX_REQUEST_BYTES", "1k"),
        ("MAX_ARTIFACT_BYTES", "1023"),
        ("ALLOW_PICKLE", "perhaps"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_wrong_value_is_named_with_its_variable_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(PREFIX + name, value)

    with pytest.raises(InvalidInput) as refused:
        read_settings()

    assert refused.value.field == PREFIX + name
    assert refused.value.message.startswith(f"{PREFIX}{name} is {value!r}: ")
    assert refused.value.remedy


def test_a_wrong_value_that_was_chosen_is_the_one_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERINUS_PREDICT_TIMEOUT", "3")

    with pytest.raises(InvalidInput, match="is 'never'"):
        read_settings(predict_timeout="never")


def test_a_secret_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERINUS_HASH_KEY", SECRET)

    with pytest.raises(InvalidInput, match="SERINUS_HASH_KEY: it should have 16 characters at least") as refused:
        read_settings()
    monkeypatch.setenv("SERINUS_HASH_KEY", SECRET * 2)
    settings = read_settings()

    shown = "".join(traceback.format_exception(refused.value)) + repr(refused.value.details)
    assert SECRET not in shown
    assert SECRET not in f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()}"
    assert settings.hash_key.get_secret_value() == SECRET * 2


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
        settings.log_limit = 1
