"""`canary replay` reads all looks of a rollout and judges them again."""

import io
import sys
from pathlib import Path

import pytest
from tests.cli.conftest import Canary
from tests.cli.looks import looks_of
from tests.cli.terminal import at_terminal
from tests.client.fake_server import FakeServer

LOOKS = looks_of(6, looks=40)


@pytest.fixture
def rollout(server: FakeServer) -> FakeServer:
    """heart-prod:1 is over, and was bad."""
    server.start_canary("heart-prod", "heart@2", 50)
    server.looks["heart-prod:1"] = [dict(look) for look in LOOKS]
    return server


def test_a_rollout_comes_out_as_it_was(canary: Canary, rollout: FakeServer) -> None:
    ran = canary("replay", "heart-prod:1")

    assert (ran.code, ran.err) == (0, "")
    for fact in ("heart-prod:1", "40 looks", "every verdict comes out as it was", "advised from", "never advised"):
        assert fact in ran.out


def test_a_verdict_that_comes_out_otherwise_exits_with_1_and_is_shown(canary: Canary, rollout: FakeServer) -> None:
    rollout.looks["heart-prod:1"][11]["verdict"] = LOOKS[11]["verdict"] | {"reason": "because"}

    table, document = canary("replay", "heart-prod:1"), canary("replay", "heart-prod:1", "-o", "json")

    assert (table.code, document.code) == (1, 1)
    assert "1 of 40 verdicts come out otherwise; the first is look 12" in table.out
    assert "because" in table.out
    assert document.document["first_difference"]["look"] == 12


@pytest.mark.parametrize("text", ["alpha: 0.000001\nerrorMargin: 0.1\n", '{"alpha": 1e-6, "error_margin": 0.1}'])
def test_another_policy_is_shown_beside_what_happened(
    canary: Canary, rollout: FakeServer, tmp_path: Path, text: str
) -> None:
    file = tmp_path / "stricter.yaml"
    file.write_text(text)

    table = canary("replay", "heart-prod:1", "--policy", str(file))
    document = canary("replay", "heart-prod:1", "--policy", str(file), "-o", "json").document

    assert table.code == 0
    assert "As it was" in table.out
    assert "stricter.yaml" in table.out.replace("\n", "")
    assert document["other"]["policy"]["error_margin"] == 0.1
    assert document["other"]["policy"]["p95_margin_ms"] == 100.0
    assert document["other"]["rollback"]["look"] > document["recorded"]["rollback"]["look"]


def test_a_policy_comes_from_stdin_too(canary: Canary, rollout: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"name: threshold\nminRequests: 5\n")))

    document = canary("replay", "heart-prod:1", "--policy", "-", "-o", "json").document

    assert document["other"]["policy"]["min_requests"] == 5
    assert document["other"]["rollback"] is not None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("alpha: 5", "alpha is 5"),
        ("alpha: '5%'", "alpha is '5%'"),
        ("minRequests: 5", "min_requests"),
        ("- alpha", "holds no policy"),
        ("alpha: 0.1\nbeta: [", "line 2: This is no YAML"),
        ("", "no policy"),
    ],
)
def test_what_is_no_policy_exits_with_2_and_says_what_is_wrong(
    canary: Canary, rollout: FakeServer, tmp_path: Path, text: str, told: str
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)

    ran = canary("replay", "heart-prod:1", "--policy", str(file))

    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


def test_a_file_that_is_not_there_exits_with_2(canary: Canary, rollout: FakeServer) -> None:
    ran = canary("replay", "heart-prod:1", "--policy", "nowhere.yaml")

    assert ran.code == 2
    assert "nowhere.yaml" in ran.err


def test_all_pages_are_read(canary: Canary, rollout: FakeServer) -> None:
    rollout.looks["heart-prod:1"] = [dict(look) for look in looks_of(0, looks=501)]

    assert canary("replay", "heart-prod:1", "-o", "json").document["looks"] == 501


def test_a_rollout_without_looks_exits_with_3(canary: Canary, rollout: FakeServer) -> None:
    ran = canary("replay", "heart-prod:7")

    assert ran.code == 3
    assert "heart-prod:7" in ran.err


@pytest.mark.parametrize("text", ["heart-prod", "heart-prod:", ":3", "heart-prod:0", "heart-prod:x", "../x:1"])
def test_what_names_no_rollout_exits_with_2(canary: Canary, server: FakeServer, text: str) -> None:
    assert canary("replay", text).code == 2
    assert not server.seen


def test_a_deployment_that_is_not_there_exits_with_3(canary: Canary, server: FakeServer) -> None:
    assert canary("replay", "heart-pord:1").code == 3


def test_at_a_terminal_it_ends_with_what_came_out(rollout: FakeServer) -> None:
    with at_terminal("replay", "heart-prod:1", SERINUS_URL=rollout.url) as terminal:
        code = terminal.end()

    assert code == 0
    assert "every verdict comes out as it was" in terminal.screen
