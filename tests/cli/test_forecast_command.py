"""`canary forecast` asks the server and shows what it says."""

import pytest
from tests.cli.conftest import Canary
from tests.cli.test_forecast_display import DOCUMENT
from tests.client.fake_server import FakeServer


def test_a_forecast_is_asked_for_and_shown(canary: Canary, server: FakeServer) -> None:
    server.forecast = DOCUMENT

    ran = canary("forecast", "heart-prod", "--weights", "1, 5%,20", "--rate", "50")

    assert (ran.code, ran.err) == (0, "")
    assert "27 min" in ran.out
    assert server.seen[-1].query == [("weights", "1"), ("weights", "5"), ("weights", "20"), ("rate", "50")]


def test_a_forecast_is_given_as_it_came(canary: Canary, server: FakeServer) -> None:
    server.forecast = DOCUMENT

    assert canary("forecast", "heart-prod", "-o", "json").document == DOCUMENT
    assert server.seen[-1].query == [("weights", weight) for weight in ("1", "5", "20", "50")]


@pytest.mark.parametrize("weights", ["", "0", "5,100", "five", "5,,20"])
def test_shares_that_leave_nothing_to_compare_are_refused(canary: Canary, server: FakeServer, weights: str) -> None:
    ran = canary("forecast", "heart-prod", "--weights", weights)

    assert ran.code == 2
    assert not server.seen


def test_a_deployment_that_is_not_there_exits_with_3(canary: Canary, server: FakeServer) -> None:
    assert canary("forecast", "heart-pord").code == 3
