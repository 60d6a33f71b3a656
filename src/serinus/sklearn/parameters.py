"""The parameters of an estimator as JSON values, bounded."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

_MOST = 200
"""Parameters that are kept; ``…`` says how many are not."""
_LONGEST = 200
"""Characters of a text, and values of a list."""
_DEEPEST = 3


def parameters_of(estimator: Any) -> dict[str, Any]:
    """Give all parameters, of parts by ``part__name``; an estimator or a function stands by its name."""
    params = estimator.get_params(deep=True) if hasattr(estimator, "get_params") else {}
    told = {str(name): value for name, value in sorted(params.items()) if name not in {"steps", "transformers"}}
    kept = {name: _plain(value, _DEEPEST) for name, value in list(told.items())[:_MOST]}
    return kept if len(told) <= _MOST else {**kept, "…": len(told) - _MOST}


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, str):
        return _cut(value)
    if isinstance(value, Mapping) and depth:
        return {_cut(str(name)): _plain(each, depth - 1) for name, each in list(value.items())[:_LONGEST]}
    if isinstance(value, list | tuple) and depth:
        return [_plain(each, depth - 1) for each in value[:_LONGEST]]
    if isinstance(value, np.ndarray):
        return f"array of shape {value.shape}"
    if hasattr(value, "get_params"):
        return type(value).__name__
    return _cut(getattr(value, "__qualname__", None) or repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
