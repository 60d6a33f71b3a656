"""Models in processes of their own: what they do, and what becomes of it."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from tests import models
from tests.predictors.asking import LONG, Reply, begun_nursery, by, predict, predict_rows, running, started
from tests.service_layer.doubles import until

from serinus.core.answers import Answer
from serinus.core.errors import BadOutput, FormatRefused, ModelError, ModelTimeout, Overloaded, Unavailable
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.predictors import isolation
from serinus.predictors.orders import Size
from serinus.predictors.processes import Nursery, Room
from serinus.predictors.runners import RunnerPredictor

pytestmark = pytest.mark.asyncio(loop_scope="module")
GONE = ["segfaults", "exits", "is killed"]
"""How a model ends its process."""
KILLER, GOOD = -1, 7


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nursery() -> AsyncIterator[Nursery]:
    nursery = await begun_nursery(Room(memory=1 << 30))
    yield nursery
    nursery.close()


@pytest_asyncio.fixture(loop_scope="module")
async def mortal() -> AsyncIterator[Nursery]:
    """A nursery of one test's own."""
    nursery = Nursery(Room())
    yield nursery
    nursery.close()


def pids(predictor: RunnerPredictor) -> list[int]:
    return [place.runner.pid for place in predictor._places if place.runner is not None]


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def end_once(predictor: RunnerPredictor) -> None:
    """Let the model end its process, and wait for the next one."""
    ends = predictor.work.ends
    assert isinstance(await Reply(predictor, [[KILLER, 0.0]], LONG).failure(), ModelError)
    assert predictor.work.ends == ends + 1


# ----------------------------------------------------------------------------------------- being asked


async def test_a_row_is_answered(nursery: Nursery) -> None:
    async with running(nursery, models.Risk()) as predictor:
        assert await predict(predictor, [63, 233.0]) == Answer(0.63)
        assert str(predictor.version.ref) == "risk@3"


async def test_each_of_a_thousand_waiting_requests_gets_its_own_answer_and_batches_are_made_of_them(
    nursery: Nursery,
) -> None:
    async with running(nursery, models.Risk(), queue=1000) as predictor:
        answers = await asyncio.gather(*(predict(predictor, [n, 0.0]) for n in range(1000)))

        assert [answer.prediction for answer in answers] == [n / 100.0 for n in range(1000)]
        assert predictor.work.requests == 1000
        assert predictor.work.batches < 100


async def test_requests_are_answered_in_their_order(nursery: Nursery) -> None:
    answered: list[int] = []

    def noted(number: int, _: object) -> None:
        answered.append(number)

    async with running(nursery, models.Risk(), batch_rows=3) as predictor:
        replies = [Reply(predictor, [[n, 0.0]], LONG) for n in range(50)]
        for n, reply in enumerate(replies):
            reply.settled.add_done_callback(partial(noted, n))
        await asyncio.gather(*(reply.answers() for reply in replies))

    assert answered == list(range(50))


