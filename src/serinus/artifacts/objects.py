"""Model files by their SHA-256 in an object store: created once, never changed, checked whenever they are read."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError
from obstore.store import LocalStore, ObjectStore

from serinus.artifacts.digests import digest_of, digits_of
from serinus.artifacts.failures import Cause, is_of_the_object_alone, of_folder
from serinus.core.errors import ArtifactCorrupt, ArtifactMissing, Unavailable

READ_S = 7.0
"""Seconds, retries included, after which a store that does not answer counts as gone."""

_WRITE_S = 15.0
"""The same for a put: SeaweedFS lets those who write one key at once wait a second for each other."""

_SLOWEST = 1_000_000
"""Bytes a second, for whose transfer there is time besides; one that is slower is given up."""

_PUTS = 3
_PROBE = "probe"
"""A key that no artifact has."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What a store did with a probe.

    ``creates_only``: it refused to overwrite it. ``left``: the probe's key, "" if it could be removed again.
    """

    creates_only: bool
    left: str = ""


class ObjectArtifacts:
    """Artifacts in an obstore store, under ``sha256/<first two digits>/<all digits>``.

    Args:
        store: where the files are. The store itself makes a put atomic: nobody sees half a file.
        place: the store's address, for messages to people.
        explain: tells people why the store failed.
    """

    def __init__(self, store: ObjectStore, place: str, explain: Callable[[Exception], Cause] = of_folder) -> None:
        self._store = store
        self._place = place.rstrip("/")
        self._explain = explain

    async def put(self, data: bytes) -> str:
        """Keep the bytes and give their digest; the same bytes again change nothing.

        Raises:
            ArtifactCorrupt: a file of this digest is there, but holds other bytes. Unavailable: the store failed.
        """
        digest = await digest_of(data)
        for _ in range(_PUTS):
            if await self._created(_key(digest), data):
                return digest
            try:
                # A disk that lost power may have left a torn file: registering is rare enough to read it whole.
                await self.get(digest)
            except ArtifactMissing:
                continue  # S3 answers alike when a write met another, or a deletion, and left nothing behind
            return digest
        raise Unavailable(
            f"The artifact store {self._place} did not keep {digest}: others write or delete it at the same time.",
            remedy="Try again when they have done.",
        )

    async def get(self, digest: str) -> bytes:
        """Read the bytes and check them.

        Raises:
            InvalidInput: ``digest`` is none. ArtifactMissing: it is not kept here.
            ArtifactCorrupt: the bytes are not those of the digest. Unavailable: the store failed.
        """
        key = _key(digest)
        data = await self._read(key)
        if data is None:
            raise ArtifactMissing(
                f"The artifact {digest} is not in {self._place}.",
                remedy=f"Restore {self._place}/{key} from a backup, or register the version anew.",
                digest=digest,
            )
        actual = await digest_of(data)
        if actual != digest:
            raise ArtifactCorrupt(
                f"{self._place}/{key} is corrupt: it should be {digest}, but its {len(data)} bytes are {actual}.",
                remedy="Restore that file from a backup, or delete it and register the same model file again.",
                digest=digest,
            )
        return data

    async def size(self, digest: str) -> int | None:
        """Give the size in bytes, None if it is not kept; InvalidInput, Unavailable as in ``get``."""
        key = _key(digest)
        async with self._patience("be read"):
            try:
                return (await obstore.head_async(self._store, key))["size"]
            except (FileNotFoundError, PermissionDeniedError):
                return await self._size_by_reading(key)

    async def ping(self) -> None:
        """Return if the store answers and lets itself be read; Unavailable if not."""
        async with self._patience("be read"):
            if isinstance(self._store, LocalStore):
                # A folder that is gone looks to obstore like one that is empty.
                await asyncio.to_thread(os.listdir, self._store.prefix or Path("/"))
            else:
                await self._size_by_reading(_PROBE)

    async def try_out(self) -> Trial:
        """Put a probe twice, and remove it again; Unavailable if the store cannot be written."""
        key = f"doctor/{uuid4().hex}"
        async with self._patience("be written", _WRITE_S):
            await obstore.put_async(self._store, key, b"Serinus", mode="create")
            try:
                await obstore.put_async(self._store, key, b"Serinus", mode="create")
                creates_only = False
            except AlreadyExistsError:
                creates_only = True
        try:
            async with self._patience("be cleaned up"):
                await obstore.delete_async(self._store, key)
        except Unavailable:
            return Trial(creates_only, left=key)
        return Trial(creates_only)

    async def _created(self, key: str, data: bytes) -> bool:
        """Write an object that is not there yet; False if it is."""
        async with self._patience("be written", _WRITE_S + len(data) / _SLOWEST):
            try:
                await obstore.put_async(self._store, key, data, mode="create")
            except AlreadyExistsError:
                return False
            return True

    async def _read(self, key: str) -> bytes | None:
        async with self._patience("be read"):
            try:
                found = await obstore.get_async(self._store, key)
            except FileNotFoundError as absent:
                if is_of_the_object_alone(absent):
                    return None
                raise
        async with self._patience("be read", READ_S + found.meta["size"] / _SLOWEST):
            return (await found.bytes_async()).to_bytes()

    async def _size_by_reading(self, key: str) -> int | None:
        """Begin to read: S3 says nothing about why it refuses a HEAD, be the object or the whole bucket missing."""
        try:
            return (await obstore.get_async(self._store, key)).meta["size"]
        except FileNotFoundError as absent:
            if is_of_the_object_alone(absent):
                return None
            raise

    @asynccontextmanager
    async def _patience(self, what: str, seconds: float = READ_S) -> AsyncIterator[None]:
        """Give the store so much time, and make Unavailable of every failure of it."""
        try:
            async with asyncio.timeout(seconds):
                yield
        except (BaseError, OSError) as failure:
            cause = self._explain(failure)
            # Not chained: S3 may repeat the request, with a session's token, in its answer.
            raise Unavailable(
                f"The artifact store {self._place} cannot {what}: {cause.what}.", remedy=cause.remedy
            ) from None


def _key(digest: str) -> str:
    digits = digits_of(digest)
    return f"sha256/{digits[:2]}/{digits}"
