"""Whether a canary may stand in for a baseline: same inputs, same kind of output."""

from serinus.core.errors import ContractBroken
from serinus.core.signature import NUMERIC, Signature


def check_contract(baseline: Signature, canary: Signature) -> tuple[str, ...]:
    """Check that a canary takes the baseline's inputs and gives the same kind of output.

    Returns:
        Warnings: differences that do not stop a rollout, but that its owner should know.

    Raises:
        ContractBroken: other features, other kinds of values, or another kind of output.
    """
    ours, theirs = {f.name: f for f in baseline.features}, {f.name: f for f in canary.features}
    remedy = "Register a version with the baseline's features and output, or make a deployment of its own for it."
    if set(ours) != set(theirs):
        lacks, adds = sorted(set(ours) - set(theirs)), sorted(set(theirs) - set(ours))
        parts = [f"lacks {', '.join(lacks)}"] * bool(lacks) + [f"wants {', '.join(adds)} besides"] * bool(adds)
        raise ContractBroken(f"The canary's features differ: it {' and '.join(parts)}.", field="version", remedy=remedy)
    for name, feature in ours.items():
        other = theirs[name]
        if feature.dtype is not other.dtype and not {feature.dtype, other.dtype} <= NUMERIC:
            raise ContractBroken(
                f"The canary takes {name} as {other.dtype}, the baseline as {feature.dtype}.",
                field="version",
                remedy=remedy,
            )
    if baseline.output.kind is not canary.output.kind:
        raise ContractBroken(
            f"The canary predicts a {canary.output.kind}, the baseline a {baseline.output.kind}.",
            field="version",
            remedy=remedy,
        )
    known, answered = set(baseline.output.classes), set(canary.output.classes)
    if known and answered and not known & answered:
        raise ContractBroken(
            f"The canary answers with classes {list(canary.output.classes)}, none of which is one of the baseline's "
            f"{list(baseline.output.classes)}.",
            field="version",
            remedy=remedy,
        )
    warnings = [
        f"{name} may be missing, but never was in the canary's training data"
        for name, feature in ours.items()
        if feature.nullable and not theirs[name].nullable
    ]
    if known != answered:
        warnings.append(
            f"the canary's classes {list(canary.output.classes)} are not the baseline's {list(baseline.output.classes)}"
        )
    return tuple(warnings)
