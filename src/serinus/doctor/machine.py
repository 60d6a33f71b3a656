"""Checks of this machine: the home folder, folders of model files, and the room on their disks."""

import asyncio
import json
import os
import shutil
import tempfile
from pathlib import Path

from serinus.doctor.reports import Report
from serinus.home import JOURNALS
from serinus.journal.journals import abandoned
from serinus.settings import ServerSettings

LEAST_BYTES = 100_000_000
"""Room below which a disk counts as full: a database that grows would soon stop."""
SOON_FULL_BYTES = 1_000_000_000


async def check_home(report: Report, settings: ServerSettings) -> None:
    """Look whether the home folder is there, or can be made, and whether it can be written to."""
    await asyncio.to_thread(check_folder, report, settings.home, "SERINUS_HOME")
    await asyncio.to_thread(_check_journals, report, settings.home / JOURNALS)
    cache = settings.home / "artifact-cache"
    if settings.artifacts.startswith("s3://") and settings.artifact_cache_bytes:
        await asyncio.to_thread(_check_cache, report, cache, settings.artifact_cache_bytes)


def check_folder(report: Report, folder: Path, setting: str) -> None:
    """Look at a folder; it is made by the server, so that one that is missing is no trouble if it can be made."""
    folder = folder.expanduser().absolute()
    present = _nearest(folder)
    report.fact(str(folder))
    try:
        if present == folder:
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor-") as file:
                file.write(b"Serinus")
                file.flush()
                os.fsync(file.fileno())
            report.fact("can be written to")
        elif not present.is_dir() or not os.access(present, os.W_OK | os.X_OK):
            report.wrong(
                f"The folder {folder} is not there and cannot be made: {present} is no folder to write to.",
                f"Make it for the user that runs the server, or set {setting} to another folder.",
            )
            return
        else:
            report.fact("not there yet, made at the first start")
    except OSError as trouble:
        report.wrong(
            f"The folder {folder} cannot be written to: {trouble.strerror or trouble}.",
            f"Give it to the user that runs the server, or set {setting} to another folder.",
        )
        return
    _check_room(report, present)


def announced(home: Path) -> str:
    """Give the URL that a server on this home announced, "" if none has."""
    try:
        return str(json.loads((home / "server.json").read_text())["url"])
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def _check_room(report: Report, folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    report.fact(f"{amount(free)} free")
    if free < LEAST_BYTES:
        report.wrong(
            f"The disk of {folder} has {amount(free)} left.",
            "Make room on it: without any, no state and no prediction can be kept.",
        )
    elif free < SOON_FULL_BYTES:
        report.note(f"The disk of {folder} has {amount(free)} left.", "Make room on it before it is full.")


def _check_journals(report: Report, folder: Path) -> None:
    try:
        waiting = [size for size in abandoned(folder).values() if size]
    except OSError as trouble:
        report.wrong(
            f"The journals in {folder} cannot be read: {trouble.strerror or trouble}.",
            "Give the folder to the user that runs the server.",
        )
        return
    if waiting:
        report.note(
            f"Logged predictions of servers that ended wait in {folder}: {amount(sum(waiting))}.",
            "Start a server on this home and on the database that they were for: it takes them there.",
        )


def _check_cache(report: Report, cache: Path, limit: int) -> None:
    kept = sum(file.stat().st_size for file in cache.iterdir() if file.is_file()) if cache.is_dir() else 0
    free = shutil.disk_usage(_nearest(cache.absolute())).free
    if limit - kept > free:
        report.note(
            f"The cache of model files may grow by {amount(limit - kept)}, and its disk has {amount(free)} left.",
            "Set SERINUS_ARTIFACT_CACHE_BYTES to less, or make room.",
        )


def _nearest(folder: Path) -> Path:
    """Give the folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def amount(size: float) -> str:
    """Write a number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:  # noqa: PLR2004 - the unit's own number
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
