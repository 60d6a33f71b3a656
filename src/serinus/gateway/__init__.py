"""The prediction path, and how it keeps up with the board."""

from serinus.gateway.gateway import Gateway, Prediction, Totals, error_kind

__all__ = ["Gateway", "Prediction", "Totals", "error_kind"]
