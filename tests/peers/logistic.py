"""A model that an MLServer serves in tests; it runs in MLServer's environment, where Serinus is not."""

import asyncio
from typing import Any

import numpy as np
from mlserver import MLModel  # type: ignore[import-not-found]  # its environment has it
from mlserver.codecs import NumpyCodec  # type: ignore[import-not-found]  # its environment has it
from mlserver.types import InferenceRequest, InferenceResponse  # type: ignore[import-not-found]  # its environment has it


class Logistic(MLModel):  # type: ignore[misc]  # likewise
    """Answers as the ``Served`` of its settings says."""

    async def load(self) -> bool:
        self._about: dict[str, Any] = self.settings.parameters.extra
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        about = self._about
        if about["seconds"]:
            await asyncio.sleep(about["seconds"])
        if about["behaviour"] == "raises":
            message = "the weights are gone"
            raise ArithmeticError(message)
        tensors = {tensor.name: np.asarray(NumpyCodec.decode_input(tensor), dtype=float) for tensor in payload.inputs}
        if about["layout"] == "columns":
            rows = np.column_stack([tensors["age"].ravel(), tensors["chol"].ravel()])
        else:
            rows = tensors["rows"]
        chances = 1.0 / (1.0 + np.exp(-(rows @ np.asarray(about["weights"]) + about["bias"])))
        classes = (chances > 0.5).astype(np.int64)
        if about["behaviour"] == "nan":
            chances = chances * np.nan
        elif about["behaviour"] == "short":
            classes, chances = classes[:0], chances[:0]
        elif about["behaviour"] == "odd":
            classes = classes + 7
        wanted = [output.name for output in payload.outputs or []] or ["predict"]
        outputs = {"predict": classes.reshape(-1, 1), "predict_proba": np.column_stack([1.0 - chances, chances])}
        return InferenceResponse(
            id=payload.id,
            model_name=self.name,
            model_version=self.version,
            outputs=[NumpyCodec.encode_output(name, outputs[name]) for name in wanted],
        )
