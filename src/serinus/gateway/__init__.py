"""The prediction path, and how it keeps up with the board."""

from serinus.gateway.arms import Served
from serinus.gateway.gateway import Gateway, Prediction, Predictions, Rows, prediction_of
from serinus.gateway.requests import Request, Totals, error_kind

__all__ = ["Gateway", "Prediction", "Predictions", "Request", "Rows", "Served", "Totals", "error_kind", "prediction_of"]
