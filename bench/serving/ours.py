"""Serinus as it is run in production: on PostgreSQL, with evidence, metrics and the prediction log, perhaps a canary.

Run as a program it becomes the server: `PORT MODEL FOLDER`, where the model is in the database already.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

NAME = "bench"
PATH = f"/predict/{NAME}"
SHARE = 20.0
PATIENCE_S = 60.0


def nothing(_folder: Path, _model: Path) -> nullcontext[Mapping[str, str]]:
    """Prepare nothing."""
    return nullcontext({})


def answer(given: Any) -> Any:
    """Give the class that an answer names."""
    return given["prediction"]


@contextmanager
def prepared(folder: Path, model: Path, share: float = SHARE, **more: str) -> Iterator[Mapping[str, str]]:
    """Start PostgreSQL, and Redis where SERINUS_REDIS_URL is ``start``; register and deploy the model.

    ``share``: percent of the traffic that a canary gets, 0 for none. ``more`` are settings of the server.

    They run on the core of whoever calls this, which is the load's.
    """
    from tests.services import PostgreSQL, Redis

    with ExitStack() as services:
        postgresql = services.enter_context(PostgreSQL(durable=True))
        settings = {
            "SERINUS_DATABASE_URL": postgresql.url(postgresql.create_database()),
            "SERINUS_HASH_KEY": "no secret at all, but long enough for a key",
            "SERINUS_LOG_FORMAT": "json",
        } | more
        if redis := os.environ.get("SERINUS_REDIS_URL"):
            settings["SERINUS_REDIS_URL"] = services.enter_context(Redis()).url() if redis == "start" else redis
        _deploy(folder, model, settings, share)
        yield settings


def _deploy(folder: Path, model: Path, settings: Mapping[str, str], share: float) -> None:
    """Have a server register the model twice and make the second version a canary, if there is one, and end it."""
    from tests.service import free_ports

    from serinus.client import DocumentClient
    from serinus.core.names import VersionRef

    (port,) = free_ports(1)
    with (folder / "deploying.log").open("wb") as log:
        process = subprocess.Popen(_command(port, folder), env=os.environ | settings, stdout=log, stderr=log)
    try:
        _until_ready(process, port)
        package = _packed(model)
        with DocumentClient(f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as client:
            for _ in range(2):
                client.register_package(NAME, package)
            client.deploy(NAME, VersionRef(NAME, 1), {"auto_promote": False, "auto_rollback": False})
            if share:
                client.start(NAME, 2, share)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _packed(model: Path) -> Any:
    import joblib
    import pandas as pd
    from bench.serving.data import FEATURES, patients

    from serinus.formats.packing import pack

    rows, classes = patients()
    table = pd.DataFrame(rows, columns=list(FEATURES))
    if model.suffix == ".onnx":
        from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature

        kept = tuple(Feature(name, Dtype.FLOAT) for name in FEATURES)
        signature = Signature(kept, Output(OutputKind.CLASS, tuple(sorted(set(classes)))))
        return pack(model, table, signature=signature)
    return pack(joblib.load(model), table)


def _until_ready(process: "subprocess.Popen[bytes]", port: int) -> None:
    import httpx2

    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx2.get(f"http://127.0.0.1:{port}/health/ready", trust_env=False).is_success:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"Serinus is not ready; it ended with {process.poll()}")


def _command(port: int, folder: Path) -> list[str]:
    return [sys.executable, "-m", "serinus", "serve", "--port", str(port), "--home", str(folder / "home")]


if __name__ == "__main__":
    command = _command(int(sys.argv[1]), Path(sys.argv[3]))
    os.execv(command[0], command)  # noqa: S606 - ours, and no shell
