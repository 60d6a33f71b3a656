"""A gateway's end of its nursery and of its runners: beginning them, hearing of their ends, frames in and out."""

import asyncio
import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO

import msgspec

from serinus.core.errors import Unavailable
from serinus.predictors import frames, isolation
from serinus.predictors.nursery import Begun, End, Gone, Request

_CHUNK = 1 << 16
_SILENT_S = 0.05
"""How long after a runner hung up its exit code may take to be heard of."""
_told = msgspec.json.Decoder(Begun | Gone)
_PROGRAM = "import sys; from serinus.predictors.nursery import main; main(sys.argv[1:])"

OnFrame = Callable[[int, int, memoryview], None]
"""Told the number, the kind and the content of a frame."""


@dataclass(frozen=True, slots=True)
class Room:
    """What runners have: bytes of memory (0: any), threads of native libraries, a network or none."""

    memory: int = 0
    threads: int = 1
    network: bool = False


def launched(threads: int) -> tuple[socket.socket, "subprocess.Popen[bytes] | None"]:
    """Begin a nursery with an environment and files of its own; give the socket to it, and its process."""
    ours, its = socket.socketpair()
    with its:
        # Begun anew and not copied: nothing of this process, its keys and passwords, is in its memory. In a group of
        # its own, so that what a terminal tells this process is not told to runners; in no session of its own, for
        # where Linux divides the processor by sessions (autogroup), niceness would then count among runners alone.
        process = subprocess.Popen(  # noqa: S603 - this interpreter, and code of ours
            [sys.executable, "-c", _PROGRAM, str(its.fileno()), *(part for part in sys.path if part)],
            pass_fds=[its.fileno()],
            stdin=subprocess.DEVNULL,
            env=isolation.environment(os.environ, threads) | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            process_group=0,
        )
    return ours, process


class Runner:
    """One process that runs a model, as its gateway sees it.

    ``on_frame`` is told what it says, and raises Garbled where that is nothing; then ``on_garbled`` ends its process.
    ``on_end`` is told once why it ended.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        link: socket.socket,
        on_frame: OnFrame,
        on_end: Callable[[str], None],
        on_garbled: Callable[["Runner"], None],
    ) -> None:
        self._loop = loop
        self._link = link
        self._reader = frames.Reader(frames.LARGEST)
        self._on_frame = on_frame
        self._on_end = on_end
        self._on_garbled = on_garbled
        self._unsent = b""
        self._open = True
        self._ended = False
        self.pid = 0
        link.settimeout(0.0)
        loop.add_reader(link.fileno(), self._hear_more)

    def send(self, data: bytes) -> None:
        """Send a frame, now or as soon as there is room for it."""
        if not self._open:
            return
        if not self._unsent:
            try:
                sent = self._link.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return  # it has ended, and is about to be heard of
            if sent == len(data):
                return
            data = data[sent:]
            self._loop.add_writer(self._link.fileno(), self._writable)
        self._unsent += data

    def hang_up(self) -> None:
        """Say nothing more; it ends when it has done what it is at."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._link.fileno())
            self._loop.remove_writer(self._link.fileno())
            self._link.close()

    def ended(self, why: str) -> None:
        """Note that its process has ended, when it was heard to the end."""
        while self._open and not self._ended and self._hear_more():
            pass
        self.hang_up()
        if not self._ended:
            self._ended = True
            self._on_end(why)

    def forget(self) -> None:
        """Want to hear of its end no more."""
        self._ended = True
        self.hang_up()

    def _hear_more(self) -> bool:
        """Hear what it has said; False where that is all for now."""
        if not self._open:
            return False
        try:
            data = self._link.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self.hang_up()
            self._loop.call_later(_SILENT_S, self.ended, "it closed its connection")
            return False
        try:
            for number, kind, _, content in self._reader.fed(data):
                self._on_frame(number, kind, content)
        except frames.Garbled as garbled:
            self.hang_up()
            self._on_garbled(self)
            self.ended(f"it said what is no answer: {garbled}")
        return self._open

    def _writable(self) -> None:
        try:
            sent = self._link.send(self._unsent)
        except BlockingIOError:
            return
        except OSError:
            sent = len(self._unsent)
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._loop.remove_writer(self._link.fileno())


class Artifact:
    """A model file that runners read: without a name on this disk, and there until it is closed."""

    def __init__(self, data: bytes) -> None:
        self._file: IO[bytes] = TemporaryFile()  # noqa: SIM115 - closed by ``close``
        self._file.write(data)
        self._file.flush()

    @property
    def number(self) -> int:
        """The number of the open file."""
        return self._file.fileno()

    def close(self) -> None:
        """Let go of it."""
        self._file.close()


