"""Talk to a Serinus server from Python."""

from serinus.client.errors import (
    ApiError,
    ConflictError,
    InvalidError,
    NotFoundError,
    UnexpectedAnswerError,
    UnreachableError,
)
from serinus.client.sync import DEFAULT_URL, Client

__all__ = [
    "DEFAULT_URL",
    "ApiError",
    "Client",
    "ConflictError",
    "InvalidError",
    "NotFoundError",
    "UnexpectedAnswerError",
    "UnreachableError",
]