@pytest.mark.parametrize(("one_core", "least", "most"), [(True, 25, 30), (False, 45, 60)])
async def test_on_one_core_who_asks_again_at_once_is_in_the_next_batch(
    nursery: Nursery, *, one_core: bool, least: int, most: int
) -> None:
    """One of eight is at the model when the others come: on one core they become one batch, and not two in turn."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    answered = 0

    def ask(number: int) -> None:
        predictor.ask([[number, 0.0]], LONG, partial(ask_again, number))

    def ask_again(number: int, outcome: object) -> None:
        nonlocal answered
        answered += 1
        if answered < 200:
            ask(number)
        elif not done.done():
            done.set_result(None)

    async with running(nursery, models.Risk(), one_core=one_core) as predictor:
        await predict(predictor, [1, 2.0])
        for number in range(8):
            ask(number)
        await done

        assert least <= predictor.work.batches <= most


async def turn_by_turn(predictor: RunnerPredictor, requests: int) -> list[Reply]:
    """Ask for a row in each turn of the event loop, after a batch that was no lone request."""
    await asyncio.gather(*(predict(predictor, [n, 0.0]) for n in range(3)))
    assert predictor.work.batches == 2
    replies = []
    for number in range(requests):
        replies.append(Reply(predictor, [[number, 0.0]], LONG))
        await asyncio.sleep(0)
    return replies


async def test_on_one_core_a_batch_gathers_for_as_long_as_more_comes(nursery: Nursery) -> None:
    async with running(nursery, models.Risk(), one_core=True) as predictor:
        replies = await turn_by_turn(predictor, 6)
        assert predictor.work.batches == 2, "each turn has brought more"

        await asyncio.gather(*(reply.answers() for reply in replies))
        assert predictor.work.batches == 3
        await predict(predictor, [1, 2.0])  # without company, and so is the next one
        reply = Reply(predictor, [[1, 2.0]], LONG)
        assert predictor.work.batches == 5, "a lone request waits for no turn"
        await reply.answers()


async def test_on_one_core_a_whole_batch_gathers_no_more(nursery: Nursery) -> None:
    async with running(nursery, models.Risk(), one_core=True, batch_rows=4) as predictor:
        replies = await turn_by_turn(predictor, 6)
        assert predictor.work.batches == 3, "four wait, and that is a batch"

        await asyncio.gather(*(reply.answers() for reply in replies))
        assert predictor.work.batches == 4


async def test_nobody_is_refused_because_others_gather(nursery: Nursery) -> None:
    async with running(nursery, models.Risk(), one_core=True, queue=4) as predictor:
        await asyncio.gather(*(predict(predictor, [n, 0.0]) for n in range(3)))
        replies = [Reply(predictor, [[n, 0.0]], LONG) for n in range(8)]  # in one turn, before any is handed over

        assert [len(await reply.answers()) for reply in replies] == [1] * 8
        assert predictor.work.batches == 4


async def test_a_runner_with_a_core_of_its_own_has_what_waits_at_once(nursery: Nursery) -> None:
    async with running(nursery, models.Risk()) as predictor:
        replies = await turn_by_turn(predictor, 6)
        assert predictor.work.batches >= 3, "it works while others come"

        await asyncio.gather(*(reply.answers() for reply in replies))


async def test_a_batch_has_so_many_rows_at_most_and_a_request_of_more_is_one_of_its_own(nursery: Nursery) -> None:
    async with running(nursery, models.Risk(), batch_rows=4) as predictor:
        sizes = [3, 1, 2, 9, 2]
        replies = [Reply(predictor, [[n, 0.0] for n in range(size)], LONG) for size in sizes]

        assert [len(await reply.answers()) for reply in replies] == sizes
        assert predictor.work.batches == 4


async def test_rows_of_requests_in_one_batch_are_given_back_to_each_of_them(nursery: Nursery) -> None:
    async with running(nursery, models.Risk()) as predictor:
        asked = [predict_rows(predictor, [[10 * n + k, 0.0] for k in range(n)]) for n in (3, 1, 2)]
        answers = await asyncio.gather(*asked)

        assert [[answer.prediction for answer in each] for each in answers] == [[0.3, 0.31, 0.32], [0.1], [0.2, 0.21]]
        assert predictor.work.batches == 2, "the first one waits for nothing"


async def test_a_value_that_is_missing_reaches_a_model_as_nan(nursery: Nursery) -> None:
    async with running(nursery, models.Ill("raises")) as predictor:
        with pytest.raises(BadOutput, match="nan"):
            await predict(predictor, [None, 1.0])


async def test_strings_reach_a_model_as_they_are(nursery: Nursery) -> None:
    signature = Signature((Feature("word", Dtype.STR),), Output(OutputKind.CLASS))
    async with running(nursery, models.Ill("raises"), signature) as predictor:
        answer = await predict(predictor, ["Zoë 🐤"])

    assert answer == Answer("Zoë 🐤", "Zoë 🐤")


async def test_as_many_requests_as_processes_are_worked_on_at_once(nursery: Nursery) -> None:
    async with running(nursery, models.Risk(seconds=0.5), runners=2, batch_rows=1) as predictor:
        assert len(set(pids(predictor))) == 2
        begun = time.monotonic()

        await asyncio.gather(*(predict(predictor, [n, 0.0]) for n in range(2)))

        assert time.monotonic() - begun < 0.9


async def test_a_model_that_hangs_holds_up_neither_another_nor_the_event_loop(nursery: Nursery) -> None:
    async with running(nursery, models.Risk(seconds=30.0)) as hanging, running(nursery, models.Risk()) as healthy:
        hung = [Reply(hanging, [[1, 0.0]], LONG) for _ in range(50)]

        for n in range(100):
            assert await predict(healthy, [n, 0.0], 10.0) == Answer(n / 100.0)

        assert not any(reply.settled.done() for reply in hung)


async def test_what_a_model_has_done_is_counted(nursery: Nursery) -> None:
    async with running(nursery, models.Risk(seconds=0.05), batch_rows=1) as predictor:
        await asyncio.gather(*(predict(predictor, [n, 0.0]) for n in range(3)))

        work = predictor.work
        assert (work.requests, work.batches, work.ends) == (3, 3, 0)
        assert 0.15 <= work.took_s < 5.0
        assert 0.15 <= work.waited_s < 5.0


# ------------------------------------------------------------------------------------------- what fails


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raises", "risk@3 raised ValueError: x is odd"),
        ("leaves", "risk@3 raised SystemExit: 3"),
        ("interrupts", "risk@3 raised KeyboardInterrupt"),
        ("stops", "risk@3 raised StopIteration: end"),
        ("is shy", "risk@3 raised Shy"),
        ("says much", f"risk@3 raised RuntimeError: {'y' * 299}…"),
        ("says what cannot be written", "risk@3 raised RuntimeError: \\ud800"),
    ],
)
async def test_whatever_a_model_raises_is_a_model_error_and_its_process_goes_on(
    nursery: Nursery, how: str, said: str
) -> None:
    async with running(nursery, models.Ill(how)) as predictor:
        before = pids(predictor)
        failure = await Reply(predictor, [[KILLER, 0.0]], LONG).failure()

        assert type(failure) is ModelError
        assert failure.message == said
        assert await predict(predictor, [GOOD, 0.0]) == Answer(7.0)
        assert pids(predictor) == before


@pytest.mark.parametrize(
    "output",
    [
        *(None, 7.0, np.array([np.nan]), np.array([np.inf]), np.array([1.0, 2.0]), np.array([[[1.0]]])),
        *(np.array(["high"]), np.array([None]), np.array(["2026-01-01"], dtype="M8[D]")),
    ],
    ids=["none", "plain", "nan", "inf", "two", "cube", "string", "object", "time"],
)
async def test_what_is_no_answer_is_bad_output(nursery: Nursery, output: Any) -> None:
    async with running(nursery, models.Answers(output)) as predictor:
        failure = await Reply(predictor, [[1, 0.0]], LONG).failure()

        assert type(failure) is BadOutput
        assert failure.kind == "bad_output"


@pytest.mark.parametrize(
    "answer", [np.array([2**70], dtype=object), np.array(["\ud800"], dtype=object)], ids=["huge", "half a character"]
)
async def test_an_answer_that_cannot_leave_its_process_is_bad_output(nursery: Nursery, answer: Any) -> None:
    async with running(nursery, models.Answers(answer), models.TEXT) as predictor:
        assert type(await Reply(predictor, [[1, 0.0]], LONG).failure()) is BadOutput


async def test_an_answer_larger_than_a_gateway_holds_is_bad_output(nursery: Nursery) -> None:
    async with running(nursery, models.Repeats(1 << 26), models.TEXT) as predictor:
        failure = await Reply(predictor, [[1, 0.0]], LONG).failure()

        assert type(failure) is BadOutput
        assert predictor.work.ends == 0


@pytest.mark.parametrize("count", [1, 3])
async def test_one_row_without_a_usable_answer_leaves_all_of_its_request_without(nursery: Nursery, count: int) -> None:
    async with running(nursery, models.Answers(np.arange(float(count)))) as predictor:
        with pytest.raises(BadOutput):
            await predict_rows(predictor, [[1, 0.0], [2, 0.0]])


async def test_a_batch_that_fails_is_answered_request_by_request(nursery: Nursery) -> None:
    async with running(nursery, models.Ill("raises")) as predictor:
        outcomes = await asyncio.gather(
            *(predict(predictor, [n, 0.0]) for n in (1, KILLER, 2, 3)), return_exceptions=True
        )

        assert [type(each) for each in outcomes] == [Answer, ModelError, Answer, Answer]
        assert predictor.work.batches == 2, "the first one waits for nothing"


# ---------------------------------------------------------------------------------- ends of its process


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("segfaults", "its process was ended by SIGSEGV"),
        ("exits", "its process ended with exit code 3"),
        ("is killed", "its process was ended by SIGKILL"),
        ("garbles", "it said what is no answer"),
        ("floods", "it said what is no answer"),
    ],
)
async def test_a_model_that_ends_its_process_fails_its_request_and_answers_the_next_in_another_one(
    nursery: Nursery, how: str, said: str
) -> None:
    async with running(nursery, models.Ill(how)) as predictor:
        (before,) = pids(predictor)

        failure = await Reply(predictor, [[KILLER, 0.0]], LONG).failure()

        assert type(failure) is ModelError
        assert said in failure.message
        assert await predict(predictor, [GOOD, 0.0]) == Answer(7.0)
        assert pids(predictor) != [before]
        assert predictor.work.ends == 1
        await until(lambda: not is_there(before))


@pytest.mark.parametrize("how", [*GONE, "takes all memory"])
@pytest.mark.parametrize("place", [0, 5, 9])
async def test_of_the_requests_of_a_batch_the_one_that_ends_the_process_fails_and_all_others_are_answered(
    nursery: Nursery, how: str, place: int
) -> None:
    asked = [n if n != place else KILLER for n in range(10)]
    async with running(nursery, models.Ill(how)) as predictor:
        outcomes = await asyncio.gather(*(predict(predictor, [n, 0.0]) for n in asked), return_exceptions=True)

    failed = [type(each) is ModelError for each in outcomes]
    assert failed == [n == KILLER for n in asked]
    assert [each.prediction for each in outcomes if isinstance(each, Answer)] == [n for n in asked if n != KILLER]


async def test_what_was_asked_while_a_process_ended_is_answered_by_the_next_one(nursery: Nursery) -> None:
    async with running(nursery, models.Ill("exits")) as predictor:
        ill = Reply(predictor, [[KILLER, 0.0]], LONG)
        await until(lambda: predictor.work.batches)
        others = [Reply(predictor, [[n, 0.0]], LONG) for n in range(5)]

        assert isinstance(await ill.failure(), ModelError)
        assert [(await each.answers())[0].prediction for each in others] == [0.0, 1.0, 2.0, 3.0, 4.0]


async def test_a_model_that_takes_all_memory_fails_its_request_and_its_process_is_replaced(nursery: Nursery) -> None:
    async with running(nursery, models.Ill("takes all memory")) as predictor:
        before = pids(predictor)
        failure = await Reply(predictor, [[KILLER, 0.0]], LONG).failure()

        assert isinstance(failure, ModelError)
        assert "MemoryError" in failure.message
        assert await predict(predictor, [GOOD, 0.0]) == Answer(7.0)
        assert pids(predictor) != before


async def test_a_process_that_has_no_memory_left_is_given_no_other_request(nursery: Nursery) -> None:
    async with running(nursery, models.Ill("takes all memory"), batch_rows=1) as predictor:
        asked = [KILLER, *range(1, 5)]
        outcomes = await asyncio.gather(*(predict(predictor, [n, 0.0]) for n in asked), return_exceptions=True)

        assert isinstance(outcomes[0], ModelError)
        assert outcomes[1:] == [Answer(1.0), Answer(2.0), Answer(3.0), Answer(4.0)]


async def test_a_model_that_ends_its_processes_again_and_again_is_refused_at_once_for_a_while_and_comes_back(
    nursery: Nursery,
) -> None:
    async with running(nursery, models.Ill("exits")) as predictor:
        for _ in range(3):
            await end_once(predictor)

        refused = Reply(predictor, [[GOOD, 0.0]], LONG)
        assert refused.settled.done(), "it waits for nothing"
        with pytest.raises(ModelError, match="again and again"):
            await refused.answers()

        await until(lambda: not Reply(predictor, [[GOOD, 0.0]], LONG).settled.done())
        assert await predict(predictor, [GOOD, 0.0]) == Answer(7.0)


async def test_what_waits_when_a_pause_begins_is_refused(nursery: Nursery) -> None:
    async with running(nursery, models.Ill("exits"), batch_rows=1) as predictor:
        for _ in range(2):
            await end_once(predictor)
        asked = [Reply(predictor, [[n, 0.0]], LONG) for n in (KILLER, 1, 2)]

        failures = [await each.failure() for each in asked]

    assert [type(each) for each in failures] == [ModelError] * 3


async def test_an_operator_is_told_of_each_end(nursery: Nursery) -> None:
    told: list[str] = []
    predictor = await by(nursery, told=told.append).start(*started(models.Ill("exits")))
    for _ in range(3):
        await end_once(predictor)
    predictor.close()

    assert len(told) == 3
    assert all("exit code 3" in line for line in told)


async def test_the_end_of_one_process_of_a_version_leaves_the_others_at_work(nursery: Nursery) -> None:
    async with running(nursery, models.Ill("exits"), runners=2) as predictor:
        ill = Reply(predictor, [[KILLER, 0.0]], LONG)
        await until(lambda: predictor.work.batches)

        assert await predict(predictor, [GOOD, 0.0], 10.0) == Answer(7.0)
        assert isinstance(await ill.failure(), ModelError)
        await until(lambda: all(place.packer is not None for place in predictor._places))


async def test_when_the_process_that_begins_processes_is_killed_all_comes_back(mortal: Nursery) -> None:
    nursery = mortal
    async with running(nursery, models.Risk()) as one, running(nursery, models.Risk()) as other:
        process = nursery._process
        assert isinstance(process, subprocess.Popen)
        old = [*pids(one), *pids(other)]

        process.kill()

        await until(lambda: one.work.ends and other.work.ends)
        answers = await asyncio.gather(*(predict(each, [GOOD, 0.0]) for each in (one, other)))
        assert answers == [Answer(0.07), Answer(0.07)]
        assert not set(old) & {*pids(one), *pids(other)}
        await until(lambda: not any(map(is_there, old)))


async def test_a_model_can_be_started_although_the_process_that_begins_processes_has_just_died(
    mortal: Nursery,
) -> None:
    nursery = mortal
    async with running(nursery, models.Risk()):
        process = nursery._process
        assert isinstance(process, subprocess.Popen)
        process.kill()
        process.wait()  # and this end has not heard of it

        async with running(nursery, models.Risk()) as predictor:
            assert await predict(predictor, [GOOD, 0.0]) == Answer(0.07)


async def test_a_model_cannot_be_started_where_the_process_that_begins_processes_cannot_be_begun() -> None:
    def broken(threads: int) -> Any:
        raise OSError(12, "Cannot allocate memory")

    with pytest.raises(Unavailable, match="Cannot allocate memory"):
        await by(Nursery(Room(), broken)).start(*started(models.Risk()))


async def test_a_model_cannot_be_started_where_no_more_files_can_be_opened(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left() -> Any:
        raise OSError(24, "Too many open files")

    async with running(nursery, models.Ill("exits")) as predictor:
        with monkeypatch.context() as without:
            without.setattr(socket, "socketpair", none_left)
            with pytest.raises(Unavailable, match="Too many open files"):
                await by(nursery).start(*started(models.Risk()))
            assert isinstance(await Reply(predictor, [[KILLER, 0.0]], LONG).failure(), ModelError)
            await until(lambda: predictor.work.ends >= 3)

        await until(lambda: all(place.packer is not None for place in predictor._places))
        assert await predict(predictor, [GOOD, 0.0]) == Answer(7.0)


# ---------------------------------------------------------------------------------------------- too late


async def test_a_model_that_hangs_times_out_and_its_process_is_replaced(nursery: Nursery) -> None:
    async with running(nursery, models.Ill("hangs")) as predictor:
        (before,) = pids(predictor)

        with pytest.raises(ModelTimeout, match=r"risk@3 did not answer after 50 ms") as timeout:
            await predict(predictor, [KILLER, 0.0], 0.05)

        assert timeout.value.kind == "timeout"
        assert await predict(predictor, [GOOD, 0.0]) == Answer(7.0)
        await until(lambda: not is_there(before))


async def test_a_process_that_hangs_is_replaced_although_nobody_waits_for_it_any_more(nursery: Nursery) -> None:
    async with running(nursery, models.Ill("hangs")) as predictor:
        hung = Reply(predictor, [[KILLER, 0.0]], 0.1)
        await until(lambda: predictor.work.batches)
        hung.ticket.withdraw()

        assert await predict(predictor, [GOOD, 0.0], 20.0) == Answer(7.0)
        assert not hung.settled.done()


async def test_a_model_that_is_late_but_not_for_long_keeps_its_process_and_its_answer_is_discarded(
    nursery: Nursery,
) -> None:
    async with running(nursery, models.Risk(seconds=0.3)) as predictor:
        before = pids(predictor)
        with pytest.raises(ModelTimeout):
            await predict(predictor, [1, 0.0], 0.2)

        assert await predict(predictor, [2, 0.0]) == Answer(0.02)
        assert pids(predictor) == before


async def test_time_in_the_queue_counts(nursery: Nursery) -> None:
    async with running(nursery, models.Risk(seconds=0.3)) as predictor:
        begun = Reply(predictor, [[1, 0.0]], LONG)
        await until(lambda: predictor.work.batches)

        with pytest.raises(ModelTimeout, match="still waiting for its turn"):
            await predict(predictor, [2, 0.0], 0.02)

        assert await begun.answers() == [Answer(0.01)]


async def test_requests_whose_time_is_over_leave_room_in_the_queue(nursery: Nursery) -> None:
    async with running(nursery, models.Risk(seconds=0.5), queue=2) as predictor:
        begun = Reply(predictor, [[1, 0.0]], LONG)
        await until(lambda: predictor.work.batches)

        for _ in range(5):
            late = [await Reply(predictor, [[2, 0.0]], 0.001).failure() for _ in range(2)]
            assert {type(each) for each in late} == {ModelTimeout}

        assert await begun.answers() == [Answer(0.01)]
        assert predictor.work.requests == 1


async def test_a_request_that_is_withdrawn_is_never_begun_and_nobody_is_told_of_it(nursery: Nursery) -> None:
    async with running(nursery, models.Risk(seconds=0.2)) as predictor:
        begun = Reply(predictor, [[1, 0.0]], LONG)
        await until(lambda: predictor.work.batches)
        withdrawn, other = (Reply(predictor, [[n, 0.0]], LONG) for n in (2, 3))

        withdrawn.ticket.withdraw()
        withdrawn.ticket.withdraw()

        assert await begun.answers() == [Answer(0.01)]
        assert await other.answers() == [Answer(0.03)]
        assert predictor.work.requests == 2
        assert not withdrawn.settled.done()


async def test_a_full_queue_refuses_at_once_what_it_cannot_hold(nursery: Nursery) -> None:
    async with running(nursery, models.Risk(seconds=0.2), queue=3) as predictor:
        begun = Reply(predictor, [[0, 0.0]], LONG)
        await until(lambda: predictor.work.batches)
        waiting = [Reply(predictor, [[n, 0.0]], LONG) for n in (1, 2, 3)]

        refused = Reply(predictor, [[9, 0.0]], LONG)

        assert refused.settled.done()
        with pytest.raises(Overloaded, match="3 requests waiting"):
            await refused.answers()
        answers = [await reply.answers() for reply in (begun, *waiting)]
        assert answers == [[Answer(0.0)], [Answer(0.01)], [Answer(0.02)], [Answer(0.03)]]


async def test_a_queue_belongs_to_one_version(nursery: Nursery) -> None:
    async with (
        running(nursery, models.Risk(seconds=1.0), queue=1) as one,
        running(nursery, models.Risk(), queue=1) as other,
    ):
        full = [Reply(one, [[n, 0.0]], LONG) for n in (1, 2, 3)]
        assert isinstance(await full[2].failure(), Overloaded)

        assert await predict(other, [GOOD, 0.0]) == Answer(0.07)


# ----------------------------------------------------------------------------------------------- closing


async def test_closing_answers_what_is_begun_refuses_the_rest_and_ends_the_processes(nursery: Nursery) -> None:
    async with running(nursery, models.Risk(seconds=0.2), runners=2, batch_rows=1) as predictor:
        processes_of_it = pids(predictor)
        begun = Reply(predictor, [[1, 0.0]], LONG)
        await until(lambda: predictor.work.batches)
        more = [Reply(predictor, [[n, 0.0]], LONG) for n in (2, 3)]
        await until(lambda: predictor.work.batches == 2)

        predictor.close()
        predictor.close()

        with pytest.raises(Unavailable, match="no longer loaded"):
            await more[1].answers()
        with pytest.raises(Unavailable):
            await predict(predictor, [4, 0.0])
        assert await begun.answers() == [Answer(0.01)]
        assert await more[0].answers() == [Answer(0.02)]
        await until(lambda: not any(map(is_there, processes_of_it)))


async def test_a_process_that_ends_at_its_last_batch_is_not_begun_again(nursery: Nursery) -> None:
    async with running(nursery, models.Ill("exits")) as predictor:
        # The next batch is begun before the answers to the one before it are told.
        predictor.ask([[GOOD, 0.0]], LONG, lambda _: predictor.close())
        replies = [Reply(predictor, [[n, 0.0]], LONG) for n in (KILLER, 1)]

        failures = [await reply.failure() for reply in replies]

        assert [type(each) for each in failures] == [ModelError, ModelError]
        assert pids(predictor) == []


async def test_a_process_that_hangs_when_its_version_is_closed_is_killed(nursery: Nursery) -> None:
    async with running(nursery, models.Ill("hangs")) as predictor:
        (hanging,) = pids(predictor)
        reply = Reply(predictor, [[KILLER, 0.0]], 0.1)
        await until(lambda: predictor.work.batches)

        predictor.close()

        assert isinstance(await reply.failure(), ModelTimeout)
        await until(lambda: not is_there(hanging))


async def test_closing_during_a_pause_begins_nothing_more(nursery: Nursery) -> None:
    async with running(nursery, models.Ill("exits")) as predictor:
        for _ in range(3):
            await end_once(predictor)

    assert all(place.timer is None or place.timer.cancelled() for place in predictor._places)


# ----------------------------------------------------------------------------------------------- loading


async def test_what_a_format_refuses_is_refused_with_the_same_words(nursery: Nursery) -> None:
    version, _ = started(models.Risk())

    with pytest.raises(FormatRefused) as refused:
        await by(nursery).start(version, b"no pickle")

    assert refused.value.code == FormatRefused.code
    assert (refused.value.field, bool(refused.value.remedy)) == ("format", True)


@pytest.mark.parametrize("how", ["raises", "leaves", "interrupts", "is shy", "takes all memory", "exits", "segfaults"])
async def test_a_model_that_fails_while_it_is_loaded_is_a_model_error(nursery: Nursery, how: str) -> None:
    living = set(nursery._living)

    with pytest.raises((ModelError, FormatRefused), match=r"risk@3 could not be loaded|not a usable pickle"):
        await by(nursery).start(*started(models.IllAtLoading(how)))

    await until(lambda: set(nursery._living) <= living)


async def test_a_model_that_hangs_while_it_is_loaded_is_killed_when_nobody_waits_for_it_any_more(
    nursery: Nursery,
) -> None:
    living = set(nursery._living)
    loading = asyncio.ensure_future(by(nursery).start(*started(models.IllAtLoading("hangs"))))
    await until(lambda: set(nursery._living) - living)
    (process,) = set(nursery._living) - living

    loading.cancel()

    with pytest.raises(asyncio.CancelledError):
        await loading
    await until(lambda: not is_there(process))


async def test_where_one_process_of_a_version_cannot_load_it_none_is_left_behind(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> None:
    living = set(nursery._living)
    once = str(tmp_path_factory.mktemp("once") / "done")

    with pytest.raises(ModelError, match="exit code 3"):
        await by(nursery, Size(runners=2)).start(*started(models.IllAtLoading("exits", once)))

    await until(lambda: set(nursery._living) <= living)
    await asyncio.sleep(0.3)  # as long as the other one would have taken
    assert set(nursery._living) <= living


async def test_a_process_that_ends_as_soon_as_it_is_ready_is_replaced(nursery: Nursery) -> None:
    loading = asyncio.ensure_future(by(nursery).start(*started(models.Risk())))
    ready = asyncio.get_running_loop().create_future()

    def killed_at_once(self: RunnerPredictor, place: Any, loaded: Any) -> None:
        was_ready(self, place, loaded)
        if not ready.done():
            ready.set_result(None)
            asyncio.get_running_loop().call_soon(place.runner.ended, "it was killed")

    was_ready = RunnerPredictor._is_ready
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(RunnerPredictor, "_is_ready", killed_at_once)
        predictor = await loading
    await until(lambda: predictor.work.ends)
    assert await predict(predictor, [GOOD, 0.0]) == Answer(0.07)
    predictor.close()


# -------------------------------------------------------------------------------------- letting others go


def niceness(predictor: RunnerPredictor) -> list[int]:
    return [os.getpriority(os.PRIO_PROCESS, pid) for pid in pids(predictor)]


async def test_a_canarys_processes_let_others_go_first_and_those_that_come_after_them_too(nursery: Nursery) -> None:
    async with running(nursery, models.Ill("exits"), niceness=7, runners=2) as predictor:
        assert niceness(predictor) == [0, 0]

        predictor.yield_to_others(yes=True)
        assert niceness(predictor) == [7, 7]

        await end_once(predictor)
        await until(lambda: all(place.packer is not None for place in predictor._places))
        assert niceness(predictor) == [7, 7]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may take it back")
async def test_a_canary_that_was_promoted_lets_nobody_go_first(nursery: Nursery) -> None:
    async with running(nursery, models.Risk(), niceness=7) as predictor:
        before = pids(predictor)
        predictor.yield_to_others(yes=True)

        predictor.yield_to_others(yes=False)

        assert niceness(predictor) == [0]
        assert pids(predictor) == before


async def test_where_taking_it_back_is_not_allowed_a_fresh_process_takes_over_and_no_request_is_lost(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = isolation.set_niceness
    monkeypatch.setattr(isolation, "set_niceness", lambda pid, niceness: niceness > 0 and allowed(pid, niceness))
    async with running(nursery, models.Risk(seconds=0.02), niceness=7, queue=1000, batch_rows=4) as predictor:
        predictor.yield_to_others(yes=True)
        (before,) = pids(predictor)
        replies = [Reply(predictor, [[n, 0.0]], LONG) for n in range(100)]

        predictor.yield_to_others(yes=False)

        assert [(await reply.answers())[0].prediction for reply in replies] == [n / 100.0 for n in range(100)]
        await until(lambda: before not in pids(predictor))
        assert niceness(predictor) == [0]
        await until(lambda: not is_there(before))


async def test_a_process_that_ends_while_a_fresh_one_is_begun_for_it_leaves_one_behind(
    mortal: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = isolation.set_niceness
    monkeypatch.setattr(isolation, "set_niceness", lambda pid, niceness: niceness > 0 and allowed(pid, niceness))
    async with running(mortal, models.Risk(loading=0.2), niceness=7) as predictor:
        predictor.yield_to_others(yes=True)
        predictor.yield_to_others(yes=False)
        await until(lambda: len(mortal._living) == 2)

        os.kill(pids(predictor)[0], signal.SIGKILL)
        await until(lambda: predictor.work.ends)

        assert await predict(predictor, [GOOD, 0.0]) == Answer(0.07)
        await until(lambda: len(mortal._living) == 1)
        await until(lambda: not predictor._tasks)
        assert niceness(predictor) == [0]
        assert len(mortal._living) == 1


async def test_what_is_closed_yields_to_nobody(nursery: Nursery) -> None:
    async with running(nursery, models.Risk()) as predictor:
        predictor.close()
        predictor.yield_to_others(yes=True)

        assert pids(predictor) == []
