"""The types that skops may load: what scikit-learn's own fitted estimators are made of.

skops trusts scikit-learn's public estimators, numpy's arrays and ufuncs by itself. This list is what fitting the
estimators of scikit-learn 1.9 adds to them; ``tests/formats/test_skops.py`` fits them again and says what lacks.
None of these types runs code of the file's choosing. What is left out on purpose: every function that a file could
name (``FunctionTransformer``) other than those below, and types whose compiled code believes raw indices that
``structure.check_indices`` does not check (SplineTransformer's BSpline).
"""

_MODULES: dict[str, tuple[str, ...]] = {
    "numpy": ("dtype",),
    "functools": ("partial",),  # of functions that are themselves trusted
    "sklearn._loss.loss": ("HalfTweedieLoss", "HalfTweedieLossIdentity"),
    "sklearn.calibration": ("_CalibratedClassifier", "_SigmoidCalibration", "_TemperatureScaling"),
    "sklearn.compose._column_transformer": ("make_column_selector",),
    "sklearn.ensemble._hist_gradient_boosting.predictor": ("TreePredictor",),
    "sklearn.feature_selection._mutual_info": ("mutual_info_classif", "mutual_info_regression"),
    "sklearn.feature_selection._univariate_selection": ("chi2", "f_classif", "f_regression", "r_regression"),
    "sklearn.gaussian_process._gpc": ("_BinaryGaussianProcessClassifierLaplace",),
    "sklearn.gaussian_process.kernels": (
        "CompoundKernel",
        "ConstantKernel",
        "DotProduct",
        "ExpSineSquared",
        "Exponentiation",
        "Matern",
        "Product",
        "RBF",
        "RationalQuadratic",
        "Sum",
        "WhiteKernel",
    ),
    "sklearn.impute._iterative": ("IterativeImputer", "_ImputerTriplet"),
    "sklearn.metrics._classification": ("accuracy_score", "balanced_accuracy_score"),
    "sklearn.metrics._dist_metrics": ("ChebyshevDistance64", "EuclideanDistance64", "ManhattanDistance64"),
    "sklearn.metrics._scorer": ("_CurveScorer", "_PassthroughScorer", "_Scorer"),
    "sklearn.model_selection._split": ("KFold", "StratifiedKFold", "TimeSeriesSplit"),
    "sklearn.neighbors._ball_tree": ("BallTree",),
    "sklearn.neighbors._kd_tree": ("KDTree",),
    "sklearn.neural_network._stochastic_optimizers": ("AdamOptimizer", "SGDOptimizer"),
    "sklearn.tree._tree": ("Tree",),
    "sklearn.utils._bunch": ("Bunch",),
    "sklearn.utils._metadata_requests": ("MetadataRequest", "MethodMetadataRequest"),
    "sklearn.utils.validation": ("check_array",),
}

TRUSTED_TYPES = frozenset(f"{module}.{name}" for module, names in _MODULES.items() for name in names)
"""Full names, as skops writes them."""
