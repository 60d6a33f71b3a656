"""Webhooks: each event is posted as a CloudEvent, signed as the Standard Webhooks say."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import httpx2
import msgspec

from serinus.core.events import EventKind
from serinus.core.records import RecordedEvent
from serinus.notify.posting import named, posted

CONTENT_TYPE = "application/cloudevents+json"
TYPE = "io.serinus."
"""What the types of all events begin with; the kind follows."""


class Webhook:
    """Posts to one address.

    Args:
        url, secrets: where to, and what signs; each secret is ``whsec_`` and base64. With several, while one takes the
            other's place, there is a signature by each.
        identity: the store's. With the event's number it makes an id that a receiver can know an event by again.
    """

    def __init__(
        self,
        http: httpx2.AsyncClient,
        url: str,
        secrets: Sequence[str],
        identity: str,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name = named("webhook", url)
        self.kinds = frozenset(EventKind)
        self._http = http
        self._url = url
        self._keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
        self._identity = identity
        self._now = now

    async def notify(self, events: Sequence[RecordedEvent]) -> None:
        """Post each event; raises what ``posted`` does."""
        for recorded in events:
            event = cloud_event(recorded, self._identity)
            body = msgspec.json.encode(event)
            stamp = str(int(self._now().timestamp()))
            await posted(self._http, self._url, body, self._headers(str(event["id"]), stamp, body))

    def _headers(self, name: str, stamp: str, body: bytes) -> dict[str, str]:
        return {
            "content-type": CONTENT_TYPE,
            "webhook-id": name,
            "webhook-timestamp": stamp,
            "webhook-signature": " ".join(signature(key, name, stamp, body) for key in self._keys),
        }


def cloud_event(recorded: RecordedEvent, identity: str) -> dict[str, object]:
    """Give an event as a CloudEvent 1.0; ``data`` is the event as the API has it, with its deployment."""
    event = recorded.event
    return {
        "specversion": "1.0",
        "id": f"{identity}:{recorded.id}",
        "source": f"urn:uuid:{identity}",
        "type": TYPE + event.kind.value,
        "subject": event.deployment,
        "time": event.at.isoformat(),
        "datacontenttype": "application/json",
        "data": {
            "id": recorded.id,
            "deployment": event.deployment,
            "at": event.at.isoformat(),
            "kind": event.kind.value,
            "actor": event.actor,
            "reason": event.reason,
            "rollout": event.rollout or None,
            "generation": event.generation,
            "data": dict(event.data),
        },
    }


def signature(key: bytes, name: str, stamp: str, body: bytes) -> str:
    """Sign a message: HMAC-SHA-256 over its id, its time in seconds since the epoch and its body, dots in between."""
    signed = f"{name}.{stamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
