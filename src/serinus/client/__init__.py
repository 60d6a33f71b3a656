"""Talk to a Serinus server from Python: ``Client``, ``AsyncClient`` for asyncio, and what they give and raise."""

from typing import TYPE_CHECKING

from serinus.client.documents import DocumentClient
from serinus.client.errors import (
    ApiError,
    ConflictError,
    ForbiddenError,
    InvalidError,
    ModelFailedError,
    NotAllowedError,
    NotFoundError,
    OverloadedError,
    StaleGenerationError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
    UnreachableError,
)
from serinus.client.many import PredictionFailure
from serinus.client.synchronous import Client
from serinus.client.way import DEFAULT_URL

if TYPE_CHECKING:
    from serinus.client.asynchronous import AsyncClient

__all__ = [
    "DEFAULT_URL",
    "ApiError",
    "AsyncClient",
    "Client",
    "ConflictError",
    "DocumentClient",
    "ForbiddenError",
    "InvalidError",
    "ModelFailedError",
    "NotAllowedError",
    "NotFoundError",
    "OverloadedError",
    "PredictionFailure",
    "StaleGenerationError",
    "UnauthorizedError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "UnreachableError",
]


def __getattr__(name: str) -> object:
    if name == "AsyncClient":  # asyncio takes longer to import than the rest, and programs that wait do without it
        from serinus.client.asynchronous import AsyncClient

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
