"""The process that runs one model version: it loads the model, answers batches, and knows nothing else.

It is a copy of the nursery, which has imported what the model needs, and holds two files: its socket and the artifact.
"""

import gc
import mmap
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NoReturn

import msgspec
import numpy as np

from serinus.core.answers import RawOutput, read_columns
from serinus.core.errors import BadOutput, ModelError, SerinusError
from serinus.core.rows import Rows
from serinus.core.signature import Output, Signature
from serinus.formats import Formats, shortcuts, threads
from serinus.ports import Model
from serinus.predictors import frames
from serinus.predictors.frames import BAD, Outcome

_MESSAGE = 300
"""Characters kept of what a model says when it raises."""
_CHUNK = 1 << 16
OUT_OF_MEMORY = 86
"""The exit code of a runner that has no memory left, and so begins anew."""


_UNSPEAKABLE = (OverflowError, UnicodeEncodeError)
"""Whole numbers of more than 64 bits, and half a surrogate pair."""


_UNPROVEN = Outcome("unproven")


def run(link: socket.socket, artifact: int, *, offline: bool) -> NoReturn:
    """Answer until the gateway hangs up."""
    reader = frames.Reader()
    incoming = _frames(link, reader)
    first = next(incoming, None)
    if first is None:  # nobody waits for the model any more
        os._exit(0)
    order = frames.order(first[3])
    signature = Signature.decoded(order.signature)
    try:
        model = _loaded(order, signature, artifact)
    except SerinusError as failure:
        said = frames.Refused(failure.code, failure.message, failure.field, failure.remedy)
        link.sendall(frames.frame(0, frames.REFUSED, said))
        os._exit(1)
    shortcuts.take_arrays_for_arrays()
    gc.collect()
    gc.freeze()
    link.sendall(frames.frame(0, frames.LOADED, frames.Loaded(bool(getattr(model, "takes_matrix", False)), offline)))
    work = _Work(order.label, model, signature.output, len(signature.features))
    for number, kind, requests, content in incoming:
        link.sendall(work.answered(number, kind, requests, content))
        if work.exhausted:
            os._exit(OUT_OF_MEMORY)
    os._exit(0)


def _frames(link: socket.socket, reader: frames.Reader) -> Iterator[tuple[int, int, int, memoryview]]:
    while data := link.recv(_CHUNK):
        yield from reader.fed(data)


def _loaded(order: frames.Order, signature: Signature, artifact: int) -> Model:
    threads.allow(order.threads)
    formats = Formats(
        allow_pickle=order.allow_pickle,
        trusted_types=order.trusted_types,
        allow_torchscript=order.allow_torchscript,
    )
    try:
        with mmap.mmap(artifact, 0, access=mmap.ACCESS_READ) as data:
            content = data[:]
        os.close(artifact)
        return formats.load(content, order.format, signature)
    except SerinusError:
        raise
    except BaseException as failure:  # a model's own code may raise anything, sys.exit() included
        raise ModelError(f"{order.label} could not be loaded: {said_by(failure)}") from failure


class _Work:
    """Answers batches with a model."""

    def __init__(self, label: str, model: Model, output: Output, width: int) -> None:
        self._label = label
        self._model = model
        self._output = output
        self._width = width
        self._proven = False
        """Whether the model was seen to give one answer for one row, without which no batch says anything."""
        self.exhausted = False

    def answered(self, number: int, kind: int, requests: int, content: memoryview) -> bytes:
        """Answer a batch: all at once, or, where that fails, request by request, so that each has its own outcome."""
        rows: Rows
        if kind == frames.MATRIX:
            counts, rows = frames.as_matrix(content, requests, self._width)
        else:
            counts, rows = frames.as_rows(content)
        begun = time.perf_counter_ns()
        whole = self._outcome(rows) if requests == 1 or self._proven else _UNPROVEN
        if not whole.failure:
            self._proven = True
            said = frames.Answers(time.perf_counter_ns() - begun, whole.predictions, whole.classes, whole.confidences)
            with suppress(*_UNSPEAKABLE):
                answer = frames.frame(number, frames.ANSWERS, said)
                if len(answer) <= frames.LARGEST:
                    return answer
        each = [whole] if requests == 1 else [self._outcome(part) for part in _parted(rows, counts)]
        self._proven = all(outcome.failure != BAD for outcome in each) and any(not outcome.failure for outcome in each)
        took_ns = time.perf_counter_ns() - begun
        room = frames.LARGEST // (2 * requests)
        said_each = [_speakable(outcome, room) for outcome in each]
        return frames.frame(number, frames.OUTCOMES, frames.Outcomes(took_ns, said_each, self.exhausted))

    def _outcome(self, rows: Rows) -> Outcome:
        try:
            raw: object = self._model.predict(rows)
        except MemoryError as failure:
            self.exhausted = True
            return Outcome("error", f"{self._label} raised {said_by(failure)}")
        except BaseException as failure:  # noqa: BLE001 - a model that calls sys.exit() ends itself, not its process
            return Outcome("error", f"{self._label} raised {said_by(failure)}")
        if not isinstance(raw, RawOutput):
            return Outcome(BAD, f"The model answered with a {type(raw).__name__}.")
        try:
            return Outcome("", "", *read_columns(raw, self._output, len(rows)))
        except BadOutput as failure:
            return Outcome(BAD, failure.message)
        except Exception as failure:  # noqa: BLE001 - whatever cannot be read is no answer
            return Outcome(BAD, f"The model's answer cannot be read: {said_by(failure)}")


def _speakable(outcome: Outcome, room: int) -> Outcome:
    try:
        size = len(msgspec.msgpack.encode(outcome))
    except _UNSPEAKABLE as failure:
        return Outcome(BAD, f"The model's answer cannot be handed over: {said_by(failure)}")
    if size > room:
        return Outcome(BAD, f"The model's answer has {size} bytes, more than can be handed over.")
    return outcome


def _parted(rows: Rows, counts: Sequence[int]) -> Iterator[Rows]:
    begin = 0
    for count in counts:
        part = rows[begin : begin + count]
        yield part.copy() if isinstance(part, np.ndarray) else part
        begin += count


def said_by(failure: BaseException) -> str:
    """Give the kind of an exception and the beginning of what it says."""
    try:
        text = str(failure)
    except Exception:  # noqa: BLE001 - an exception of a model may not even print
        text = ""
    text = text.encode(errors="backslashreplace").decode()
    short = text if len(text) <= _MESSAGE else text[: _MESSAGE - 1] + "…"
    return f"{type(failure).__name__}: {short}" if short else type(failure).__name__


def quiet_standard_files() -> None:
    """Read nothing, and write to where the server writes what goes wrong."""
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    sys.stdout.flush()
