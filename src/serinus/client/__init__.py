"""Talk to a Serinus server from Python."""

from serinus.client.documents import DEFAULT_URL, DocumentClient
from serinus.client.errors import (
    ApiError,
    ConflictError,
    InvalidError,
    NotFoundError,
    UnexpectedAnswerError,
    UnreachableError,
)

__all__ = [
    "DEFAULT_URL",
    "ApiError",
    "ConflictError",
    "DocumentClient",
    "InvalidError",
    "NotFoundError",
    "UnexpectedAnswerError",
    "UnreachableError",
]
