"""Opens an artifact store by its address."""

from pathlib import Path

from obstore.exceptions import BaseError
from obstore.store import LocalStore

from serinus.artifacts.failures import of_folder
from serinus.artifacts.objects import ObjectArtifacts
from serinus.artifacts.s3 import S3Access, open_s3, shown
from serinus.core.errors import InvalidInput, Unavailable

AS_THE_ENVIRONMENT_SAYS = S3Access()


def open_artifacts(location: str | Path, s3: S3Access = AS_THE_ENVIRONMENT_SAYS) -> ObjectArtifacts:
    """Open an artifact store: ``s3://bucket[/prefix]``, or a folder (a path or ``file://`` URL), made if missing.

    A folder is there when this returns; of S3 nothing is asked before it is used, see ``ObjectArtifacts.ping``.

    Raises:
        InvalidInput: an address that cannot be. Unavailable: the folder cannot be made.
    """
    url = str(location)
    if url.startswith("s3://"):
        return open_s3(url, s3)
    if "://" in url and not url.startswith("file:///"):
        raise InvalidInput(
            f"SERINUS_ARTIFACTS_URL is {shown(url)!r}, which is no artifact store that Serinus knows.",
            field="SERINUS_ARTIFACTS_URL",
            remedy="Give s3://bucket/prefix, or a folder as a path or a file:///path URL.",
        )
    try:
        if "://" in url:
            return ObjectArtifacts(LocalStore.from_url(url, mkdir=True), url)
        folder = Path(location).expanduser().absolute()
        return ObjectArtifacts(LocalStore(folder, mkdir=True), str(folder))
    except (BaseError, OSError) as failure:
        raise Unavailable(
            f"The artifact folder {url} cannot be opened: {of_folder(failure).what}",
            remedy="Give a folder that Serinus may write to.",
        ) from failure
