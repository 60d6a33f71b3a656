"""Keeps the processes of one server running: each that dies is replaced, a hang-up replaces all of them.

Nothing here waits for a single worker: each says by itself that it lives, so a silent one delays neither the others nor
the end of the server.
"""

import multiprocessing
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from threading import Thread

import uvicorn

from serinus.assembly import logger
from serinus.core.errors import Unavailable
from serinus.http.draining import DrainingServer

PATIENCE_S = 30.0
"""How long a worker may be silent, or a worker that replaces another one starting, before it is ended."""

_BEAT_S = 0.5
_FIRST_BEATS_S = 0.05
_TURN_S = 0.25
_LONGEST_PAUSE_S = 30.0

# A worker begins as a copy of a process that has imported everything already, where copies are safe.
_PROCESSES = (
    multiprocessing.get_context("forkserver") if sys.platform == "linux" else multiprocessing.get_context("spawn")
)
_IMPORTED = ["serinus.http.serving"]


def keep_running(config: uvicorn.Config, listener: socket.socket, *, number: int, ending_s: float) -> None:
    """Serve in ``number`` processes until told to end, and end them.

    Args:
        config: what each serves; its app is a factory that can be pickled. listener: is listening already.
        ending_s: how long a worker that was told to end may take.

    Raises:
        Unavailable: the first workers could not start; each has said why.
    """
    _PROCESSES.set_forkserver_preload(_IMPORTED)
    workers = _Workers(lambda: _Worker(config, listener), number, ending_s)
    signal.signal(signal.SIGTERM, lambda *_: workers.end())
    signal.signal(signal.SIGINT, lambda *_: workers.end())
    signal.signal(signal.SIGHUP, lambda *_: workers.renew())
    workers.run()


class _Worker:
    """A process that serves, and what is known of it from outside."""

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        self._beats, beats = _PROCESSES.Pipe(duplex=False)
        with beats:  # its own copy is the only one that stays open
            self._process = _PROCESSES.Process(target=_work, args=(config, listener, beats))
            self._process.start()
        self.begun_at = time.monotonic()
        self.silent_s = 0.0
        self.is_ready = False
        self._was_told = False

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def sentinel(self) -> int:
        """What can be read from when it has ended."""
        return self._process.sentinel

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    @property
    def has_failed(self) -> bool:
        """Whether it ended by itself, and not well."""
        return (self._process.exitcode or 0) > 0

    @property
    def ending(self) -> str:
        code = self._process.exitcode or 0
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def listen(self, passed_s: float) -> None:
        """Hear what it said in the time that passed."""
        self.silent_s += passed_s
        with suppress(EOFError, OSError):  # it is dead
            while self._beats.poll():
                self.is_ready = self._beats.recv()
                self.silent_s = 0.0

    def terminate(self) -> None:
        """Tell it to end, once: told twice it would not wait for its drain delay."""
        if not self._was_told:
            self._was_told = True
            self._process.terminate()

    def kill(self) -> None:
        self._process.kill()
        self._process.join()


def _work(config: uvicorn.Config, listener: socket.socket, beats: "Connection[bool, bool]") -> None:
    server = DrainingServer(config)
    Thread(target=_beat, args=(server, beats), daemon=True).start()
    with suppress(KeyboardInterrupt):  # uvicorn has drained, and raises the signal once more
        server.run(sockets=[listener])


def _beat(server: uvicorn.Server, beats: "Connection[bool, bool]") -> None:
    """Say again and again that this process lives, and whether it serves."""
    with suppress(OSError):  # nobody listens any more
        while True:
            beats.send(server.started)
            time.sleep(_BEAT_S if server.started else _FIRST_BEATS_S)


