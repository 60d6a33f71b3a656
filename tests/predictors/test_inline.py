"""ONNX graphs in the server's own process, made by skl2onnx and run by ONNX Runtime."""

import asyncio
from functools import cache
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from tests import models
from tests.predictors.asking import LONG, Reply, predict, predict_rows, version_of

from serinus.core.answers import Answer
from serinus.core.errors import BadOutput, FormatRefused, ModelError, Overloaded, Unavailable
from serinus.core.records import Package
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.formats import Formats
from serinus.predictors.inline import InlinePredictor, InlinePredictors

NUMBER = Signature((Feature("x", Dtype.FLOAT),), Output(OutputKind.NUMBER))
PLACE = Signature((Feature("place", Dtype.INT),), Output(OutputKind.NUMBER))


@cache
def classifier() -> tuple[Any, Any, Package]:
    """Give a model of scikit-learn, its rows, and the model as a package."""
    model, X = models.classifier()
    rows = X.astype(np.float32)
    signature = Signature(
        (Feature("x0", Dtype.FLOAT), Feature("x1", Dtype.FLOAT)), Output(OutputKind.CLASS, (0, 1), ("well", "ill"))
    )
    return model, rows, Package(to_onnx(model, rows[:1]).SerializeToString(), "onnx", signature)


def graph(*nodes: Any, kind: int, tables: Any = ()) -> bytes:
    made = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info("X", kind, [None, 1])],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, [None, 1])],
        list(tables),
    )
    encoded: bytes = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 15)], ir_version=8
    ).SerializeToString()
    return encoded


def logarithm() -> Package:
    """Give a graph whose answer is no number where x is less than 0."""
    return Package(graph(helper.make_node("Log", ["X"], ["Y"]), kind=TensorProto.FLOAT), "onnx", NUMBER)


def looking_up() -> Package:
    """Give a graph that fails where ``place`` is beyond 2."""
    table = numpy_helper.from_array(np.array([0.5, 1.5, 2.5], dtype=np.float32), "table")
    node = helper.make_node("Gather", ["table", "X"], ["Y"])
    return Package(graph(node, kind=TensorProto.INT64, tables=[table]), "onnx", PLACE)


async def started(package: Package, **limits: int) -> InlinePredictor:
    return await InlinePredictors(Formats(), **limits).start(version_of(package), package.data)


async def test_every_row_gets_the_answer_that_scikit_learn_gives() -> None:
    model, rows, package = classifier()
    predictor = await started(package)

    answers = await asyncio.gather(*(predict(predictor, row) for row in rows.tolist()))

    assert [answer.prediction for answer in answers] == model.predict(rows).tolist()
    confidences = np.array([answer.confidence for answer in answers], dtype=float)
    assert np.allclose(confidences, model.predict_proba(rows).max(axis=1), atol=1e-5)
    assert {answer.prediction_class for answer in answers} == {"well", "ill"}


async def test_requests_of_one_turn_are_one_batch_as_far_as_there_is_room() -> None:
    predictor = await started(logarithm(), batch_rows=4)
    sizes = [3, 1, 2, 9, 2]
    replies = [Reply(predictor, [[1.0]] * size, LONG) for size in sizes]

    assert [len(await reply.answers()) for reply in replies] == sizes
    assert (predictor.work.batches, predictor.work.requests) == (4, 5)


async def test_rows_of_requests_in_one_batch_are_given_back_to_each_of_them() -> None:
    predictor = await started(looking_up())

    answers = await asyncio.gather(
        *(predict_rows(predictor, [[place] for place in places]) for places in ([0, 1], [2], [1, 0]))
    )

    assert answers == [[Answer(0.5), Answer(1.5)], [Answer(2.5)], [Answer(1.5), Answer(0.5)]]
    assert predictor.work.batches == 1


async def test_nothing_is_computed_before_the_turn_is_over() -> None:
    predictor = await started(logarithm())

    reply = Reply(predictor, [[1.0]], LONG)

    assert not reply.settled.done()
    assert await reply.answers() == [Answer(0.0)]


@pytest.mark.parametrize(
    ("package", "good", "bad", "kind"),
    [(logarithm(), 1.0, -1.0, BadOutput), (looking_up(), 1, 9, ModelError)],
    ids=["no answer", "raises"],
)
async def test_a_request_that_fails_costs_no_other_one_of_its_batch_its_answer(
    package: Package, good: float, bad: float, kind: type[Exception]
) -> None:
    predictor = await started(package)

    outcomes = await asyncio.gather(
        *(predict(predictor, [value]) for value in (good, bad, good)), return_exceptions=True
    )

    assert [type(each) for each in outcomes] == [Answer, kind, Answer]
    assert predictor.work.batches == 1


async def test_a_graph_that_fails_is_a_model_error_that_names_its_version() -> None:
    predictor = await started(looking_up())

    with pytest.raises(ModelError, match=r"risk@3 raised .*out of") as failure:
        await predict(predictor, [9])

    assert len(failure.value.message) < 400


async def test_more_requests_in_one_turn_than_the_queue_holds_are_refused() -> None:
    predictor = await started(logarithm(), queue=2)
    replies = [Reply(predictor, [[1.0]], LONG) for _ in range(3)]

    assert [reply.settled.done() for reply in replies] == [False, False, True]
    assert isinstance(await replies[2].failure(), Overloaded)
    assert await replies[1].answers() == [Answer(0.0)]
    assert await predict(predictor, [1.0]) == Answer(0.0)


async def test_a_request_that_is_withdrawn_is_not_begun_and_nobody_is_told() -> None:
    predictor = await started(logarithm())
    withdrawn, other = Reply(predictor, [[1.0]], LONG), Reply(predictor, [[1.0]], LONG)

    withdrawn.ticket.withdraw()

    assert await other.answers() == [Answer(0.0)]
    assert predictor.work.requests == 1
    assert not withdrawn.settled.done()


async def test_what_was_asked_before_it_was_closed_is_answered_and_nothing_after_that() -> None:
    predictor = await started(logarithm())
    asked = Reply(predictor, [[1.0]], LONG)

    predictor.close()
    predictor.close()

    with pytest.raises(Unavailable, match="no longer loaded"):
        await predict(predictor, [1.0])
    assert await asked.answers() == [Answer(0.0)]


async def test_it_can_yield_to_nobody_and_takes_no_harm_from_being_told_to() -> None:
    predictor = await started(logarithm())
    predictor.yield_to_others(yes=True)

    assert await predict(predictor, [1.0]) == Answer(0.0)


async def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(FormatRefused):
        await InlinePredictors(Formats()).start(version_of(logarithm()), b"no graph")
