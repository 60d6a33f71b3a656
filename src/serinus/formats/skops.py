"""The skops format: scikit-learn estimators without pickle. Nothing is built before each type is found trusted."""

from collections.abc import Collection

from serinus.core.errors import FormatRefused
from serinus.formats.structure import check_indices
from serinus.formats.trust import TRUSTED_TYPES


def load(data: bytes, trusted_types: Collection[str]) -> object:
    """Load an estimator; ``trusted_types`` are full names of types beyond scikit-learn's own.

    Raises:
        FormatRefused: the bytes are no skops file, or hold types that are not trusted.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    trusted = TRUSTED_TYPES.union(trusted_types)
    try:
        model: object = skops.io.loads(data, trusted=sorted(trusted))
        check_indices(model)
    except UntrustedTypesFoundException as found:
        unknown = sorted(set(skops.io.get_untrusted_types(data=data)) - trusted)
        raise FormatRefused(
            f"The skops file holds types that are not trusted here: {', '.join(unknown[:20])}.",
            field="format",
            remedy="Build the model from scikit-learn's own parts, export it as ONNX, or, if you trust their code "
            f"and this file, name them in SERINUS_TRUSTED_TYPES={','.join(unknown[:20])}.",
            untrusted=unknown[:20],
        ) from found
    except Exception as failure:
        # A file is no proof of itself: broken zips, schemas and states raise whatever they hit first.
        raise FormatRefused(
            f"The bytes are not a usable skops file: {type(failure).__name__}: {str(failure)[:300]}",
            field="format",
            remedy="Save the fitted estimator with skops.io.dump, or with Serinus's pack().",
        ) from failure
    return model
