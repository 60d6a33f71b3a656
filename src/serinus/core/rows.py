"""What a model is asked for, in either of its two forms."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from serinus.core.signature import Row

Rows = Sequence[Row] | NDArray[np.float64]
"""Rows; or, for a model that makes floats of all it is given, their matrix, NaN where a value is missing."""
