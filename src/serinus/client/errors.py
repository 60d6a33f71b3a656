"""What can go wrong between a program and a server: the client's branch of the tree of errors."""

from collections.abc import Mapping
from typing import Any

from serinus.core.errors import SerinusError


class UnreachableError(SerinusError):
    """No answer: nobody listens there, the way is broken, or it took too long."""

    code = "SERINUS-UNREACHABLE"
    title = "The server cannot be reached"


class UnexpectedAnswerError(SerinusError):
    """An answer that is not a Serinus server's."""

    code = "SERINUS-UNEXPECTED-ANSWER"
    title = "The answer is not a Serinus server's"


class ApiError(SerinusError):
    """The server says why it did not do it (RFC 9457).

    ``status`` is the HTTP status, ``code`` the stable ``SERINUS-…`` code, ``detail`` what was wrong,
    ``field`` the input it was about, ``remedy`` what to do; ``document`` is the whole problem document.
    """

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        """Read a problem document."""
        self.status = status
        self.document = dict(document)
        self.code = str(document.get("code") or "")
        self.detail = str(document.get("detail") or document.get("title") or f"HTTP status {status}")
        super().__init__(self.detail, field=str(document.get("field") or ""), remedy=str(document.get("remedy") or ""))


class InvalidError(ApiError):
    """400, 413 or 422: the server does not accept the input."""


class NotFoundError(ApiError):
    """404: no such model, version, deployment or rollout."""


class ConflictError(ApiError):
    """409: not possible in the present state, or somebody else changed the deployment first."""
