"""Each test of the contract runs on every way to keep artifacts."""

from pathlib import Path

import pytest
from obstore.store import MemoryStore
from tests.artifacts.samples import artifacts_in

from serinus.artifacts import CachedArtifacts, ObjectArtifacts, open_artifacts
from serinus.ports import Artifacts


@pytest.fixture(params=["memory", "folder", "folder, cached", "s3", "s3, cached"])
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> Artifacts:
    """An empty artifact store."""
    kind, _, cached = request.param.partition(", ")
    inner: Artifacts
    if kind == "s3":
        inner = artifacts_in(request.getfixturevalue("s3"))
    elif kind == "folder":
        inner = open_artifacts(tmp_path / "artifacts")
    else:
        inner = ObjectArtifacts(MemoryStore(), "memory://")
    return CachedArtifacts(inner, tmp_path / "cache", 10_000_000, on_trouble=pytest.fail) if cached else inner
