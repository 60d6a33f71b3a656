"""Where the runners of one version are, or are to be."""

import asyncio

from serinus.predictors import frames
from serinus.predictors.processes import Runner
from serinus.predictors.waiting import Asked


class Place:
    """One of them: its runner, if there is one, and the batch that it is at.

    ``packer`` writes its batches, once it has loaded the model. ``ends``: how often in a row it has ended.
    ``is_pressed``: others wait while it is at its batch.
    ``leaves``: it is given back when it has done what it is at. ``doomed``: it is about to end; it gets no batch.
    """

    __slots__ = (
        "batch",
        "began_at",
        "doomed",
        "ends",
        "is_pressed",
        "killing",
        "leaves",
        "number",
        "packer",
        "runner",
        "timer",
    )

    def __init__(self) -> None:
        self.runner: Runner | None = None
        self.packer: frames.Packer | None = None
        self.batch: list[Asked] | None = None
        self.number = 0
        self.is_pressed = False
        self.ends = 0
        self.began_at = 0.0
        self.killing: asyncio.TimerHandle | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.leaves = False
        self.doomed = False

    @property
    def is_idle(self) -> bool:
        """Whether it can be given a batch."""
        return self.packer is not None and self.batch is None and not self.leaves and not self.doomed

    def calm(self) -> None:
        """Kill nothing: what it was at is done."""
        if self.killing is not None:
            self.killing.cancel()
            self.killing = None
