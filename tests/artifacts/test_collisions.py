"""What a put does when S3 says that the object exists, and it does not: a write that met another one left nothing."""

import pytest
from obstore.store import MemoryStore
from tests.artifacts.samples import DATA, DIGEST

from serinus.artifacts import ObjectArtifacts
from serinus.core.errors import Unavailable


class CollidingArtifacts(ObjectArtifacts):
    """Artifacts whose first writes meet others."""

    def __init__(self, collisions: int) -> None:
        super().__init__(MemoryStore(), "memory://")
        self.collisions = collisions

    async def _created(self, key: str, data: bytes) -> bool:
        self.collisions -= 1
        return self.collisions < 0 and await super()._created(key, data)


async def test_a_put_that_met_another_is_done_again() -> None:
    artifacts = CollidingArtifacts(collisions=2)

    assert await artifacts.put(DATA) == DIGEST
    assert await artifacts.get(DIGEST) == DATA


async def test_a_put_that_never_gets_through_is_not_taken_for_done() -> None:
    artifacts = CollidingArtifacts(collisions=1000)

    with pytest.raises(Unavailable, match="at the same time"):
        await artifacts.put(DATA)
    assert await artifacts.size(DIGEST) is None