class Nursery:
    """Begins runners for one gateway process; its own process is begun when it is first needed, or has died."""

    def __init__(self, room: Room, launch: Callable[[int], tuple[socket.socket, object]] | None = None) -> None:
        self._room = room
        self._launch = launch or launched
        self._link: socket.socket | None = None
        self._process: object = None
        self._heard = b""
        self._numbers = itertools.count(1)
        self._asked: dict[int, tuple[Runner, asyncio.Future[None]]] = {}
        self._living: dict[int, Runner] = {}

    @property
    def threads(self) -> int:
        """How many threads native libraries use in a runner."""
        return self._room.threads

    async def begin(
        self, modules: list[str], artifact: Artifact, on_frame: OnFrame, on_end: Callable[[str], None]
    ) -> Runner:
        """Begin a runner; Unavailable where no process can be."""
        loop = asyncio.get_running_loop()
        try:
            ours, its = socket.socketpair()
        except OSError as trouble:
            raise _unable(trouble) from trouble
        runner = Runner(loop, ours, on_frame, on_end, self.end)
        try:
            with its:
                number, answer = next(self._numbers), loop.create_future()
                request = Request(number, modules, self._room.memory, self._room.network)
                try:
                    self._say(request, [its.fileno(), artifact.number])
                    self._asked[number] = runner, answer  # said first: one that has ended is begun anew for it
                    await answer
                finally:
                    self._asked.pop(number, None)
        except BaseException:
            runner.forget()
            raise
        return runner

    def end(self, runner: Runner) -> None:
        """Kill a runner."""
        if runner.pid in self._living:
            self._say(End(runner.pid))

    def yield_to_others(self, runner: Runner, niceness: int) -> bool:
        """Set how much a runner lets others go first; False where that is not allowed."""
        return runner.pid not in self._living or isolation.set_niceness(runner.pid, niceness)

    def close(self) -> None:
        """Hang up: the nursery ends, with all of its runners."""
        if self._link is not None:
            asyncio.get_running_loop().remove_reader(self._link.fileno())
            self._link.close()
            self._link = None
        if isinstance(self._process, subprocess.Popen):
            _reap(self._process)
            self._process = None

    # --------------------------------------------------------------------------------------------------

    def _say(self, what: msgspec.Struct, files: list[int] | None = None) -> None:
        """Tell the nursery, beginning it where there is none."""
        line = msgspec.json.encode(what) + b"\n"
        for last_try in (False, True):
            link = self._connected()
            try:
                socket.send_fds(link, [line], files or [])
            except (BrokenPipeError, ConnectionError):
                self._lost()
                if last_try:
                    raise Unavailable(
                        "The process that begins runners ends as soon as it is begun.",
                        remedy="See the server's log; try again.",
                    ) from None
            else:
                return

    def _connected(self) -> socket.socket:
        if self._link is None:
            try:
                self._link, self._process = self._launch(self._room.threads)
            except OSError as trouble:
                raise _unable(trouble) from trouble
            asyncio.get_running_loop().add_reader(self._link.fileno(), self._readable)
        return self._link

    def _readable(self) -> None:
        if self._link is None:
            return
        try:
            data = self._link.recv(_CHUNK)
        except ConnectionError:
            data = b""
        if not data:
            self._lost()
            return
        *lines, self._heard = (self._heard + data).split(b"\n")
        for line in lines:
            told = _told.decode(line)
            if isinstance(told, Begun):
                self._begun(told)
            else:
                self._buried(told)

    def _begun(self, told: Begun) -> None:
        runner, answer = self._asked.pop(told.number, (None, None))
        if runner is None or answer is None or answer.done():
            if told.pid:  # nobody waits for it any more
                self._say(End(told.pid))
        elif told.pid:
            runner.pid = told.pid
            self._living[told.pid] = runner
            answer.set_result(None)
        else:
            answer.set_exception(_unable(told.reason))

    def _buried(self, told: Gone) -> None:
        runner = self._living.pop(told.pid, None)
        if runner is not None:
            runner.ended(ending(told.code))

    def _lost(self) -> None:
        """Take note that the nursery has ended, and its runners with it."""
        self.close()
        self._heard = b""
        left, self._living = list(self._living.values()), {}
        asked, self._asked = list(self._asked.values()), {}
        for _, answer in asked:
            if not answer.done():
                answer.set_exception(Unavailable("The process that begins runners has ended.", remedy="Try again."))
        for runner in left:
            runner.ended("the process that begins runners has ended, and it with it")


def _unable(why: object) -> Unavailable:
    return Unavailable(
        f"No process could be begun to run a model in: {why}.", remedy="Free memory, processes or open files here."
    )


def ending(code: int) -> str:
    """Say how a process ended."""
    if code >= 0:
        return f"its process ended with exit code {code}"
    with suppress(ValueError):
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process was ended by signal {-code}"


def _reap(process: "subprocess.Popen[bytes]") -> None:
    """Wait for a process that is about to end, without holding up anything."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(0.2)
        return
    process.kill()
    process.wait()
