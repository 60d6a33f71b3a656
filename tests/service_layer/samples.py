"""Values that more than one test of the services needs."""

from collections.abc import Mapping
from typing import Any

from serinus.core.evidence import Evidence
from serinus.telemetry import Readings


def readings(evidence: Evidence | None = None, **more: Any) -> Readings:
    nothing: Mapping[str, Any] = {
        "arms": (),
        "weights": {},
        "failovers": {},
        "forced": {},
        "log_pending": 0,
        "log_written": 0,
        "log_dropped": 0,
        "journal_bytes": 0,
        "leased": True,
        "rollouts": {},
        "dependencies": {},
        "checker": None,
    }
    return Readings(evidence=evidence or {}, **{**nothing, **more})
