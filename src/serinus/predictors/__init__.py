"""Predictors: one model version each, ready to answer."""
