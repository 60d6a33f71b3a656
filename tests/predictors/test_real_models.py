"""A model's whole way: packed, kept, loaded, asked."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingClassifier
from tests.formats.samples import heart, heart_with_strings, mixed_pipeline, rows_of

from serinus.artifacts import open_artifacts
from serinus.core.errors import ModelError
from serinus.core.names import VersionRef
from serinus.core.records import ModelVersion, Package, VersionDraft
from serinus.formats import Formats
from serinus.formats.packing import pack
from serinus.predictors.threads import ThreadPredictor, ThreadPredictors

LONG = 60.0


async def started(package: Package, folder: Path) -> ThreadPredictor:
    artifacts = open_artifacts(folder)
    digest = await artifacts.put(package.data)
    draft = VersionDraft("heart", digest, len(package.data), package.format, package.signature, package.examples)
    version = ModelVersion(VersionRef("heart", 1), draft, datetime(2026, 1, 1, tzinfo=UTC))
    return await ThreadPredictors(Formats(), queue=1000).start(version, await artifacts.get(digest))


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
    predictor = await started(package, tmp_path)

    answers = await asyncio.gather(*(predictor.predict(row, LONG) for row in rows_of(frame)))

    assert [answer.prediction for answer in answers] == model.predict(X).tolist()
    confidences = [answer.confidence for answer in answers]
    assert np.allclose(np.array(confidences, dtype=float), model.predict_proba(X).max(axis=1), atol=1e-5)
    predictor.close()


async def test_a_row_that_the_model_cannot_take_is_its_error(tmp_path: Path) -> None:
    _, X, _, package = with_strings()
    predictor = await started(package, tmp_path)

    with pytest.raises(ModelError, match="heart@1 raised ValueError"):
        await predictor.predict(["old", *rows_of(X)[0][1:]], LONG)
    predictor.close()


HANGING = """
import asyncio, threading
from tests.predictors.test_threads import VERSION, Raw
from serinus.core.errors import ModelTimeout
from serinus.predictors.threads import ThreadPredictor

async def main():
    predictor = ThreadPredictor(VERSION, Raw(threading.Event().wait), threads=2, queue=9)
    try:
        await predictor.predict([1.0], 0.05)
    except ModelTimeout:
        print("timed out")

asyncio.run(main())
"""


def test_a_model_that_hangs_does_not_keep_the_process_from_ending() -> None:
    root = Path(__file__).parents[2]

    run = subprocess.run(
        [sys.executable, "-c", HANGING],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=root,
        env={"PYTHONPATH": f"{root / 'src'}:{root}"},
    )

    assert (run.stdout, run.stderr) == ("timed out\n", "")
