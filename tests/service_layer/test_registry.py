import asyncio
from typing import Any

import pytest
from tests.service_layer.doubles import NOW, SIGNATURE
from tests.service_layer.world import World

from serinus.core.errors import FormatRefused, InvalidInput, NotFound
from serinus.core.names import VersionRef
from serinus.core.records import Lineage, Package
from serinus.formats import Formats
from serinus.registry import MAX_EXAMPLES, Registry

MODEL = Package(b"the bytes of a model", "skops", SIGNATURE, ((1.0, 2.0), (3, 4)))
ABSENT = "sha256:" + "0" * 64


@pytest.fixture
def registry(world: World) -> Registry:
    return Registry(store=world.real_store, artifacts=world.artifacts, loader=Formats(), clock=world.clock)


async def test_a_package_becomes_the_next_version_of_its_model(registry: Registry, world: World) -> None:
    first = await registry.register(MODEL, "risk", metrics={"auc": 0.9}, tags={"team": "a"}, created_by="ada")
    second = await registry.register(MODEL, "risk", lineage=Lineage(parent="risk@1"))

    assert [version.ref for version in (first, second)] == [VersionRef("risk", 1), VersionRef("risk", 2)]
    assert first.created_at == NOW
    assert first.draft.examples == ((1.0, 2.0), (3.0, 4.0))
    assert first.draft.size == len(MODEL.data)
    assert (first.draft.metrics, first.draft.tags, first.draft.created_by) == ({"auc": 0.9}, {"team": "a"}, "ada")
    assert await world.artifacts.get(first.draft.digest) == MODEL.data
    assert await registry.versions("risk") == [first, second]
    assert await registry.version(first.ref) == first
    assert [summary.name for summary in await registry.models()] == ["risk"]


async def test_an_uploaded_artifact_can_be_registered(registry: Registry, world: World) -> None:
    digest = await world.artifacts.put(b"other bytes")

    version = await registry.register_uploaded("risk", digest, "skops", SIGNATURE)

    assert (version.draft.digest, version.draft.size) == (digest, 11)


async def test_an_upload_says_whether_it_was_new(registry: Registry, world: World) -> None:
    digest = await world.artifacts.put(b"known")
    elsewhere = "sha256:6f3c5ec5ee4a45e0cd3b6ec8ac7a2ad8fe4b8fb2bf7f9a30ed1ea2f4dcf9a2f1"

    assert not await registry.upload(digest, b"known")
    with pytest.raises(InvalidInput) as refused:
        await registry.upload(elsewhere, b"damaged")

    assert refused.value.field == "digest"
    assert elsewhere in refused.value.message
    assert await world.artifacts.size(elsewhere) is None


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "Risk Model"}, "name"),
        ({"examples": [[1.0]]}, "examples.0"),
        ({"examples": [[1.0, 2.0], [1.0, "two"]]}, "examples.1"),
        ({"examples": "1.0, 2.0"}, "examples"),
        ({"examples": [[1.0, 2.0]] * (MAX_EXAMPLES + 1)}, "examples"),
        ({"metrics": {"auc": float("nan")}}, "metrics.auc"),
        ({"metrics": {"auc": 10**400}}, "metrics.auc"),
        ({"metrics": {"auc": "good"}}, "metrics.auc"),
        ({"metrics": {"auc": True}}, "metrics.auc"),
        ({"digest": "md5:0"}, "digest"),
        ({"lineage": Lineage(parent="risk")}, "lineage.parent"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_what_cannot_be_is_refused_by_its_field(
    registry: Registry, world: World, wrong: dict[str, Any], field: str
) -> None:
    digest = await world.artifacts.put(MODEL.data)
    asked = {"name": "risk", "digest": digest, "format": "skops", "signature": SIGNATURE, **wrong}

    with pytest.raises(InvalidInput) as refused:
        await registry.register_uploaded(**asked)

    assert refused.value.field == field
    assert refused.value.remedy
    assert await registry.models() == []


async def test_as_many_examples_as_allowed_are_kept(registry: Registry) -> None:
    rows = ((1.0, 2.0),) * MAX_EXAMPLES

    version = await registry.register(Package(b"m", "skops", SIGNATURE, rows), "risk")

    assert version.draft.examples == rows


async def test_a_format_that_is_not_allowed_is_refused(registry: Registry, world: World) -> None:
    digest = await world.artifacts.put(MODEL.data)

    for format_ in ("pickle", "unheard-of"):
        with pytest.raises(FormatRefused):
            await registry.register_uploaded("risk", digest, format_, SIGNATURE)


async def test_an_artifact_has_to_be_there(registry: Registry) -> None:
    with pytest.raises(NotFound) as refused:
        await registry.register_uploaded("risk", ABSENT, "skops", SIGNATURE)

    assert refused.value.field == "artifact.digest"
    assert ABSENT in refused.value.remedy


async def test_a_parent_has_to_exist(registry: Registry) -> None:
    await registry.register(MODEL, "risk")

    with pytest.raises(NotFound) as refused:
        await registry.register(MODEL, "risk", lineage=Lineage(parent="risk@7"))

    assert refused.value.field == "lineage.parent"
    assert "risk@7" in refused.value.message
    assert len(await registry.versions("risk")) == 1


async def test_what_is_not_there_is_not_found(registry: Registry) -> None:
    await registry.register(MODEL, "risk")

    with pytest.raises(NotFound, match="no model 'spam'"):
        await registry.versions("spam")
    with pytest.raises(NotFound) as refused:
        await registry.version(VersionRef("risk", 9))

    assert refused.value.remedy == "Its versions: 1."


async def test_registrations_at_once_get_a_number_each(registry: Registry) -> None:
    versions = await asyncio.gather(*(registry.register(MODEL, "risk") for _ in range(20)))

    assert sorted(version.ref.version for version in versions) == list(range(1, 21))
