"""What a check of the doctor found, and how long it may look."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from serinus.core.errors import SerinusError

T = TypeVar("T")

PATIENCE_S = 6.0
"""How long a check may take. What it asks has shorter limits of its own, which explain themselves better."""


class Status(StrEnum):
    """How a check ended; only ``wrong`` makes the doctor say that something is."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, or worth a look if it is a mere ``note``, and what to do."""

    message: str
    remedy: str
    note: bool = False


@dataclass(slots=True)
class Report:
    """What one check has found so far; a check that ends early leaves what it had."""

    check: str
    facts: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    skipped: str = ""

    def fact(self, text: str) -> None:
        """Say how something is, where that is neither good nor bad."""
        self.facts.append(text)

    def wrong(self, message: str, remedy: str) -> None:
        """Say what keeps a server from working as it should."""
        self.problems.append(Problem(message, remedy))

    def note(self, message: str, remedy: str) -> None:
        """Say what works, and could be better."""
        self.problems.append(Problem(message, remedy, note=True))

    def skip(self, why: str) -> None:
        """Say why nothing was looked at."""
        self.skipped = why

    @property
    def status(self) -> Status:
        """How the check ended."""
        if any(not problem.note for problem in self.problems):
            return Status.WRONG
        if self.skipped:
            return Status.SKIPPED
        return Status.NOTE if self.problems else Status.OK

    def document(self) -> dict[str, Any]:
        """Give the report as JSON values."""
        return {
            "check": self.check,
            "status": str(self.status),
            "facts": [*self.facts, *([f"skipped: {self.skipped}"] if self.skipped else [])],
            "problems": [
                {"severity": "note" if each.note else "wrong", "message": each.message, "remedy": each.remedy}
                for each in sorted(self.problems, key=lambda problem: problem.note)
            ],
        }


async def bounded(report: Report, work: Coroutine[Any, Any, T], remedy: str) -> T | None:
    """Let a check look, for a while; whatever ends it becomes part of its report, and None is given.

    Args:
        report, work: the check. remedy: what to do where it did not end in time, or ended as nobody expected.
    """
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await work
    except TimeoutError:
        report.wrong("It has not answered in time.", remedy)
    except SerinusError as trouble:
        report.wrong(trouble.message, trouble.remedy or remedy)
    except Exception as defect:  # noqa: BLE001 - no check ends the others
        report.wrong(f"It failed with {type(defect).__name__}: {' '.join(str(defect).split())[:300]}", remedy)
    return None
