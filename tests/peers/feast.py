"""A real Feast feature server with a few patients' features, in an environment of its own.

with Feast() as feast:
    feast.url
"""

import shutil
from pathlib import Path

import httpx2
from tests.service import HOST, Missing, Service

ENVIRONMENT = Path(__file__).parents[2] / ".peers" / "feast"
SERVICE = "patients"
"""The feature service of ``age`` and ``chol`` by ``entity_id``."""
NUMBERED = "numbered"
"""The feature service of ``age`` and ``chol`` by ``number``, which is an integer."""
FURTHER_PATIENCE_S = 45.0
"""It imports a lot: some ten seconds of a processor that others use, too."""
PATIENTS: dict[str, dict[str, object]] = {
    "ann": {"age": 63, "chol": 233.0},
    "bob": {"age": 41, "chol": 204.5},
    "cid": {"age": 57, "chol": None},
}


class Feast(Service):
    """A feature server on a SQLite online store, filled from a file."""

    remedy = "make .peers/feast/.lock"

    def _comes_up(self, deadline: float) -> bool:
        return super()._comes_up(deadline + FURTHER_PATIENCE_S)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}"

    def _prepare(self) -> None:
        shutil.copy(Path(__file__).with_name("patients.py"), self.folder)

    def _command(self) -> list[str]:
        python = ENVIRONMENT / "bin" / "python"
        if not python.exists():
            raise Missing("feast", self.remedy)
        return [str(python), str(self.folder / "patients.py"), HOST, str(self.port)]

    def _environment(self) -> dict[str, str]:
        # Without assertions, the checker of types by which Feast guards its classes does not go through all of them.
        return {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONOPTIMIZE": "1"}

    def _is_ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/health", trust_env=False, timeout=5).is_success
        except httpx2.TransportError:
            return False
