"""The prediction path, and how it keeps up with the board."""

from serinus.gateway.gateway import Gateway, Prediction, Predictions, Rows, Totals
from serinus.gateway.recording import error_kind

__all__ = ["Gateway", "Prediction", "Predictions", "Rows", "Totals", "error_kind"]
