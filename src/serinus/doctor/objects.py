"""The check of the artifact store: a folder, or S3 with its bucket, its rights and its create-only puts."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from serinus.adapters import uncached_artifacts
from serinus.artifacts import ObjectArtifacts
from serinus.doctor.machine import check_folder
from serinus.doctor.reports import Report
from serinus.settings import ServerSettings

Sizes = Callable[[str], Awaitable[int | None]]
"""Gives the size of a model file by its digest; None if it is not there."""

_ROUNDS = 3


async def check_artifacts(report: Report, settings: ServerSettings) -> Sizes:
    """Look whether model files can be kept and read; give the sizes of those that are there."""
    if not settings.artifacts.startswith("s3://"):
        return await _check_folder(report, settings)
    report.fact(settings.artifacts)
    if settings.s3_endpoint:
        report.fact(f"at {settings.s3_endpoint}")
    artifacts = uncached_artifacts(settings)
    await artifacts.ping()
    taken = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        await artifacts.ping()
        taken.append(1000 * (time.perf_counter() - started))
    report.fact(f"round trip {statistics.median(taken):.1f} ms")
    await _try_out(report, artifacts)
    return artifacts.size


async def _check_folder(report: Report, settings: ServerSettings) -> Sizes:
    folder = _folder(settings.artifacts)
    await asyncio.to_thread(check_folder, report, folder, "SERINUS_ARTIFACTS_URL")
    if not settings.is_embedded:
        report.fact("for gateways that share this folder alone")
    # To open a folder that is not there would make it.
    return uncached_artifacts(settings).size if await asyncio.to_thread(folder.is_dir) else _nothing


async def _nothing(_digest: str) -> None:
    """Give the size of a model file where there is none."""


def _folder(place: str) -> Path:
    path = unquote(urlsplit(place).path) if place.startswith("file://") else place
    return Path(path).expanduser().absolute()


async def _try_out(report: Report, artifacts: ObjectArtifacts) -> None:
    """See that what is put is never overwritten, or two registrations could overwrite each other."""
    trial = await artifacts.try_out()
    if trial.creates_only:
        report.fact("puts create only")
    else:
        report.wrong(
            "It overwrites an object although it is asked to create only (If-None-Match is ignored): versions could "
            "be changed behind their digest.",
            "Use an S3 server that knows conditional writes, as those of Amazon, MinIO, SeaweedFS and Ceph do.",
        )
    if trial.left:
        report.note(
            f"The probe {trial.left} cannot be removed again: s3:DeleteObject is not allowed, and not needed by "
            "servers.",
            "Remove what is under doctor/ now and then.",
        )
