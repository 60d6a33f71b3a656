"""Fits the model that every server has, in the environment that runs this: `python -m bench.serving.fit MODEL`.

Where two environments have the same scikit-learn and numpy, as by their locks, they get the same model.
"""

import sys

import joblib
import numpy as np
from bench.serving.data import patients
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

SEED = 0


def fitted() -> Pipeline:
    """Fit it on all patients; it is there to be asked, not to be judged."""
    X, y = patients()
    return make_pipeline(StandardScaler(), GradientBoostingClassifier(random_state=SEED)).fit(np.array(X), np.array(y))


if __name__ == "__main__":
    joblib.dump(fitted(), sys.argv[1])
