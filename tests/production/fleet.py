"""Serinus as a team runs it: gateways and checkers as processes of their own, on PostgreSQL, Redis and S3."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests import models
from tests.server import Server, start
from tests.services import S3

QUICK = {
    "SERINUS_ALLOW_PICKLE": "true",
    "SERINUS_CHECK_INTERVAL": "0.2",
    "SERINUS_EVIDENCE_INTERVAL": "0.05",
    "SERINUS_LOG_INTERVAL": "0.02",
    "SERINUS_LOG_FORMAT": "text",
    "SERINUS_HASH_KEY": "the same for all of the gateways",
}
"""Settings under which little has to be waited for."""


@dataclass
class Fleet:
    """Servers that share a store, a board and artifacts, each with a home of its own."""

    folder: Path
    settings: dict[str, str]
    servers: list[Server] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @classmethod
    def on(cls, folder: Path, *, database: str, redis: str, s3: S3, **more: str) -> "Fleet":
        """Give a fleet on these services, without servers yet."""
        settings = QUICK | {
            "SERINUS_DATABASE_URL": database,
            "SERINUS_REDIS_URL": redis,
            "SERINUS_ARTIFACTS_URL": s3.url,
            "SERINUS_S3_ENDPOINT": s3.endpoint,
            "SERINUS_S3_REGION": s3.region,
            "SERINUS_S3_ACCESS_KEY_ID": s3.access_key,
            "SERINUS_S3_SECRET_ACCESS_KEY": s3.secret_key,
        }
        return cls(folder, settings | more)

    def gateway(self, *arguments: str, home: Path | None = None, **more: str) -> Server:
        """Start a gateway without a checker, and give it when it is ready."""
        return self._ready(self._begun(home or self._home("gateway"), "--no-checker", *arguments, **more))

    def gateways(self, number: int, *arguments: str, **more: str) -> list[Server]:
        """Start several gateways at once."""
        homes = [self._home("gateway") for _ in range(number)]
        begun = [self._begun(home, "--no-checker", *arguments, **more) for home in homes]
        return [self._ready(each) for each in begun]

    def whole(self, *arguments: str, **more: str) -> Server:
        """Start a server that serves and judges, and give it when it is ready."""
        return self._ready(self._begun(self._home("server"), *arguments, **more))

    def checker(self, *arguments: str, **more: str) -> Server:
        """Start a checker of its own, and give it when it is ready."""
        return self._ready(self._begun(self._home("checker"), *arguments, command="check", **more))

    def register(self, server: Server, *versions: object, name: str = "risk") -> None:
        """Register models as the next versions of ``name``."""
        with server.client() as client:
            for version in versions:
                models.register(client, name, version)

    def begin(self, name: str, *arguments: str, **more: str) -> Server:
        """Start a server on a home of that name, and give it at once, ready or not."""
        return self._begun(self.folder / name, *arguments, **more)

    def _home(self, kind: str) -> Path:
        return self.folder / f"{kind}-{next(self._numbers)}"

    def _begun(self, home: Path, *arguments: str, command: str = "serve", **more: str) -> Server:
        server = start(home, *arguments, command=command, **self.settings | more)
        self.servers.append(server)
        return server

    def _ready(self, server: Server) -> Server:
        server.wait_until_ready()
        return server

    def close(self) -> None:
        """End every server at once."""
        for server in self.servers:
            server.kill()


@contextmanager
def closing(fleet: Fleet) -> Iterator[Fleet]:
    """Give a fleet whose servers end with the block."""
    try:
        yield fleet
    finally:
        fleet.close()
