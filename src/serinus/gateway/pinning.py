"""The version that a caller names instead of leaving it to the split."""

from serinus.core.errors import Conflict, NotFound
from serinus.gateway.arms import Arm
from serinus.gateway.served import Served

_SHOWN = 80


def pinned(served: Served, version: str) -> Arm:
    """Give the arm that serves a version, named by its number or as ``model@number``; the baseline's comes first.

    Raises:
        NotFound: neither role has it. Conflict: it is a canary, and the deployment's callers may not choose it.
    """
    canary = served.canary
    if _is(served.baseline, version):
        return served.baseline
    if canary is None or not _is(canary, version):
        raise NotFound(
            f"Deployment {served.state.name!r} does not serve version {version[:_SHOWN]!r}.",
            field="version",
            remedy=f"Versions that can be asked for now: {', '.join(versions(served))}.",
            versions=versions(served),
        )
    if not served.state.settings.allow_forced:
        raise Conflict(
            f"Version {version!r} is the canary of {served.state.name!r}, whose callers may not choose it.",
            field="version",
            remedy="Ask without a version, as the split decides, or allow it: `canary configure NAME --allow-forced`.",
        )
    return canary


def versions(served: Served) -> list[str]:
    """Name the versions that callers may choose, by their numbers where these tell them apart."""
    canary = served.canary if served.state.settings.allow_forced else None
    arms = [arm for arm in (served.baseline, canary) if arm is not None]
    numbers = [number(arm) for arm in arms]
    return numbers if len(set(numbers)) == len(numbers) else [arm.name for arm in arms]


def number(arm: Arm) -> str:
    """Give the number of an arm's version."""
    return str(arm.predictor.version.ref.version)


def _is(arm: Arm, version: str) -> bool:
    return version in {arm.name, number(arm)}
