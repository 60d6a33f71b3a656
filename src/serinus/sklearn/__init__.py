"""Training with scikit-learn and what is like it: a fit becomes a version on a Serinus server.

Needs the extra ``sklearn``. ``RegistryPipeline`` registers what it fits, ``register_on_fit`` what a function returns.
"""

from serinus.sklearn.decorator import register_on_fit
from serinus.sklearn.digests import dataset_digest
from serinus.sklearn.evaluation import Metrics, evaluate_model
from serinus.sklearn.pipeline import RegistryPipeline
from serinus.sklearn.registration import RegistrationFailed
from serinus.sklearn.training import Trained

__all__ = [
    "Metrics",
    "RegistrationFailed",
    "RegistryPipeline",
    "Trained",
    "dataset_digest",
    "evaluate_model",
    "register_on_fit",
]
