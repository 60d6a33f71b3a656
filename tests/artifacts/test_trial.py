"""A store is tried out before anything is kept in it: whether it refuses to overwrite, and can be written at all."""

from pathlib import Path

import obstore
import pytest
from tests.artifacts.samples import artifacts_in
from tests.services import S3

from serinus.artifacts import ObjectArtifacts, Trial, open_artifacts
from serinus.core.errors import Unavailable


@pytest.fixture(params=["folder", "s3"])
def artifacts(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectArtifacts:
    if request.param == "s3":
        return artifacts_in(request.getfixturevalue("s3"))
    return open_artifacts(tmp_path / "artifacts")


async def test_a_store_that_keeps_what_it_has_creates_only(artifacts: ObjectArtifacts) -> None:
    assert await artifacts.try_out() == Trial(creates_only=True)


async def test_a_trial_leaves_nothing_behind(s3: S3) -> None:
    await artifacts_in(s3).try_out()

    assert [each for batch in obstore.list(s3.store()) for each in batch] == []


async def test_a_store_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    artifacts = open_artifacts(tmp_path)
    (tmp_path / "doctor").touch()  # where the folder of the probe would be

    with pytest.raises(Unavailable, match="cannot be written"):
        await artifacts.try_out()
