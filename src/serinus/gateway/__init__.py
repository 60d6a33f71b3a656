"""The prediction path, and how it keeps up with the board."""

from serinus.gateway.asking import error_kind
from serinus.gateway.gateway import Gateway, Prediction, Predictions, Rows, prediction_of
from serinus.gateway.requests import Request, Totals
from serinus.gateway.served import Served

__all__ = ["Gateway", "Prediction", "Predictions", "Request", "Rows", "Served", "Totals", "error_kind", "prediction_of"]
