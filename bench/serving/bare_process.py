"""The limit of a model in a process of its own: the leanest HTTP server, and a socket to another process that predicts.

What waits while the model works is its next batch, as with Serinus; `bare-process-single` sends one row at a time.
`PORT MODEL FOLDER [single]`.
"""

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Callable

import numpy as np
from bench.serving.bare_http import Row, serve
from bench.serving.data import FEATURES
from bench.serving.predictor import load

_WIDTH = 8 * len(FEATURES)
_MOST = 64
_row = struct.Struct(f"<{len(FEATURES)}d").pack
_CHUNK = 1 << 20


def predict_for_ever(link: socket.socket, model: str) -> None:
    """Answer rows of float64 by classes of int64; the rows that come together are one batch."""
    predict = load(model)
    held = b""
    while data := link.recv(_CHUNK):
        held += data
        whole = len(held) - len(held) % _WIDTH
        if whole:
            rows = np.frombuffer(held[:whole]).reshape(-1, len(FEATURES))
            link.sendall(np.asarray(predict(rows), dtype=np.int64).tobytes())
            held = held[whole:]


class Asking:
    """Hands rows to the other process, and its answers to those who asked."""

    def __init__(self, link: socket.socket, most: int) -> None:
        self._link = link
        self._most = most
        self._waiting: list[tuple[Row, Callable[[int], None]]] = []
        self._asked: list[Callable[[int], None]] = []
        self._answers = b""
        self._is_listening = False
        self._is_due = False

    def __call__(self, row: Row, tell: Callable[[int], None]) -> None:
        """Ask for a row."""
        self._waiting.append((row, tell))
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._is_due = False
        if not self._is_listening:
            self._is_listening = True
            asyncio.get_running_loop().add_reader(self._link.fileno(), self._hear)
        if self._waiting and not self._asked:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            self._asked = [tell for _, tell in batch]
            self._link.sendall(b"".join([_row(*row) for row, _ in batch]))

    def _hear(self) -> None:
        self._answers += self._link.recv(_CHUNK)
        if len(self._answers) == 8 * len(self._asked):
            classes = np.frombuffer(self._answers, dtype=np.int64).tolist()
            asked, self._asked, self._answers = self._asked, [], b""
            self._send()
            for tell, predicted in zip(asked, classes, strict=True):
                tell(predicted)


def main(port: int, model: str, *, single: bool) -> None:
    """Serve, with the model in a child."""
    ours, its = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        predict_for_ever(its, model)
        os._exit(0)
    its.close()
    serve(port, Asking(ours, 1 if single else _MOST))


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], single="single" in sys.argv[4:])
