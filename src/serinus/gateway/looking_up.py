"""A request that names an entity and not all features: the rest comes from the feature store, before any draw."""

from serinus.core.errors import InvalidFeatures, PlatformError
from serinus.core.lookups import Lookup, completed, lacking
from serinus.core.policy import Settings
from serinus.core.signature import Signature
from serinus.ports import FeatureSource

LONGEST_ENTITY = 512
"""Characters of an entity that is looked up: what is found is kept under it."""


async def with_features(
    source: FeatureSource | None, settings: Settings, signature: Signature, features: object, entity_id: str | None
) -> object:
    """Give the features of a request, completed where its deployment names a feature service.

    Raises:
        InvalidFeatures: the feature store knows nothing of the entity, or could not. Unavailable, PlatformError: it
        cannot be asked.
    """
    if not settings.feature_service:
        return features
    if entity_id is None:
        if features is not None:
            return features
        raise InvalidFeatures(
            "The request has neither features nor an entity_id.",
            field="entity_id",
            remedy=f"Send entity_id, whose features the service {settings.feature_service} has, or features.",
        )
    names = lacking(features, signature)
    if not names:
        return features
    if len(entity_id) > LONGEST_ENTITY:
        raise InvalidFeatures(
            f"entity_id has {len(entity_id)} characters, and {LONGEST_ENTITY} at most are looked up.",
            field="entity_id",
            remedy="Send the id by which the feature store knows the entity, or send all features.",
        )
    lookup = Lookup(settings.feature_service, settings.feature_entity, entity_id)
    if source is None:
        raise PlatformError(
            f"The features come from the feature service {lookup.service}, and this server knows no feature server.",
            field="entity_id",
            remedy="Set SERINUS_FEAST_URL, or send the features.",
        )
    return completed(features, names, await source.find(lookup), lookup)
