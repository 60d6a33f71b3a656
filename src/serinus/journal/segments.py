"""Reading the segments of a journal: frames one after the other, and what to make of bytes that are none.

Where a frame should begin and none does, the file was damaged, or whoever wrote it lost its power on the way. Then the
next frame that is whole is looked for in the rest of the segment; what lies between is lost, and is told.
"""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from serinus.core.log_frames import HEADER, Batch, Frame, Position, batch_of, frame_at, length_at, next_frame

_AT_ONCE = 100
"""Frames that are checked before other threads have their turn."""

Damaged = Callable[[int, int, int], None]
"""Told the segment, the place in it, and how many bytes from there on are lost."""


def segment_file(folder: Path, number: int) -> Path:
    """Say where a segment is."""
    return folder / f"{number:08}.log"


def segments(folder: Path) -> dict[int, int]:
    """Give the segments of a folder, in order, with their sizes in bytes."""
    numbers = sorted(int(file.stem) for file in folder.glob("*.log") if file.stem.isdigit())
    return {number: segment_file(folder, number).stat().st_size for number in numbers}


def read_on(folder: Path, sizes: Mapping[int, int], after: Position, limit: int, damaged: Damaged) -> Batch | None:
    """Read about ``limit`` bytes, whole frames of one segment; None where nothing follows.

    Args:
        folder, sizes: which segments there are, and how many bytes of each are to be read.
        after: how far it was read before; the batch begins there.
    """
    ends = after
    for number, size in sorted(sizes.items()):
        place = after.place if number == after.segment else 0
        if number < after.segment or place >= size:
            continue
        with segment_file(folder, number).open("rb", buffering=0) as file:
            descriptor = file.fileno()
            data, frames = _frames(descriptor, place, size, limit)
            if not frames:
                rest = os.pread(descriptor, size - place, place)
                skipped = next_frame(rest, 0)
                damaged(number, place, len(rest) if skipped is None else skipped)
                ends = Position(number, size)
                if skipped is None:
                    continue
                place += skipped
                data, frames = _frames(descriptor, place, size, limit)
        return batch_of(data, frames, after, Position(number, place + frames[-1].ends))
    return None if ends == after else Batch(after, ends)


def _frames(descriptor: int, place: int, size: int, limit: int) -> tuple[bytes, list[Frame]]:
    """Read the whole frames in ``limit`` bytes from a place on, the first one however large it is."""
    data = os.pread(descriptor, min(max(limit, HEADER), size - place), place)
    first = length_at(data, 0)
    if first is not None and len(data) < first <= size - place:
        data = os.pread(descriptor, first, place)
    frames: list[Frame] = []
    at = 0
    while (frame := frame_at(data, at)) is not None:
        frames.append(frame)
        at = frame.ends
        if len(frames) % _AT_ONCE == 0:
            time.sleep(0)  # the event loop waits for the interpreter
    return data, frames
