"""A cache on the local disk in front of an artifact store, so that what was loaded once can be loaded without it."""

import asyncio
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from serinus.artifacts.digests import digest_of, digits_of
from serinus.ports import Artifacts

_KEPT = re.compile(r"[0-9a-f]{64}\Z")
_UNFINISHED = ".unfinished"
_ABANDONED_S = 3600.0
"""Age at which an unfinished file is one of a process that died."""


class CachedArtifacts:
    """Artifacts that are read from a folder if they are there, and kept there when they are read.

    What is put and what is asked for its size goes to the inner store always: a file that only this machine has must
    not look available. Processes may share the folder, which holds a file for each artifact, named by its digits.

    Args:
        inner: where the artifacts are.
        folder: made when it is needed. Files in it that the cache did not make stay as they are.
        limit_bytes: least recently used files make room for a new one; a larger file is not kept. 0 keeps none.
        on_trouble: told that nothing can be kept, once until it can be again, and of each damaged file.
    """

    def __init__(self, inner: Artifacts, folder: Path, limit_bytes: int, *, on_trouble: Callable[[str], None]) -> None:
        self._inner = inner
        self._folder = folder
        self._limit = limit_bytes
        self._on_trouble = on_trouble
        self._troubled = False
        self._reading: dict[str, asyncio.Task[bytes]] = {}
        self._writing = threading.Lock()

    async def put(self, data: bytes) -> str:
        return await self._inner.put(data)

    async def size(self, digest: str) -> int | None:
        return await self._inner.size(digest)

    async def ping(self) -> None:
        await self._inner.ping()

    async def get(self, digest: str) -> bytes:
        """Read the bytes, checked, from the folder or else from the inner store; raises what that one raises.

        Whoever asks while they are being read gets the same bytes.
        """
        path = self._folder / digits_of(digest)
        reading = self._reading.get(digest)
        if reading is None:
            reading = asyncio.create_task(self._found(digest, path), name=f"artifact {digest}")
            self._reading[digest] = reading
            reading.add_done_callback(lambda _: self._reading.pop(digest))
        return await asyncio.shield(reading)  # one who goes away takes it from none of the others

    async def _found(self, digest: str, path: Path) -> bytes:
        data = await self._kept(digest, path)
        if data is None:
            data = await self._inner.get(digest)
            await self._keep(path, data)
        return data

    async def _kept(self, digest: str, path: Path) -> bytes | None:
        try:
            data = await asyncio.to_thread(path.read_bytes)
            if await digest_of(data) == digest:
                with suppress(OSError):  # on a read-only disk nothing makes room either
                    os.utime(path)
                return data
            self._on_trouble(f"the cached artifact {path} was damaged; it is read from the store anew")
            await asyncio.to_thread(path.unlink, missing_ok=True)
        except FileNotFoundError:
            pass
        except OSError as trouble:
            self._complain(trouble)
        return None

    async def _keep(self, path: Path, data: bytes) -> None:
        if len(data) > self._limit:
            return
        try:
            await asyncio.to_thread(self._write, path, data)
        except OSError as trouble:
            self._complain(trouble)
        else:
            self._troubled = False

    def _complain(self, trouble: OSError) -> None:
        if not self._troubled:
            self._on_trouble(f"the artifact cache {self._folder} cannot be used: {trouble}")
        self._troubled = True

    def _write(self, path: Path, data: bytes) -> None:
        """Write a file whole or not at all, when there is room for it."""
        with self._writing:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._make_room(len(data))
            descriptor, unfinished = tempfile.mkstemp(suffix=_UNFINISHED, dir=self._folder)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(unfinished).replace(path)
            except BaseException:
                Path(unfinished).unlink(missing_ok=True)
                raise

    def _make_room(self, needed: int) -> None:
        kept: list[tuple[int, int, str]] = []
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process makes room too
                    status = entry.stat(follow_symlinks=False)
                    if _KEPT.match(entry.name) and entry.is_file(follow_symlinks=False):
                        kept.append((status.st_mtime_ns, status.st_size, entry.path))
                    elif entry.name.endswith(_UNFINISHED) and status.st_mtime < time.time() - _ABANDONED_S:
                        Path(entry.path).unlink()
        total = sum(size for _, size, _ in kept)
        for _, size, path in sorted(kept):
            if total + needed <= self._limit:
                return
            Path(path).unlink(missing_ok=True)
            total -= size
