"""The check of the artifact store: a folder, or S3 with its bucket, its rights and its create-only puts."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError

from serinus.artifacts import ObjectArtifacts, S3Access, open_artifacts
from serinus.core.errors import Unavailable
from serinus.doctor.machine import check_folder
from serinus.doctor.reports import Report
from serinus.settings import ServerSettings

Sizes = Callable[[str], Awaitable[int | None]]
"""Gives the size of a model file by its digest; None if it is not there."""

_ROUNDS = 3


def open_objects(settings: ServerSettings) -> ObjectArtifacts:
    """Open the artifact store itself, without the cache in front of it."""
    access = S3Access(
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=settings.s3_secret_access_key.get_secret_value(),
    )
    return open_artifacts(settings.artifacts, access)


async def check_artifacts(report: Report, settings: ServerSettings) -> Sizes:
    """Look whether model files can be kept and read; give the sizes of those that are there."""
    if not settings.artifacts.startswith("s3://"):
        return await _check_folder(report, settings)
    report.fact(settings.artifacts)
    if settings.s3_endpoint:
        report.fact(f"at {settings.s3_endpoint}")
    artifacts = open_objects(settings)
    await artifacts.ping()
    taken = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        await artifacts.ping()
        taken.append(1000 * (time.perf_counter() - started))
    report.fact(f"round trip {statistics.median(taken):.1f} ms")
    await _try_out(report, artifacts, settings)
    return artifacts.size


async def _check_folder(report: Report, settings: ServerSettings) -> Sizes:
    folder = _folder(settings.artifacts)
    await asyncio.to_thread(check_folder, report, folder, "SERINUS_ARTIFACTS_URL")
    if not settings.is_embedded:
        report.fact("for gateways that share this folder alone")
    if settings.s3_endpoint or settings.s3_access_key_id:
        report.note(
            "SERINUS_S3_ENDPOINT or SERINUS_S3_ACCESS_KEY_ID is set, and model files are kept in a folder.",
            "Set SERINUS_ARTIFACTS_URL to s3://BUCKET/PREFIX, or unset the others.",
        )
    # To open a folder that is not there would make it.
    return open_objects(settings).size if await asyncio.to_thread(folder.is_dir) else _nothing


async def _nothing(_digest: str) -> None:
    """Give the size of a model file where there is none."""


def _folder(place: str) -> Path:
    path = unquote(urlsplit(place).path) if place.startswith("file://") else place
    return Path(path).expanduser().absolute()


async def _try_out(report: Report, artifacts: ObjectArtifacts, settings: ServerSettings) -> None:
    """Put an object twice: the second time must be refused, or two registrations could overwrite each other."""
    store, explain = artifacts._store, artifacts._explain  # noqa: SLF001 - the port has no put that is not kept
    key = f"doctor/{uuid4().hex}"
    try:
        await obstore.put_async(store, key, b"Serinus", mode="create")
        try:
            await obstore.put_async(store, key, b"Serinus", mode="create")
        except AlreadyExistsError:
            report.fact("puts create only")
        else:
            report.wrong(
                "It overwrites an object although it is asked to create only (If-None-Match is ignored): versions "
                "could be changed behind their digest.",
                "Use an S3 server that knows conditional writes, as those of Amazon, MinIO, SeaweedFS and Ceph do.",
            )
    except (BaseError, OSError) as failure:
        cause = explain(failure)
        raise Unavailable(
            f"The artifact store {settings.artifacts} cannot be written: {cause.what}.", remedy=cause.remedy
        ) from None
    try:
        await obstore.delete_async(store, key)
    except (BaseError, OSError):
        report.note(
            f"The probe {key} cannot be removed again: s3:DeleteObject is not allowed, and not needed by servers.",
            "Remove what is under doctor/ now and then.",
        )
