"""Predictors: one model version each, ready to answer."""

from serinus.core.endpoint import REMOTE_FORMAT
from serinus.core.records import ModelVersion
from serinus.ports import Predictor, PredictorFactory

__all__ = ["Predictors"]

_ONNX = "onnx"


class Predictors:
    """Makes predictors: for a remote version one that asks its engine, for any other one that runs it on this machine.

    ``inline`` makes those of ONNX graphs, where an operator wants them in the server's own process.
    """

    def __init__(
        self, local: PredictorFactory, remote: PredictorFactory, inline: PredictorFactory | None = None
    ) -> None:
        self._local = local
        self._remote = remote
        self._inline = inline

    async def start(self, version: ModelVersion, artifact: bytes) -> Predictor:
        """Make a version ready; raises what the factory of its format raises."""
        return await self._factory(version.draft.format).start(version, artifact)

    def _factory(self, format: str) -> PredictorFactory:  # noqa: A002 - the port's word
        if format == REMOTE_FORMAT:
            return self._remote
        return self._inline if self._inline is not None and format == _ONNX else self._local
