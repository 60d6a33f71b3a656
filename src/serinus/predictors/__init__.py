"""Predictors: one model version each, ready to answer."""

from serinus.core.endpoint import REMOTE_FORMAT
from serinus.core.records import ModelVersion
from serinus.ports import Predictor, PredictorFactory

__all__ = ["Predictors"]


class Predictors:
    """Makes predictors: for a remote version one that asks its engine, for any other one that runs it here."""

    def __init__(self, local: PredictorFactory, remote: PredictorFactory) -> None:
        self._local = local
        self._remote = remote

    async def start(self, version: ModelVersion, artifact: bytes) -> Predictor:
        """Make a version ready; raises what the factory of its format raises."""
        factory = self._remote if version.draft.format == REMOTE_FORMAT else self._local
        return await factory.start(version, artifact)
