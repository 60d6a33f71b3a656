"""Everything here runs on a loop whose time leaps: a deadline of a second takes no time and is kept exactly."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import pytest
from tests.service_layer.doubles import SIGNATURE, TURNED, LeapingLoop, Puppet, model_version

from serinus.core.answers import Answer
from serinus.core.errors import BadOutput, ModelError, ModelTimeout, Overloaded, PlatformError, Unavailable
from serinus.core.evidence import Key
from serinus.core.names import VersionRef
from serinus.core.routing import Role
from serinus.core.signature import Row
from serinus.gateway.arms import Arm
from serinus.gateway.asking import Asking, Manner, Outcome, ask_alone
from serinus.ports import Ticket

T = TypeVar("T")

about: Callable[[float], Any] = pytest.approx
TIMEOUT_S = 1.0
BASELINE, CANARY = VersionRef("risk", 1), VersionRef("risk", 2)


async def asked(
    arm: Arm, spare: Arm | None, rows: Sequence[Row], timeout_s: float, monotonic: Callable[[], float]
) -> Outcome:
    """Ask an arm, and its spare if it has one, and wait; who is cancelled meanwhile ends the work."""
    outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    manner = Manner(timeout_s, monotonic)
    ticket: Ticket | None
    if spare is None:
        ticket = ask_alone(arm, rows, manner, outcome.set_result)
    else:
        ticket = asking = Asking(arm, spare, rows, manner, outcome.set_result)
        asking.begin()
    try:
        return await outcome
    finally:
        if ticket is not None:
            ticket.withdraw()


class Pair:
    """Both arms of a rollout; the spare is asked only where the first fails."""

    def __init__(self, *, canary_order: tuple[int, ...] | None = None) -> None:
        self.baseline = Puppet(model_version(BASELINE, SIGNATURE))
        self.canary = Puppet(model_version(CANARY, TURNED if canary_order else SIGNATURE))
        first, spare = Key("d:1", "risk@2", 1, Role.CANARY), Key("d:1", "risk@1", 1, Role.BASELINE)
        self.first = Arm(Role.CANARY, "risk@2", self.canary, first, first, canary_order)
        self.spare = Arm(Role.BASELINE, "risk@1", self.baseline, spare, spare)

    async def ask(self, *, failover: bool = True) -> Outcome:
        loop = asyncio.get_running_loop()
        return await asked(self.first, self.spare if failover else None, [[1.0, 2.0]], TIMEOUT_S, loop.time)


def run(scenario: Callable[[], Awaitable[T]]) -> T:
    """Run a scenario in leaping time; nothing of it may be left over, nor end in an exception that nobody sees."""

    async def whole() -> T:
        result = await scenario()
        for _ in range(5):
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    loop = LeapingLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        result = runner.run(whole())
        gc.collect()
        assert loop.lost == []
    return result


def test_a_canary_that_answers_is_the_answer_and_the_baseline_is_left_alone() -> None:
    async def scenario() -> tuple[Outcome, Pair]:
        pair = Pair()
        pair.canary.silence_s = 0.2
        return await pair.ask(), pair

    outcome, pair = run(scenario)

    assert outcome == Outcome(about(200.0), None, [Answer(2.0)], pair.first)
    assert pair.canary.asked == [([1.0, 2.0], about(0.95))]
    assert pair.baseline.asked == []


def test_a_row_reaches_a_model_in_its_own_order() -> None:
    async def scenario() -> Pair:
        pair = Pair(canary_order=(1, 0))
        pair.canary.does = ModelError("broken")
        await pair.ask()
        return pair

    pair = run(scenario)

    assert pair.canary.asked[0][0] == [2.0, 1.0]
    assert pair.baseline.asked[0][0] == [1.0, 2.0]


@pytest.mark.parametrize(
    "failure",
    [ModelError("raised"), ModelTimeout("slow"), BadOutput("NaN"), Overloaded("full"), Unavailable("closing")],
    ids=lambda failure: type(failure).__name__,
)
def test_where_a_canary_fails_the_baseline_answers_and_the_failure_is_kept(failure: Exception) -> None:
    async def scenario() -> tuple[Outcome, Pair]:
        pair = Pair()
        pair.canary.silence_s, pair.canary.does = 0.1, failure
        pair.baseline.silence_s = 0.3
        return await pair.ask(), pair

    outcome, pair = run(scenario)

    assert outcome.failure is failure
    assert outcome.error is None
    assert (outcome.answers, outcome.answered_by) == ([Answer(1.0)], pair.spare)
    assert outcome.latency_ms == about(100.0), "the canary's latency, not the caller's"
    assert pair.baseline.asked == [([1.0, 2.0], about(0.85))], "all that is left of the models' time"


def test_a_defect_of_a_predictor_is_a_platform_error_and_fails_over() -> None:
    async def scenario() -> tuple[Outcome, Pair]:
        pair = Pair()
        pair.canary.does = RuntimeError("no such process")
        return await pair.ask(), pair

    outcome, pair = run(scenario)

    assert isinstance(outcome.failure, PlatformError)
    assert "risk@2 could not be asked: RuntimeError: no such process" in outcome.failure.message
    assert outcome.answered_by is pair.spare


def test_a_defect_of_the_only_predictor_is_a_platform_error() -> None:
    async def scenario() -> Outcome:
        pair = Pair()
        pair.canary.does = RuntimeError("no such process")
        return await pair.ask(failover=False)

    outcome = run(scenario)

    assert isinstance(outcome.error, PlatformError)
    assert outcome.failure is outcome.error
    assert outcome.answers == ()


def test_the_baseline_is_asked_too_when_half_of_the_time_is_over() -> None:
    async def scenario() -> tuple[Pair, int]:
        pair = Pair()
        pair.canary.is_silent()
        asking = asyncio.ensure_future(pair.ask())
        await asyncio.sleep(0.499)
        before = len(pair.baseline.asked)
        await asyncio.sleep(0.002)
        asking.cancel()
        return pair, before

    pair, before = run(scenario)

    assert before == 0
    assert pair.baseline.asked == [([1.0, 2.0], about(0.45))]


def test_a_slow_canary_may_still_win_and_the_baseline_is_let_go() -> None:
    async def scenario() -> tuple[Outcome, Pair]:
        pair = Pair()
        pair.canary.silence_s = 0.94
        pair.baseline.is_silent()
        return await pair.ask(), pair

    outcome, pair = run(scenario)

    assert outcome == Outcome(about(940.0), None, [Answer(2.0)], pair.first)
    assert pair.baseline.cancelled == 1


def test_a_slow_canary_wins_over_a_baseline_that_was_there_first() -> None:
    async def scenario() -> tuple[Outcome, Pair]:
        pair = Pair()
        pair.canary.silence_s = 0.9
        return await pair.ask(), pair

    outcome, pair = run(scenario)

    assert outcome.answered_by is pair.first
    assert len(pair.baseline.asked) == 1


def test_the_failure_of_a_hedge_that_was_not_needed_goes_unseen() -> None:
    async def scenario() -> tuple[Outcome, Pair]:
        pair = Pair()
        pair.canary.silence_s = 0.9
        pair.baseline.does = ModelError("the baseline is broken too")
        return await pair.ask(), pair

    outcome, pair = run(scenario)  # which asserts that no exception was lost

    assert (outcome.failure, outcome.answered_by) == (None, pair.first)


def test_a_canary_that_hangs_costs_the_caller_no_answer_even_if_its_predictor_keeps_no_deadline() -> None:
    async def scenario() -> tuple[Outcome, Pair, float]:
        pair = Pair()
        pair.canary.is_silent()
        outcome = await pair.ask()
        return outcome, pair, asyncio.get_running_loop().time()

    outcome, pair, took_s = run(scenario)

    assert isinstance(outcome.failure, ModelTimeout)
    assert (outcome.answers, outcome.answered_by) == ([Answer(1.0)], pair.spare)
    assert outcome.latency_ms == about(950.0)
    assert took_s == about(0.95)
    assert pair.canary.cancelled == 1


def test_where_both_fail_the_caller_is_told_of_the_baseline() -> None:
    ours, theirs = ModelError("the baseline"), ModelError("the canary")

    async def scenario() -> Outcome:
        pair = Pair()
        pair.canary.does, pair.baseline.does = theirs, ours
        return await pair.ask()

    outcome = run(scenario)

    assert (outcome.failure, outcome.error) == (theirs, ours)
    assert (outcome.answers, outcome.answered_by) == ((), None)


def test_without_failover_the_caller_is_told_of_the_canary() -> None:
    failure = ModelError("the canary")

    async def scenario() -> tuple[Outcome, Pair]:
        pair = Pair()
        pair.canary.silence_s, pair.canary.does = 0.6, failure
        return await pair.ask(failover=False), pair

    outcome, pair = run(scenario)

    assert outcome == Outcome(about(600.0), failure, error=failure)
    assert pair.baseline.asked == []


@pytest.mark.parametrize("after_s", [0.1, 0.7], ids=["first", "both"])
@pytest.mark.parametrize("failover", [True, False])
def test_a_caller_who_gives_up_ends_the_work(after_s: float, *, failover: bool) -> None:
    async def scenario() -> Pair:
        pair = Pair()
        pair.canary.is_silent()
        pair.baseline.is_silent()
        asking = asyncio.ensure_future(pair.ask(failover=failover))
        await asyncio.sleep(after_s)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await asyncio.sleep(0)
        return pair

    pair = run(scenario)

    assert pair.canary.cancelled == 1
    assert pair.baseline.cancelled == len(pair.baseline.asked) == int(failover and after_s > 0.5)
