"""Model files by digest: in a local folder or any S3, and a cache on the local disk in front of it."""

from serinus.artifacts.cached import CachedArtifacts
from serinus.artifacts.objects import ObjectArtifacts, Trial
from serinus.artifacts.opening import open_artifacts
from serinus.artifacts.s3 import S3Access

__all__ = ["CachedArtifacts", "ObjectArtifacts", "S3Access", "Trial", "open_artifacts"]
