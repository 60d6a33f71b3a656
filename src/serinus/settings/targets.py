"""The settings of who is told of events: whether they can be, one by one. Nothing is asked, and no address is shown."""

import base64
import binascii
import re
from urllib.parse import urlsplit

from serinus.core.events import EventKind
from serinus.settings.addresses import Wrong

SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets begin with
SECRET_BYTES = range(24, 65)
"""How long a secret of the Standard Webhooks is."""

_HOST = re.compile(r"[\w.:-]+\Z")
_BETWEEN_ADDRESSES = re.compile(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)")


def listed(text: str) -> list[str]:
    """Take apart what stands in a row with commas in between."""
    return [part.strip() for part in text.split(",") if part.strip()]


def listed_addresses(text: str) -> list[str]:
    """Take apart addresses that may have commas of their own."""
    return [part.strip(" ,\n\t") for part in _BETWEEN_ADDRESSES.split(text) if part.strip(" ,\n\t")]


def check_web_addresses(text: str, what: str) -> None:
    """Wrong if one of them is no http:// or https:// address."""
    for number, url in enumerate(listed_addresses(text), start=1):
        try:
            parts = urlsplit(url)
            known = parts.scheme in {"http", "https"} and bool(_HOST.match(parts.hostname or ""))
            usable = known and (parts.port or 1) > 0
        except ValueError:
            usable = False
        if not usable or "#" in url or len(url.split()) > 1:
            raise Wrong(
                f"number {number} is no address of {what}",
                "Write http://HOST/PATH or https://HOST/PATH, with commas in between if there are several.",
            )


def check_secrets(text: str) -> None:
    """Wrong if one of them is no secret by which webhooks are signed."""
    remedy = 'Make one with `echo "whsec_$(openssl rand -base64 32)"`; to change it, put the new one before the old.'
    for number, secret in enumerate(listed(text), start=1):
        if not secret.startswith(SECRET_PREFIX):
            raise Wrong(f"number {number} does not begin with {SECRET_PREFIX}", remedy)
        try:
            length = len(base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True))
        except (binascii.Error, ValueError):
            raise Wrong(f"number {number} is no base64 after {SECRET_PREFIX}", remedy) from None
        if length not in SECRET_BYTES:
            raise Wrong(f"number {number} has {length} bytes, and 24 to 64 are wanted", remedy)


def check_notify_addresses(text: str) -> None:
    """Wrong if one of them is no address at all; whether it is one of Apprise's is seen when it is opened."""
    for number, url in enumerate(listed_addresses(text), start=1):
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://\S+\Z", url):
            raise Wrong(
                f"number {number} is no address",
                "Write them as Apprise does, slack://…, mailto://…, with commas in between.",
            )


def check_kinds(kinds: frozenset[str]) -> None:
    """Wrong if there are no events of such a kind."""
    unknown = sorted(kinds - set(EventKind))
    if unknown:
        raise Wrong(f"there are no events of kind {', '.join(unknown)}", f"Choose of {', '.join(EventKind)}.")
