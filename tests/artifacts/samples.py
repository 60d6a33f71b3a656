"""Model files and places that the tests of the artifact stores use."""

import hashlib
from dataclasses import replace
from pathlib import Path

from tests.services import S3

from serinus.artifacts import ObjectArtifacts, S3Access, open_artifacts


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


DATA = b"a model"
DIGEST = digest_of(DATA)
ABSENT = digest_of(b"absent")


def key_of(digest: str) -> str:
    digits = digest.removeprefix("sha256:")
    return f"sha256/{digits[:2]}/{digits}"


def file_of(folder: Path, digest: str) -> Path:
    return folder / key_of(digest)


def access_to(place: S3) -> S3Access:
    return S3Access(place.endpoint, place.region, place.access_key, place.secret_key)


def artifacts_in(place: S3, **other: str) -> ObjectArtifacts:
    """Open a place in S3, with some parts of the access to it changed."""
    return open_artifacts(place.url, replace(access_to(place), **other))
