import pytest

from serinus.core.errors import InvalidFeatures, PlatformError
from serinus.core.lookups import Found, Lookup
from serinus.core.policy import Settings
from serinus.core.signature import Dtype, Feature, Output, OutputKind, Signature
from serinus.gateway.looking_up import LONGEST_ENTITY, with_features

SIGNATURE = Signature((Feature("age", Dtype.INT), Feature("chol", Dtype.FLOAT)), Output(OutputKind.NUMBER))
SETTINGS = Settings(feature_service="patients", feature_entity="patient")


class Known:
    """Knows one age, and whom it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Lookup] = []

    async def find(self, lookup: Lookup) -> Found:
        self.asked.append(lookup)
        return Found({"age": 63})


async def test_a_request_is_completed_by_its_deployments_service_and_key() -> None:
    source = Known()

    features = await with_features(source, SETTINGS, SIGNATURE, {"chol": 1.0}, "ann")

    assert features == {"age": 63, "chol": 1.0}
    assert source.asked == [Lookup("patients", "patient", "ann")]


@pytest.mark.parametrize(
    ("settings", "features", "entity"),
    [
        (Settings(), {"chol": 1.0}, "ann"),
        (Settings(), None, "ann"),
        (SETTINGS, {"age": 1, "chol": 1.0}, "ann"),
        (SETTINGS, {"chol": 1.0}, None),
        (SETTINGS, [1, 1.0], "ann"),
    ],
    ids=["no service", "no service, no features", "all there", "no entity", "no object"],
)
async def test_nothing_is_asked_where_nothing_can_be_completed(
    settings: Settings, features: object, entity: str | None
) -> None:
    source = Known()

    assert await with_features(source, settings, SIGNATURE, features, entity) is features
    assert source.asked == []


async def test_a_request_with_neither_features_nor_entity_is_the_callers_error() -> None:
    with pytest.raises(InvalidFeatures) as refused:
        await with_features(Known(), SETTINGS, SIGNATURE, None, None)
    assert refused.value.field == "entity_id"


async def test_an_entity_that_is_too_long_to_be_kept_is_not_asked_for() -> None:
    source = Known()

    await with_features(source, SETTINGS, SIGNATURE, {"chol": 1.0}, "a" * LONGEST_ENTITY)
    with pytest.raises(InvalidFeatures, match="513 characters") as refused:
        await with_features(source, SETTINGS, SIGNATURE, {"chol": 1.0}, "a" * (LONGEST_ENTITY + 1))

    assert refused.value.field == "entity_id"
    assert len(source.asked) == 1


async def test_a_server_that_knows_no_feature_server_says_how_to_name_one() -> None:
    with pytest.raises(PlatformError) as refused:
        await with_features(None, SETTINGS, SIGNATURE, None, "ann")
    assert "SERINUS_FEAST_URL" in refused.value.remedy
