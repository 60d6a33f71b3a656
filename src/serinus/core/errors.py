"""One tree of errors with stable codes; each says what was wrong, with which value, and what to do."""

from collections.abc import Iterable
from typing import ClassVar


class SerinusError(Exception):
    """Something Serinus can explain.

    Args:
        message: what was wrong, naming the value.
        field: the input that was wrong, as the caller wrote it (``features.age``).
        remedy: what the reader can do about it.
        details: further facts for machines; they become members of the problem document.
    """

    code: str = "SERINUS-ERROR"
    title: str = "Serinus could not do this"

    def __init__(self, message: str, *, field: str = "", remedy: str = "", **details: object) -> None:
        """Keep the sentence and its parts."""
        super().__init__(message)
        self.message = message
        self.field = field
        self.remedy = remedy
        self.details = details

    def __str__(self) -> str:
        """Give the message and the remedy as one paragraph."""
        return f"{self.message} {self.remedy}".strip()


class InvalidInput(SerinusError):
    """A value that cannot be accepted."""

    code = "SERINUS-INVALID"
    title = "Invalid input"


class InvalidFeatures(InvalidInput):
    """Features that do not fit the baseline's signature: the caller's error, never a model's."""

    code = "SERINUS-FEATURES"
    title = "The features do not fit the model's signature"


class FormatRefused(InvalidInput):
    """A model format that is unknown or not allowed here."""

    code = "SERINUS-FORMAT"
    title = "Model format refused"


class NotConverted(FormatRefused):
    """A model that could not be turned into another format, or that would answer otherwise in it."""

    code = "SERINUS-CONVERSION"
    title = "The model was not converted"


class ContractBroken(InvalidInput):
    """A model that does not keep the contract of the deployment it is meant for."""

    code = "SERINUS-CONTRACT"
    title = "The model does not keep the deployment's contract"


class NotFound(SerinusError):
    """No such model, version, deployment or rollout."""

    code = "SERINUS-NOT-FOUND"
    title = "Not found"


def no_deployment(name: str) -> NotFound:
    """Give the error for a deployment that does not exist."""
    return NotFound(
        f"There is no deployment {name!r}.",
        field="deployment",
        remedy="See the deployments with `canary status`, or make one with `canary deploy`.",
    )


class Conflict(SerinusError):
    """The request does not fit the present state."""

    code = "SERINUS-CONFLICT"
    title = "Conflict with the present state"


class AlreadyExists(Conflict):
    """The name is taken."""

    code = "SERINUS-EXISTS"
    title = "Already exists"


class NotAllowed(Conflict):
    """The lifecycle does not allow this command in this state."""

    code = "SERINUS-NOT-ALLOWED"
    title = "Not allowed in this state"

    def __init__(self, message: str, *, state: str, possible: Iterable[str]) -> None:
        """Name the state and the commands that are possible in it."""
        self.state = state
        self.possible = tuple(possible)
        super().__init__(
            message,
            remedy=f"Possible now: {', '.join(self.possible)}.",
            state=state,
            possible=list(self.possible),
        )


class StaleGeneration(Conflict):
    """Somebody else changed the deployment first."""

    code = "SERINUS-STALE-GENERATION"
    title = "The deployment has changed meanwhile"


class Deposed(Conflict):
    """A checker that no longer leads tried to change something."""

    code = "SERINUS-DEPOSED"
    title = "Another checker leads"


class KeyReused(Conflict):
    """An Idempotency-Key that was used for something else."""

    code = "SERINUS-KEY-REUSED"
    title = "The idempotency key was used for another request"


def key_reused(key: str) -> KeyReused:
    """Give the error for a key that belongs to another request."""
    return KeyReused(
        f"The Idempotency-Key {key!r} was used for another request.",
        field="Idempotency-Key",
        remedy="Make a new key for each command; send the same one only to repeat the same command.",
    )


class PlatformError(SerinusError):
    """Ours: a store, an artifact or a queue. It never speaks against a model."""

    code = "SERINUS-PLATFORM"
    title = "Serinus has a problem of its own"


class ArtifactCorrupt(PlatformError):
    """An artifact whose bytes are not the ones that were registered."""

    code = "SERINUS-ARTIFACT-CORRUPT"
    title = "Artifact corrupt"


class ArtifactMissing(PlatformError):
    """An artifact that is registered but not in the artifact store."""

    code = "SERINUS-ARTIFACT-MISSING"
    title = "Artifact missing"


class Overloaded(PlatformError):
    """Too many requests are waiting; this one was not begun."""

    code = "SERINUS-OVERLOADED"
    title = "Overloaded"


class Unavailable(PlatformError):
    """Something Serinus depends on does not answer, or Serinus is not ready yet."""

    code = "SERINUS-UNAVAILABLE"
    title = "Unavailable"


class NotificationRefused(PlatformError):
    """A target will not take an event, however often it is told of it."""

    code = "SERINUS-NOTIFICATION-REFUSED"
    title = "Notification refused"


class TargetGone(NotificationRefused):
    """A target wants to be told of nothing any more."""

    code = "SERINUS-TARGET-GONE"
    title = "Notification target gone"


class ModelError(SerinusError):
    """The model raised."""

    code = "SERINUS-MODEL-ERROR"
    title = "The model failed"
    kind: ClassVar[str] = "error"


class ModelTimeout(ModelError):
    """The model did not answer before the deadline."""

    code = "SERINUS-MODEL-TIMEOUT"
    title = "The model did not answer in time"
    kind = "timeout"


class BadOutput(ModelError):
    """The model answered NaN, infinity, a wrong shape or a wrong kind of value."""

    code = "SERINUS-MODEL-OUTPUT"
    title = "The model's answer is not usable"
    kind = "bad_output"
