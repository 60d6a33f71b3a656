import json
from pathlib import Path

import pytest
from tests.cli.conftest import Canary
from tests.cli.terminal import at_terminal, run
from tests.client.fake_server import FakeServer


def sent(server: FakeServer) -> object:
    return json.loads(server.seen[-1].body)


def test_a_prediction_is_shown_with_who_gave_it(canary: Canary, server: FakeServer) -> None:
    ran = canary("predict", "heart-prod", '{"age": 63}', "--entity", "patient-7")

    assert ran.code == 0
    assert sent(server) == {"entity_id": "patient-7", "features": {"age": 63}}
    for fact in ("1", "ill", "87.5 %", "heart@1", "baseline", "2.5 ms"):
        assert fact in ran.out


def test_a_fail_over_is_pointed_out(canary: Canary, server: FakeServer) -> None:
    server.prediction = {"failover": True, "model_role": "canary"}

    assert "fail-over" in canary("predict", "heart-prod", '{"age": 63}').out


def test_features_are_read_from_a_file(canary: Canary, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('{"age": 41}')

    assert canary("predict", "heart-prod", f"@{tmp_path / 'one.json'}").code == 0
    assert sent(server) == {"features": {"age": 41}}


@pytest.mark.parametrize("argument", [["-"], []])
def test_features_are_read_from_stdin(server: FakeServer, argument: list[str]) -> None:
    ran = run("predict", "heart-prod", *argument, "-o", "json", stdin='{"age": 41}', SERINUS_URL=server.url)

    assert ran.returncode == 0
    assert json.loads(ran.stdout)["prediction"] == 1
    assert sent(server) == {"features": {"age": 41}}


@pytest.mark.parametrize("features", ["{age: 63}", "", "[63]", "63", '{"age": NaN}', "@/nowhere/at/all"])
def test_features_that_are_no_object_exit_with_2_and_are_not_sent(
    canary: Canary, server: FakeServer, features: str
) -> None:
    ran = canary("predict", "heart-prod", features)

    assert ran.code == 2
    assert ran.out == ""
    assert server.seen == []


def test_at_a_terminal_missing_features_are_not_waited_for(server: FakeServer) -> None:
    with at_terminal("predict", "heart-prod", SERINUS_URL=server.url) as terminal:
        assert terminal.end() == 2
