"""Opens a place in an S3 store: Amazon's, MinIO, SeaweedFS or another."""

import os
import re
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from obstore.store import S3Store

from serinus.artifacts.failures import of_s3
from serinus.artifacts.objects import ObjectArtifacts
from serinus.core.errors import InvalidInput

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig, S3Config, S3Credential, S3CredentialProvider

_URL = re.compile(r"s3://(?P<bucket>[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9])(?:/(?P<prefix>[A-Za-z0-9_.=+/-]*))?\Z")
_ENDPOINT = re.compile(r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?\Z")
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_KEY_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_WORD = re.compile(r"[!-~]*\Z")

# An artifact's reader bounds each request by the number of its bytes; this bounds the attempts within it.
_CLIENT: "ClientConfig" = {
    "allow_http": True,  # the endpoint's own scheme decides
    "connect_timeout": timedelta(seconds=2),
    "timeout": timedelta(hours=1),
}
_RETRIES: "RetryConfig" = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=5),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2},
}


@dataclass(frozen=True, slots=True)
class S3Access:
    """Where an S3 store is and who reads it; what is empty comes from AWS_* variables or the machine's own role.

    Args:
        endpoint: ``http[s]://host[:port]`` of a store that is not Amazon's.
        region: of the bucket; ``us-east-1`` if nobody says.
    """

    endpoint: str = ""
    region: str = ""
    access_key_id: str = ""
    secret_access_key: str = field(default="", repr=False)


def open_s3(url: str, access: S3Access) -> ObjectArtifacts:
    """Open ``s3://bucket[/prefix]``; nothing is asked of the store yet.

    Raises:
        InvalidInput: a part of the URL or of the access that cannot be; it names the setting.
    """
    bucket, prefix = _bucket_and_prefix(url)
    endpoint = _checked_endpoint(access)
    _check_words(access)
    config: S3Config = {"conditional_put": "etag"}
    if endpoint:
        # Both, or AWS_ENDPOINT_URL_S3 in the environment would go before the one that was given.
        config |= {"endpoint": endpoint, "aws_endpoint_url_s3": endpoint}
    if access.endpoint:
        config["virtual_hosted_style_request"] = False
    if access.region:
        config["region"] = access.region
    store = S3Store(
        bucket,
        prefix=prefix or None,
        config=config,
        client_options=_CLIENT,
        retry_config=_RETRIES,
        credential_provider=_credentials(access),
    )
    return ObjectArtifacts(store, url, partial(of_s3, endpoint=endpoint or "Amazon S3"))


def _bucket_and_prefix(url: str) -> tuple[str, str]:
    match = _URL.match(url)
    parts = (match["prefix"] or "").rstrip("/").split("/") if match else []
    if match is None or {".", ".."} & set(parts) or (len(parts) > 1 and "" in parts):
        raise InvalidInput(
            f"SERINUS_ARTIFACTS_URL is {shown(url)!r}, which is no place in S3.",
            field="SERINUS_ARTIFACTS_URL",
            remedy="Write s3://bucket or s3://bucket/prefix, the bucket with 3 to 63 characters, without keys: they "
            "have settings of their own.",
        )
    return match["bucket"], "/".join(parts)


def _checked_endpoint(access: S3Access) -> str:
    given = {"SERINUS_S3_ENDPOINT": access.endpoint} | {name: os.environ.get(name, "") for name in _ENDPOINT_VARIABLES}
    name, endpoint = next(((name, value) for name, value in given.items() if value), ("", ""))
    if endpoint and not _ENDPOINT.match(endpoint):
        raise InvalidInput(
            f"{name} is {shown(endpoint)!r}, which is no address of an S3 server.",
            field=name,
            remedy="Write http://host:port or https://host, without the bucket, or leave it unset for Amazon S3.",
        )
    return endpoint.rstrip("/")


def _check_words(access: S3Access) -> None:
    words = {
        "SERINUS_S3_REGION": access.region,
        "SERINUS_S3_ACCESS_KEY_ID": access.access_key_id,
        "SERINUS_S3_SECRET_ACCESS_KEY": access.secret_access_key,
    }
    if not access.access_key_id:
        words |= {name: os.environ.get(name, "") for name in _KEY_VARIABLES}
    for name, value in words.items():
        if not _WORD.match(value):
            raise InvalidInput(
                f"{name} holds a space, a line break or another character that cannot be in it.",
                field=name,
                remedy="Write it without anything before or after it.",
            )
    if bool(access.access_key_id) != bool(access.secret_access_key):
        missing = "SERINUS_S3_SECRET_ACCESS_KEY" if access.access_key_id else "SERINUS_S3_ACCESS_KEY_ID"
        raise InvalidInput(
            f"{missing} is empty, and the other half of the credentials is not.",
            field=missing,
            remedy="Set both, or none of them to use AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or the machine's role.",
        )


def _credentials(access: S3Access) -> "S3CredentialProvider | None":
    """Give the keys as a provider: as settings they would be joined by AWS_SESSION_TOKEN, which is of other keys."""
    if not access.access_key_id:
        return None
    credential: S3Credential = {
        "access_key_id": access.access_key_id,
        "secret_access_key": access.secret_access_key,
        "token": None,
        "expires_at": None,
    }
    return lambda: credential


def shown(url: str) -> str:
    """Give a URL without what may be a secret in it."""
    without_user = re.sub(r"://.*@", "://…@", url, flags=re.DOTALL)
    return re.sub(r"\?.*", "?…", without_user, flags=re.DOTALL)
