"""A role of a deployment as a gateway serves it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from serinus.core.answers import Answer
from serinus.core.deployment import Deployment
from serinus.core.errors import BadOutput, PlatformError, SerinusError
from serinus.core.evidence import Key
from serinus.core.ledger import outside
from serinus.core.names import VersionRef
from serinus.core.routing import Role
from serinus.core.signature import Row
from serinus.ports import Predictor, Settle, Ticket


@dataclass(frozen=True, slots=True)
class Arm:
    """One role of a deployment, ready to answer.

    ``key`` says under what its requests are counted that were drawn by the split, and ``aside`` the others: they are in
    no comparison. ``order`` puts a row of the baseline into this model's order.
    """

    role: Role
    name: str
    predictor: Predictor
    key: Key
    aside: Key
    order: tuple[int, ...] | None = None

    def ask(self, rows: Sequence[Row], timeout_s: float, settle: Settle) -> Ticket | None:
        """Ask the model for rows in the baseline's order; see ``Predictor.ask``."""
        order = self.order
        arranged = rows if order is None else [[row[index] for index in order] for row in rows]
        try:
            return self.predictor.ask(arranged, timeout_s, settle)
        except Exception as defect:  # noqa: BLE001 - whatever goes wrong here is ours
            settle(defect)
            return None

    def failure(self, outcome: Sequence[Answer] | Exception, rows: int) -> SerinusError | None:
        """Say why an outcome is no answer to so many rows, None if it is one."""
        if not isinstance(outcome, Exception):
            if len(outcome) == rows:
                return None
            return BadOutput(f"{self.name} gave {len(outcome)} answers for {rows} rows.")
        if isinstance(outcome, SerinusError):
            return outcome
        error = PlatformError(
            f"{self.name} could not be asked: {type(outcome).__name__}: {outcome}",
            remedy="This is a defect of Serinus, not of the model; please report it.",
        )
        error.__cause__ = outcome
        return error


def arm_of(state: Deployment, role: Role, ref: VersionRef, predictor: Predictor) -> Arm:
    """Give a role's arm, counted outside of any rollout until a split says otherwise."""
    key = Key(outside(state.name), str(ref), 0, role)
    return Arm(role, str(ref), predictor, key, key)


def counted(arm: Arm, rollout: str, split_version: int) -> Arm:
    """Give an arm whose requests are counted under a split from now on."""
    aside = Key(rollout, arm.name, 0, arm.role)
    return replace(arm, key=aside._replace(split_version=split_version), aside=aside)


def as_baseline(canary: Arm) -> Arm:
    """Give a promoted canary: from now on requests are in its own order."""
    return replace(canary, role=Role.BASELINE, order=None)
