"""What a receiver gets is a CloudEvent that it can verify, and what it answers is understood."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.formats.json import JSONFormat
from tests.notify.receiver import Receiver, Reply, receiving
from tests.notify.samples import IDENTITY, NOW, SECRET, recorded, rolled_back
from tests.service import free_ports

from serinus.core.errors import NotificationRefused, TargetGone, Unavailable
from serinus.core.events import EventKind
from serinus.http.documents import of_event
from serinus.notify.webhook import Webhook

FAR_DAY = f"Fri, {10**20} Jan 2026 12:00:00 GMT"
OTHER_SECRET = "whsec_" + base64.b64encode(b"another one, as long as it has to be").decode()


@pytest.fixture(scope="module")
def running() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def receiver(running: Receiver) -> Receiver:
    running.posts.clear()
    running.answers = lambda _: Reply()
    return running


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        yield http


def webhook(http: httpx2.AsyncClient, url: str, *secrets: str) -> Webhook:
    return Webhook(http, url, secrets or (SECRET,), IDENTITY, lambda: NOW)


async def test_an_event_comes_as_a_cloud_event(http: httpx2.AsyncClient, receiver: Receiver) -> None:
    event = rolled_back()

    await webhook(http, f"{receiver.url}/hooks/serinus?team=risk").notify([event])

    (post,) = receiver.posts
    assert post.path == "/hooks/serinus?team=risk"
    assert post.headers["content-type"] == "application/cloudevents+json"
    read = from_http_event(HTTPMessage(post.headers, post.body), JSONFormat())
    assert read.get_specversion() == "1.0"
    assert (read.get_id(), read.get_source()) == (f"{IDENTITY}:7", f"urn:uuid:{IDENTITY}")
    assert (read.get_type(), read.get_subject()) == ("io.serinus.rolled_back", "heart-prod")
    assert read.get_time() == NOW
    assert read.get_datacontenttype() == "application/json"


async def test_its_data_is_the_event_as_the_api_has_it(http: httpx2.AsyncClient, receiver: Receiver) -> None:
    event = rolled_back()

    await webhook(http, receiver.url).notify([event])

    assert receiver.posts[0].json["data"] == of_event(event) | {"deployment": "heart-prod"}


async def test_what_is_posted_is_signed(http: httpx2.AsyncClient, receiver: Receiver) -> None:
    await webhook(http, receiver.url).notify([rolled_back()])

    (post,) = receiver.posts
    stamp = str(int(NOW.timestamp()))
    signed = b".".join([f"{IDENTITY}:7".encode(), stamp.encode(), post.body])
    expected = hmac.new(base64.b64decode(SECRET[6:]), signed, hashlib.sha256).digest()
    assert post.headers["webhook-id"] == f"{IDENTITY}:7"
    assert post.headers["webhook-timestamp"] == stamp
    assert post.headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"


async def test_while_a_secret_changes_there_is_a_signature_by_each(
    http: httpx2.AsyncClient, receiver: Receiver
) -> None:
    for secrets in ((SECRET,), (OTHER_SECRET,), (OTHER_SECRET, SECRET)):
        await webhook(http, receiver.url, *secrets).notify([rolled_back()])

    old, new, both = (post.headers["webhook-signature"] for post in receiver.posts)
    assert both == f"{new} {old}"
    assert old != new


async def test_an_event_that_is_told_again_has_the_same_id(http: httpx2.AsyncClient, receiver: Receiver) -> None:
    target = webhook(http, receiver.url)

    for number in (7, 7, 8):
        await target.notify([rolled_back(number)])

    assert receiver.ids() == [f"{IDENTITY}:7", f"{IDENTITY}:7", f"{IDENTITY}:8"]


def test_a_name_tells_addresses_apart_and_gives_nothing_away() -> None:
    http = httpx2.AsyncClient()
    urls = [
        "https://ops:s3cret@hooks.example/T0P",
        "https://ops:s3cret@hooks.example/T0Q",
        "https://hooks.example:8443/",
    ]
    names = [webhook(http, url).name for url in urls]

    assert names == [webhook(http, url).name for url in urls]
    assert len(set(names)) == 3
    assert [name.rpartition(":")[0] for name in names] == [
        "webhook:hooks.example",
        "webhook:hooks.example",
        "webhook:hooks.example:8443",
    ]


# ------------------------------------------------------------------------------------------ answers


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_it_is_taken(status: int, http: httpx2.AsyncClient, receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(status)

    await webhook(http, receiver.url).notify([rolled_back()])


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503])
async def test_it_may_be_taken_another_time(status: int, http: httpx2.AsyncClient, receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(status)

    with pytest.raises(Unavailable, match=str(status)) as refused:
        await webhook(http, receiver.url).notify([rolled_back()])

    assert refused.value.details["retry_after_s"] is None


@pytest.mark.parametrize("status", [400, 401, 404, 413])
async def test_it_will_not_be_taken(status: int, http: httpx2.AsyncClient, receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(status)

    with pytest.raises(NotificationRefused, match=str(status)) as refused:
        await webhook(http, receiver.url).notify([rolled_back()])

    assert not isinstance(refused.value, TargetGone)


async def test_who_answers_410_wants_no_more(http: httpx2.AsyncClient, receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(410)

    with pytest.raises(TargetGone):
        await webhook(http, receiver.url).notify([rolled_back()])


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirection_is_not_followed(status: int, http: httpx2.AsyncClient, receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(status, (("location", f"{receiver.url}/elsewhere"),))

    with pytest.raises(NotificationRefused, match="elsewhere"):
        await webhook(http, receiver.url).notify([rolled_back()])

    assert len(receiver.posts) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_how_long_to_wait_is_read_in_seconds(status: int, http: httpx2.AsyncClient, receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(status, (("retry-after", "120"),))

    with pytest.raises(Unavailable) as refused:
        await webhook(http, receiver.url).notify([rolled_back()])

    assert refused.value.details["retry_after_s"] == 120.0


async def test_how_long_to_wait_is_read_as_a_date(http: httpx2.AsyncClient, receiver: Receiver) -> None:
    when = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    receiver.answers = lambda _: Reply(503, (("retry-after", when),))

    with pytest.raises(Unavailable) as refused:
        await webhook(http, receiver.url).notify([rolled_back()])

    waits_s = refused.value.details["retry_after_s"]
    assert isinstance(waits_s, float)
    assert 3000 < waits_s <= 3600


@pytest.mark.parametrize("said", ["soon", "-5", "١٢", "Fri, 99 Foo 2026 12:00:00 GMT", FAR_DAY])
async def test_what_is_no_time_to_wait_is_none(said: str, http: httpx2.AsyncClient, receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(503, (("retry-after", said.encode().decode("latin-1")),))

    with pytest.raises(Unavailable) as refused:
        await webhook(http, receiver.url).notify([rolled_back()])

    assert refused.value.details["retry_after_s"] is None


async def test_what_else_it_says_is_not_read(http: httpx2.AsyncClient, receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(200, (("content-encoding", "gzip"),), claims=10**12)

    await webhook(http, receiver.url).notify([rolled_back()])


async def test_nobody_there_is_no_refusal(http: httpx2.AsyncClient) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        await webhook(http, f"http://127.0.0.1:{free_ports(1)[0]}/").notify([rolled_back()])


async def test_a_connection_that_breaks_is_no_refusal(http: httpx2.AsyncClient, receiver: Receiver) -> None:
    receiver.answers = lambda _: Reply(hangs_up=True)

    with pytest.raises(Unavailable, match="does not answer"):
        await webhook(http, receiver.url).notify([rolled_back()])


@pytest.mark.parametrize("kind", EventKind)
async def test_every_kind_of_event_is_wanted(kind: EventKind, http: httpx2.AsyncClient, receiver: Receiver) -> None:
    target = webhook(http, receiver.url)

    await target.notify([recorded(kind)])

    assert kind in target.kinds
    assert receiver.kinds() == [kind.value]
