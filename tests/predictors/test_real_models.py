"""A model's whole way: packed, kept, loaded, asked."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingClassifier
from tests.formats.samples import heart, heart_with_strings, mixed_pipeline, rows_of
from tests.predictors.asking import begun_nursery, predict, version_of

from serinus.artifacts import open_artifacts
from serinus.core.errors import ModelError
from serinus.core.records import Package
from serinus.formats.packing import pack
from serinus.predictors.orders import Size
from serinus.predictors.runners import RunnerPredictor, RunnerPredictors


@asynccontextmanager
async def started(package: Package, folder: Path) -> AsyncIterator[RunnerPredictor]:
    artifacts = open_artifacts(folder)
    digest = await artifacts.put(package.data)
    nursery = await begun_nursery()
    predictors = RunnerPredictors(nursery, size=Size(queue=1000))
    predictor = await predictors.start(version_of(package), await artifacts.get(digest))
    try:
        yield predictor
    finally:
        predictor.close()
        nursery.close()


def with_strings() -> tuple[Any, Any, Any, Package]:
    X, y = heart_with_strings()
    model = mixed_pipeline().fit(X, y)
    return model, X, X, pack(model, X)


def as_onnx() -> tuple[Any, Any, Any, Package]:
    X, y = heart()
    table = X.fillna(-1.0).to_numpy(dtype=np.float32)
    model = GradientBoostingClassifier(n_estimators=10).fit(table, y)
    frame = X.fillna(-1.0)
    return model, table, frame, pack(to_onnx(model, table[:1]), frame.assign(num=y), target="num")


@pytest.mark.parametrize("make", [with_strings, as_onnx], ids=["skops", "onnx"])
async def test_every_patient_gets_the_answer_that_scikit_learn_gives(make: Any, tmp_path: Path) -> None:
    model, X, frame, package = make()
    async with started(package, tmp_path) as predictor:
        answers = await asyncio.gather(*(predict(predictor, row) for row in rows_of(frame)))

    assert [answer.prediction for answer in answers] == model.predict(X).tolist()
    confidences = [answer.confidence for answer in answers]
    assert np.allclose(np.array(confidences, dtype=float), model.predict_proba(X).max(axis=1), atol=1e-5)


async def test_a_row_that_the_model_cannot_take_is_its_error(tmp_path: Path) -> None:
    _, X, _, package = with_strings()

    async with started(package, tmp_path) as predictor:
        with pytest.raises(ModelError, match="risk@3 raised ValueError"):
            await predict(predictor, ["old", *rows_of(X)[0][1:]])
