"""A server that would not see what the others of its database see does not start."""

import pytest
from tests.production.fleet import Fleet
from tests.server import attempt_to_serve

from serinus.cli.exits import ExitCode


@pytest.mark.parametrize(
    ("setting", "value"),
    [("SERINUS_REDIS_PREFIX", "others:"), ("SERINUS_HASH_KEY", "another key than the others have, in 32 bytes")],
)
def test_a_gateway_with_another_board_or_key_than_the_others_is_refused(fleet: Fleet, setting: str, value: str) -> None:
    fleet.gateway()

    attempt = attempt_to_serve(fleet.folder / "stranger", "--no-checker", **{**fleet.settings, setting: value})

    assert attempt.returncode == ExitCode.FAILURE
    assert setting in attempt.stderr
