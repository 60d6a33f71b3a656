"""Model files by their SHA-256 in an object store: created once, never changed, checked whenever they are read."""

import asyncio
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore

from serinus.core.errors import ArtifactCorrupt, ArtifactMissing, InvalidInput, Unavailable

_DIGEST = re.compile(r"sha256:([0-9a-f]{2})([0-9a-f]{62})\Z")
_HASHED_INLINE = 256 * 1024
"""Bytes that are hashed on the event loop: about 0.2 ms, less than a thread costs under load."""


class ObjectArtifacts:
    """Artifacts in an obstore store, under ``sha256/<first two digits>/<all digits>``.

    Args:
        store: where the files are. The store itself makes a put atomic: nobody sees half a file.
        place: the store's address, for messages to people.
    """

    def __init__(self, store: ObjectStore, place: str) -> None:
        self._store = store
        self._place = place.rstrip("/")

    async def put(self, data: bytes) -> str:
        """Keep the bytes and give their digest; the same bytes again change nothing.

        Raises:
            ArtifactCorrupt: a file of this digest is there, but holds other bytes. Unavailable: the store failed.
        """
        digest = await _digest_of(data)
        with self._translated("be written"):
            try:
                await obstore.put_async(self._store, _key(digest), data, mode="create")
            except AlreadyExistsError:
                # A disk that lost power may have left a torn file: registering is rare enough to read it whole.
                await self.get(digest)
        return digest

    async def get(self, digest: str) -> bytes:
        """Read the bytes and check them.

        Raises:
            InvalidInput: ``digest`` is none. ArtifactMissing: it is not kept here.
            ArtifactCorrupt: the bytes are not those of the digest. Unavailable: the store failed.
        """
        key = _key(digest)
        with self._translated("be read"):
            try:
                found = await obstore.get_async(self._store, key)
                data = (await found.bytes_async()).to_bytes()
            except FileNotFoundError:
                raise ArtifactMissing(
                    f"The artifact {digest} is not in {self._place}.",
                    remedy=f"Restore {self._place}/{key} from a backup, or register the version anew.",
                    digest=digest,
                ) from None
        actual = await _digest_of(data)
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
        with self._translated("be read"):
            try:
                return (await obstore.head_async(self._store, key))["size"]
            except FileNotFoundError:
                return None

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as failure:
            raise Unavailable(
                f"The artifact store {self._place} cannot {what}: {_first_line(failure)}",
                remedy="See that it is there, that Serinus may write to it, and that it has room.",
            ) from failure


def open_artifacts(location: str | Path) -> ObjectArtifacts:
    """Open an artifact store: a local folder as a path or ``file://`` URL, made if it is missing.

    Raises:
        InvalidInput: a URL of another kind. Unavailable: the folder cannot be made.
    """
    url = str(location)
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme not in {"", "file"}:
        raise InvalidInput(
            f"{url!r} is no artifact store that Serinus knows.",
            field="artifacts_url",
            remedy="Give a folder, as a path or a file:// URL.",
        )
    try:
        if scheme:
            return ObjectArtifacts(LocalStore.from_url(url, mkdir=True), url)
        folder = Path(location).expanduser().absolute()
        return ObjectArtifacts(LocalStore(folder, mkdir=True), str(folder))
    except (BaseError, OSError) as failure:
        raise Unavailable(
            f"The artifact folder {url} cannot be opened: {_first_line(failure)}",
            remedy="Give a folder that Serinus may write to.",
        ) from failure


def _key(digest: str) -> str:
    match = _DIGEST.match(digest)
    if match is None:
        raise InvalidInput(
            f"{digest[:80]!r} is not the digest of an artifact.",
            field="digest",
            remedy="Write it as sha256: and 64 of the digits 0-9 and a-f.",
        )
    return f"sha256/{match[1]}/{match[1]}{match[2]}"


async def _digest_of(data: bytes) -> str:
    hashed = hashlib.sha256(data) if len(data) <= _HASHED_INLINE else await asyncio.to_thread(hashlib.sha256, data)
    return f"sha256:{hashed.hexdigest()}"


def _first_line(failure: Exception) -> str:
    return str(failure).partition("\n")[0] or type(failure).__name__
