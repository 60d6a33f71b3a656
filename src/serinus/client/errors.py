"""What can go wrong between a program and a server: the client's branch of the tree of errors."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from serinus.core.errors import SerinusError


class UnreachableError(SerinusError):
    """No answer: nobody listens there, the way is broken, or it took too long.

    ``sent`` is false where the server has certainly not seen the request.
    """

    code = "SERINUS-UNREACHABLE"
    title = "The server cannot be reached"

    def __init__(self, message: str, *, field: str = "", remedy: str = "", sent: bool = True) -> None:
        super().__init__(message, field=field, remedy=remedy)
        self.sent = sent


class UnexpectedAnswerError(SerinusError):
    """An answer that is not a Serinus server's."""

    code = "SERINUS-UNEXPECTED-ANSWER"
    title = "The answer is not a Serinus server's"


class ApiError(SerinusError):
    """The server says why it did not do it (RFC 9457).

    ``status`` is the HTTP status, ``code`` the stable ``SERINUS-…`` code, ``detail`` what was wrong,
    ``field`` the input it was about, ``remedy`` what to do; ``document`` is the whole problem document.
    ``retry_after_s`` are the seconds after which the server asks to be tried again, None where it does not.
    """

    def __init__(self, status: int, document: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        """Read a problem document."""
        self.status = status
        self.document = dict(document)
        self.retry_after_s = retry_after_s
        self.code = str(document.get("code") or "")
        self.detail = str(document.get("detail") or document.get("title") or f"HTTP status {status}")
        super().__init__(self.detail, field=str(document.get("field") or ""), remedy=str(document.get("remedy") or ""))

    def __reduce__(self) -> tuple[type["ApiError"], tuple[int, dict[str, Any], float | None]]:
        """Let it be told of from one process to another."""
        return type(self), (self.status, self.document, self.retry_after_s)


class InvalidError(ApiError):
    """400, 413 or 422: the server does not accept the input."""


class UnauthorizedError(ApiError):
    """401: who asks is not known; see ``token``."""


class ForbiddenError(ApiError):
    """403: who asks has no permission."""


class NotFoundError(ApiError):
    """404: no such model, version, deployment or rollout."""


class ConflictError(ApiError):
    """409: not possible in the present state, or somebody else changed the deployment first."""


class StaleGenerationError(ConflictError):
    """409: the deployment is no longer at the generation that was expected."""


class NotAllowedError(ConflictError):
    """409: the life cycle does not allow this command now."""

    @property
    def state(self) -> str:
        """The state that the deployment is in."""
        return str(self.document.get("state") or "")

    @property
    def possible(self) -> tuple[str, ...]:
        """The commands that are possible in it."""
        return tuple(map(str, self.document.get("possible") or ()))


class ModelFailedError(ApiError):
    """500 or 504: no model gave an answer that can be used; ``code`` tells a failure from silence."""


class UnavailableError(ApiError):
    """503: something that the server rests on does not answer, or it is not ready; see ``retry_after_s``."""


class OverloadedError(UnavailableError):
    """503: too many requests are waiting, and this one was not begun; see ``retry_after_s``."""


_BY_CODE: dict[str, type[ApiError]] = {
    "SERINUS-STALE-GENERATION": StaleGenerationError,
    "SERINUS-NOT-ALLOWED": NotAllowedError,
    "SERINUS-OVERLOADED": OverloadedError,
    "SERINUS-MODEL-ERROR": ModelFailedError,
    "SERINUS-MODEL-TIMEOUT": ModelFailedError,
    "SERINUS-MODEL-OUTPUT": ModelFailedError,
}
_BY_STATUS: dict[int, type[ApiError]] = {
    HTTPStatus.BAD_REQUEST: InvalidError,
    HTTPStatus.UNAUTHORIZED: UnauthorizedError,
    HTTPStatus.FORBIDDEN: ForbiddenError,
    HTTPStatus.NOT_FOUND: NotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: InvalidError,
    HTTPStatus.UNPROCESSABLE_ENTITY: InvalidError,
    HTTPStatus.SERVICE_UNAVAILABLE: UnavailableError,
}


def api_error(status: int, document: Mapping[str, Any], retry_after_s: float | None = None) -> ApiError:
    """Give a problem document as the error that its code stands for, else as that of its status."""
    kind = _BY_CODE.get(str(document.get("code"))) or _BY_STATUS.get(status, ApiError)
    return kind(status, document, retry_after_s)
