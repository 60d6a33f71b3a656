import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.conftest import Canary
from tests.cli.terminal import run

from serinus.settings import MASK, PREFIX, ServerSettings

SECRET = "gehEim-pw"


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    yield
    assert list(tmp_path.glob(".serinus")) == [], "to look at settings makes nothing"


def by_name(document: Any) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in document["settings"]}


def test_every_setting_is_listed_with_its_default(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "250")

    ran = canary("config")

    assert ran.code == 0
    for name in ServerSettings.model_fields:
        assert f"{PREFIX}{name.upper()} " in ran.out
    assert f"sqlite:///{tmp_path}/.serinus/serinus.db" in ran.out


def test_what_was_set_is_listed_with_where_it_comes_from(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = tmp_path / "key"
    key.write_text(SECRET * 2)
    monkeypatch.setenv("SERINUS_HASH_KEY_FILE", str(key))
    monkeypatch.setenv("SERINUS_REDIS_URL", f"redis://:{SECRET}@board:6379/0")
    monkeypatch.setenv("SERINUS_ALLOW_PICKLE", "yes")

    listed = by_name(canary("config", "-o", "json", "--workers", "3", "--home", "here").document)

    told = {name: (each["value"], each["source"], each["place"]) for name, each in listed.items()}
    assert told["SERINUS_HASH_KEY"] == (MASK, "file", str(key))
    assert told["SERINUS_REDIS_URL"] == (f"redis://:{MASK}@board:6379/0", "environment", "SERINUS_REDIS_URL")
    assert told["SERINUS_ALLOW_PICKLE"] == (True, "environment", "SERINUS_ALLOW_PICKLE")
    assert told["SERINUS_WORKERS"] == (3, "option", "--workers")
    assert told["SERINUS_HOME"] == (str(tmp_path / "here"), "option", "--home")
    assert told["SERINUS_LOG_FORMAT"] == ("auto", "default", "")


def test_json_and_yaml_say_the_same(canary: Canary) -> None:
    assert canary("-o", "json", "config").document == yaml.safe_load(canary("config", "-o", "yaml").out)


@pytest.mark.parametrize("how", ["table", "json", "yaml"])
def test_no_secret_is_shown(canary: Canary, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setenv("SERINUS_HASH_KEY", SECRET * 2)
    monkeypatch.setenv("SERINUS_DATABASE_URL", f"postgresql://serinus:{SECRET}@db/serinus")
    monkeypatch.setenv("SERINUS_ARTIFACTS_URL", "s3://models")
    monkeypatch.setenv("SERINUS_S3_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("SERINUS_S3_SECRET_ACCESS_KEY", SECRET)

    ran = canary("config", "-o", how)

    assert ran.code == 0
    assert SECRET not in ran.out + ran.err
    assert f"postgresql://serinus:{MASK}@db/serinus" in ran.out


def test_all_that_is_wrong_is_said_and_exits_with_2(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERINUS_PREDICT_TIMEOUT", "soon")
    monkeypatch.setenv("SERINUS_WORKRES", "2")

    ran = canary("config", "-o", "json", "--workers", "2")

    assert ran.code == 2
    assert ran.out == ""
    for name in ("SERINUS_PREDICT_TIMEOUT is 'soon'", "Did you mean SERINUS_WORKERS?", "SERINUS_REDIS_URL"):
        assert name in ran.err


@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_no_line_is_wider_than_the_terminal(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)

    ran = canary("config", "--home", str(tmp_path / ("long" * 30)))

    assert max(map(len, ran.out.splitlines())) <= int(columns)
    assert "longlong" in ran.out


def test_the_settings_can_be_listed_where_only_ascii_gets_through(tmp_path: Path) -> None:
    ran = run("config", PYTHONIOENCODING="ascii", SERINUS_HOME=str(tmp_path / "home"))

    assert ran.returncode == 0
    assert ran.stdout.isascii()
    assert "?" not in ran.stdout