class _Workers:
    """Those that serve, and beside them those that come or go while all are replaced."""

    def __init__(self, begin: Callable[[], _Worker], number: int, ending_s: float) -> None:
        self._begin = begin
        self._number = number
        self._ending_s = ending_s
        self._serving: list[_Worker] = []
        self._beside: list[_Worker] = []
        self._is_ending = False
        self._is_renewal_due = False
        self._renewal: Iterator[None] = iter(())
        self._has_served = False
        self._failed_starts = 0
        self._next_start_at = 0.0

    def end(self) -> None:
        self._is_ending = True

    def renew(self) -> None:
        self._is_renewal_due = True

    def run(self) -> None:
        try:
            self._fill()
            seen_at = time.monotonic()
            while not self._is_ending:
                wait([worker.sentinel for worker in self._all], _TURN_S)
                if not self._is_ending:
                    # A server that was paused itself comes back to workers that had no chance to say anything.
                    passed_s, seen_at = min(time.monotonic() - seen_at, 2 * _TURN_S), time.monotonic()
                    self._look(passed_s)
        finally:
            self._end_all()

    @property
    def _all(self) -> list[_Worker]:
        return self._serving + self._beside

    def _look(self, passed_s: float) -> None:
        for worker in self._all:
            was_ready = worker.is_ready
            worker.listen(passed_s)
            if worker.is_ready and not was_ready:
                self._has_served = True
                self._failed_starts = 0
        for worker in self._serving.copy():
            if not worker.is_alive or worker.silent_s > PATIENCE_S:
                self._give_up(worker)
        self._fill()
        self._renew_on()

    def _give_up(self, worker: _Worker) -> None:
        self._serving.remove(worker)
        if worker.is_alive:
            what = f"worker {worker.pid} was silent for {PATIENCE_S:.0f} s and is ended"
            worker.kill()
        else:
            what = f"worker {worker.pid} died ({worker.ending})"
        if worker.is_ready:
            logger.warning(f"{what}; it is replaced")
            return
        if worker.has_failed and not self._has_served:
            raise Unavailable("No worker could start; the log above says why.", remedy="Mend that and start again.")
        logger.warning(f"{what} before it served; it is replaced in {self._pause():.0f} s")

    def _pause(self) -> float:
        """Begin no worker for a while, which is longer each time until one serves; gives how long."""
        pause_s = min(2.0**self._failed_starts, _LONGEST_PAUSE_S)
        self._failed_starts += 1
        self._next_start_at = time.monotonic() + pause_s
        return pause_s

    def _fill(self) -> None:
        while len(self._serving) < self._number and time.monotonic() >= self._next_start_at:
            worker = self._begun()
            if worker is not None:
                self._serving.append(worker)

    def _begun(self) -> _Worker | None:
        try:
            return self._begin()
        except (
            OSError,
            EOFError,
        ) as trouble:  # no room for one more process, or what makes them was killed
            logger.warning(f"no worker could be begun: {trouble!r}; it is tried again in {self._pause():.0f} s")
            return None

    # ------------------------------------------------------------------------------------------ a hang-up

    def _renew_on(self) -> None:
        """Go on replacing all, one by one, if that was asked for."""
        for _ in self._renewal:
            return
        if self._is_renewal_due:
            self._is_renewal_due = False
            self._renewal = self._renewed()

    def _renewed(self) -> Iterator[None]:
        for old in self._serving.copy():
            if old not in self._serving:
                continue  # it died, and is replaced already
            new = self._begun()
            if new is None:
                return
            self._beside.append(new)
            while new.is_alive and not new.is_ready and time.monotonic() < new.begun_at + PATIENCE_S:
                yield
            if not (new.is_alive and new.is_ready):
                logger.error(f"worker {new.pid} did not become ready; worker {old.pid} and those after it stay")
                new.kill()
                self._beside.remove(new)
                return
            self._beside.remove(new)
            yield from self._retired(self._exchanged(old, new))

    def _exchanged(self, old: _Worker, new: _Worker) -> _Worker:
        """Let the new one serve, and give who has to go: the new one where the old one died and was replaced."""
        if old not in self._serving:
            return new
        self._serving[self._serving.index(old)] = new
        return old

    def _retired(self, worker: _Worker) -> Iterator[None]:
        self._beside.append(worker)
        worker.terminate()
        deadline = time.monotonic() + self._ending_s
        while worker.is_alive and time.monotonic() < deadline:
            yield
        self._kill_late(worker)
        self._beside.remove(worker)

    # ------------------------------------------------------------------------------------------ the end

    def _end_all(self) -> None:
        for worker in self._all:
            worker.terminate()
        deadline = time.monotonic() + self._ending_s
        while (living := [worker for worker in self._all if worker.is_alive]) and time.monotonic() < deadline:
            wait([worker.sentinel for worker in living], _TURN_S)
        for worker in living:
            self._kill_late(worker)

    def _kill_late(self, worker: _Worker) -> None:
        if worker.is_alive:
            logger.warning(f"worker {worker.pid} did not end in {self._ending_s:.0f} s; it is killed")
            worker.kill()
