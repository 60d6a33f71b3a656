"""What the documentation of notifications says is so."""

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import msgspec
import pytest
from tests.docs.tables import README
from tests.notify.receiver import receiving
from tests.notify.samples import IDENTITY, SECRET, recorded, rolled_back

from serinus.core.events import EventKind
from serinus.notify.apprise import KINDS, message
from serinus.notify.webhook import Webhook, cloud_event

TEXT = (README.parent / "docs/notifications.md").read_text(encoding="utf-8")
OTHER_SECRET = "whsec_" + base64.b64encode(b"another one, as long as it has to be").decode()

IsGenuine = Callable[[Mapping[str, str], bytes, str], bool]


@pytest.fixture(scope="module")
def is_genuine() -> IsGenuine:
    """The documented way to verify a message."""
    (code,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, "notifications.md", "exec"), names)
    verify: IsGenuine = names["is_genuine"]
    return verify


async def test_what_is_sent_is_verified_as_documented(is_genuine: IsGenuine) -> None:
    with receiving() as receiver:
        async with httpx2.AsyncClient(trust_env=False) as http:
            await Webhook(http, receiver.url, [SECRET], IDENTITY).notify([rolled_back()])
            await Webhook(http, receiver.url, [OTHER_SECRET, SECRET], IDENTITY).notify([rolled_back()])
            long_ago = datetime.now(UTC) - timedelta(minutes=6)
            await Webhook(http, receiver.url, [SECRET], IDENTITY, lambda: long_ago).notify([rolled_back()])

    sent, with_both, late = receiver.posts
    assert is_genuine(sent.headers, sent.body, SECRET)
    assert is_genuine(with_both.headers, with_both.body, SECRET)
    assert is_genuine(with_both.headers, with_both.body, OTHER_SECRET)
    assert not is_genuine(sent.headers, sent.body, OTHER_SECRET)
    assert not is_genuine(sent.headers, sent.body + b" ", SECRET)
    assert not is_genuine({**sent.headers, "webhook-id": "another"}, sent.body, SECRET)
    assert not is_genuine(late.headers, late.body, SECRET)


def test_the_event_that_is_shown_is_like_one_that_is_sent() -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    sent = msgspec.json.decode(msgspec.json.encode(cloud_event(rolled_back(), IDENTITY)))

    read = msgspec.json.decode(shown)

    assert read.keys() == sent.keys()
    assert read["data"].keys() == sent["data"].keys()
    assert read["id"] == f"{read['source'].removeprefix('urn:uuid:')}:{read['data']['id']}"


def test_the_message_that_is_shown_is_like_one_that_is_sent() -> None:
    title, body = message(rolled_back().event)

    assert f"{title}\n{body}".replace("heart-prod:2", "heart-prod:3") in TEXT


def test_the_kinds_that_people_are_told_of_are_those_that_are_named() -> None:
    for kind in KINDS:
        assert message(recorded(kind).event)
    assert EventKind.HEALTH_CHECK_PASSED not in KINDS
