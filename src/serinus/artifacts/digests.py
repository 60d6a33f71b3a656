"""What artifacts are called: the SHA-256 of their bytes, written ``sha256:`` and 64 digits."""

import asyncio
import hashlib
import re

from serinus.core.errors import InvalidInput

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})\Z")
_HASHED_INLINE = 256 * 1024
"""Bytes that are hashed on the event loop: about 0.2 ms, less than a thread costs under load."""


def digits_of(digest: str) -> str:
    """Give the 64 digits of a digest; InvalidInput if it is none."""
    match = _DIGEST.match(digest)
    if match is None:
        raise InvalidInput(
            f"{digest[:80]!r} is not the digest of an artifact.",
            field="digest",
            remedy="Write it as sha256: and 64 of the digits 0-9 and a-f.",
        )
    return match[1]


async def digest_of(data: bytes) -> str:
    """Compute the digest of the bytes; the event loop stays free."""
    hashed = hashlib.sha256(data) if len(data) <= _HASHED_INLINE else await asyncio.to_thread(hashlib.sha256, data)
    return f"sha256:{hashed.hexdigest()}"
