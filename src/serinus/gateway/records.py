"""Records of requests as rows of the log; what many have in common is encoded once."""

import json
from collections.abc import Sequence
from typing import TypeVar

from serinus.core import log_rows
from serinus.core.answers import Answer
from serinus.core.signature import Row
from serinus.gateway.arms import Arm
from serinus.gateway.asking import Outcome, error_kind, to_microseconds
from serinus.gateway.served import Served, Way
from serinus.hashing import HashKey, InputHasher

_What = TypeVar("_What")
_Made = TypeVar("_Made")
_MOST_KEPT = 1024
"""Encoded parts of records that are kept for the next one; there are few in use at a time."""


class _Page:
    """What the records of a deployment have in common for as long as it is served in the same way."""

    def __init__(self, served: Served, key: HashKey) -> None:
        self.served = served
        self.hashed = InputHasher(key, served.baseline.predictor.version.signature.names).of
        self._key_id = key.id
        self._commons: dict[tuple[bool, str, str, bool], bytes] = {}

    def common(self, way: Way, by: Arm | None, failure: str) -> bytes:
        """Give the fields that do not differ from request to request."""
        arm = way.arm
        what = (arm is self.served.canary, "" if by is None else by.name, failure, way.forced)
        known = self._commons.get(what)
        return known if known is not None else _kept(self._commons, what, self._encoded(arm, *what[1:]))

    def _encoded(self, arm: Arm, answered_by: str, failure: str, forced: bool) -> bytes:  # noqa: FBT001 - as in a record
        split = self.served.split
        return log_rows.constant_part(
            deployment=self.served.state.name,
            rollout=split.rollout if split else "",
            split_version=split.split_version if split else 0,
            role=arm.role,
            version=arm.name,
            answered_by=answered_by,
            key_id=self._key_id,
            error_kind=failure,
            forced=forced,
        )


class Records:
    """Writes records of requests as rows of the log; what many have in common is encoded once.

    Args:
        key: hashes inputs and entities.
    """

    def __init__(self, key: HashKey) -> None:
        self.key = key
        self._pages: dict[str, _Page] = {}
        self._answers: dict[tuple[object, ...], bytes] = {}

    def rows(
        self,
        served: Served,
        way: Way,
        outcome: Outcome,
        identity: str,
        at_us: int,
        rows: Sequence[Row],
        entity_id: str | None,
    ) -> list[bytes]:
        """Give a row for each row of a request: the first under its id, the k-th after it under ``<id>-<k>``."""
        by, failure = outcome.answered_by, outcome.failure
        page = self._pages.get(served.state.name)
        if page is None or page.served is not served:
            page = _kept(self._pages, served.state.name, _Page(served, self.key))
        common = page.common(way, by, "" if failure is None else error_kind(failure))
        latency_ms, hashed = to_microseconds(outcome.latency_ms), page.hashed
        entity = self.key.of_entity(entity_id) if entity_id else ""
        written = []
        for index, values in enumerate(rows):
            answer = outcome.answers[index] if by is not None else None
            written.append(
                log_rows.row(
                    f"{identity}-{index}" if index else identity,
                    at_us,
                    latency_ms,
                    hashed(values),
                    None if answer is None else answer.confidence,
                    common,
                    _NO_ANSWER if answer is None else self._answer(answer),
                    entity,
                )
            )
        return written

    def _answer(self, answer: Answer) -> bytes:
        prediction = answer.prediction
        if answer.prediction_class is None:
            return log_rows.answer_part(json.dumps(prediction), None)
        what = (type(prediction), prediction, answer.prediction_class)
        known = self._answers.get(what)
        if known is None:
            part = log_rows.answer_part(json.dumps(prediction), answer.prediction_class)
            known = _kept(self._answers, what, part)
        return known


_NO_ANSWER = log_rows.answer_part("null", None)


def _kept(known: dict[_What, _Made], what: _What, made: _Made) -> _Made:
    if len(known) >= _MOST_KEPT:
        known.clear()
    known[what] = made
    return made
