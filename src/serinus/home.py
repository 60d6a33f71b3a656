"""The home folder of an embedded server: one process at a time, and a key of its own."""

import fcntl
import json
import os
import re
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from serinus.core.errors import InvalidInput, Unavailable

SHORTEST_KEY = 32
"""Characters of a key that was written whole."""

JOURNALS = "journal"
"""The folder in the home of what is logged and not in the store yet."""

_KEY_BYTES = 32
_KEY = re.compile(rb"[0-9a-f]{%d}" % (2 * _KEY_BYTES))


class Home:
    """Holds a folder for one server process; used as a context manager.

    The embedded board lives in one process, so two servers on one home would route by two truths: the second is
    refused. The lock is the operating system's (flock) and goes with the process, however it ends. Servers on a board
    that they share may have one home too: for them it is not ``exclusive``.
    """

    def __init__(self, folder: Path, *, exclusive: bool = True) -> None:
        self.folder = folder
        self._exclusive = exclusive
        self._lock: int | None = None

    def __enter__(self) -> Self:
        """Take the folder, making it if needed; Unavailable if another server has it, or it cannot be written."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.folder / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as trouble:
            raise Unavailable(
                f"The home folder {self.folder} cannot be used: {trouble.strerror}.",
                field="SERINUS_HOME",
                remedy="Set SERINUS_HOME to a folder that this user can write to.",
            ) from trouble
        try:
            fcntl.flock(lock, (fcntl.LOCK_EX if self._exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise Unavailable(
                f"Another server is running on the home folder {self.folder}{self._where()}.",
                field="SERINUS_HOME",
                remedy="Use that one, stop it first, or set SERINUS_HOME to another folder.",
            ) from None
        except OSError as trouble:
            os.close(lock)
            raise Unavailable(
                f"The home folder {self.folder} cannot be locked: {trouble.strerror}.",
                field="SERINUS_HOME",
                remedy="Set SERINUS_HOME to a folder on a local disk.",
            ) from trouble
        self._lock = lock
        (self.folder / "server.json").unlink(missing_ok=True)  # of a server that was killed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give the folder back."""
        (self.folder / "server.json").unlink(missing_ok=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def announce(self, url: str, pid: int | None = None) -> None:
        """Say in ``server.json`` where the server listens, and which process it is, if not this one."""
        self._write("server.json", json.dumps({"url": url, "pid": pid or os.getpid()}) + "\n")

    def hash_key(self) -> bytes:
        """Give the folder's own key for hashing inputs, made at the first start."""
        path = self.folder / "hash.key"
        if not path.exists():
            self._write("hash.key", secrets.token_hex(_KEY_BYTES) + "\n")
        key = path.read_bytes().strip()
        if not _KEY.fullmatch(key):
            raise InvalidInput(
                f"The hash key in {path} is damaged: it is not {2 * _KEY_BYTES} of the digits 0-9 and a-f.",
                field=str(path),
                remedy="Restore it from a backup, or delete it: a new key is made, and old hashes match no new ones.",
            )
        return key

    def _write(self, name: str, text: str) -> None:
        """Write a file that only its owner can read: whole or not at all."""
        fresh = self.folder / f"{name}.{os.getpid()}.new"  # workers of one server write at the same time
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.folder / name)

    def _where(self) -> str:
        try:
            announced = json.loads((self.folder / "server.json").read_text())
            return f", at {announced['url']} (process {announced['pid']})"
        except (OSError, ValueError, TypeError, KeyError):
            return ""
