"""Without S3 what was loaded once goes on, also on a gateway that starts again; nothing new begins."""

import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests import models
from tests.e2e.reporting import say
from tests.models import KNOWN, STABLE
from tests.production.conftest import MakeFleet
from tests.production.fleet import Fleet
from tests.production.load import Load, load
from tests.server import Server, eventually
from tests.services import SeaweedFS, provided

pytestmark = pytest.mark.timeout(300)
ASKED = 100
CACHED, UNSEEN, LATER = 3, 4, 5
"""Versions: one that the gateway had as a canary before, one that it never loaded, one that is registered after."""
BY_HAND = {"auto_promote": False, "auto_rollback": False}


def version(number: int) -> models.Risk:
    """Make a model that is right, and whose file is no other's."""
    return models.Risk(seconds=number / 1e6)


@dataclass
class Aftermath:
    """What gateways did while S3 was gone, and after."""

    load: Load = field(default_factory=Load)
    refusals: dict[int, dict[str, Any]] = field(default_factory=dict)
    refused_in_s: dict[int, float] = field(default_factory=dict)
    uploads: dict[str, int] = field(default_factory=dict)
    restarted: list[str] = field(default_factory=list)
    newcomer_without: tuple[int, int] = (0, 0)
    newcomer_with: tuple[int, int] = (0, 0)
    started: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Production:
    """A fleet with an S3 store of its own."""

    seaweedfs: SeaweedFS
    fleet: Fleet
    gateway: Server


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory, new_fleet: MakeFleet) -> Iterator[Production]:
    with provided(SeaweedFS()) as seaweedfs:
        place = seaweedfs.s3("outages")
        own = {
            "SERINUS_ARTIFACTS_URL": place.url,
            "SERINUS_S3_ENDPOINT": place.endpoint,
            "SERINUS_S3_ACCESS_KEY_ID": place.access_key,
            "SERINUS_S3_SECRET_ACCESS_KEY": place.secret_key,
        }
        with new_fleet(tmp_path_factory.mktemp("s3-outages"), **own) as fleet:
            gateway = fleet.gateway()
            fleet.checker()
            yield Production(seaweedfs, fleet, gateway)


@pytest.fixture(scope="module")
def aftermath(production: Production) -> Aftermath:
    """Stop S3 for a while."""
    seen, fleet, gateway = Aftermath(), production.fleet, production.gateway
    fleet.register(gateway, *(version(number) for number in range(1, UNSEEN + 1)))
    with gateway.client() as client:
        client.deploy("prod", STABLE, BY_HAND)
        client.start("prod", 2, 50)
        client.deploy("other", STABLE, BY_HAND)
        client.start("other", CACHED, 50)
        client.rollback("other")
    with load([gateway.port], {"prod": 0.02}) as seen.load:
        production.seaweedfs.stop()
        for number in (CACHED, UNSEEN):
            asked_at = time.monotonic()
            seen.refusals[number] = start(gateway, number)
            seen.refused_in_s[number] = time.monotonic() - asked_at
        seen.uploads["without"] = upload(gateway)
    gateway.kill()
    restarted, newcomer = fleet.gateway(home=gateway.home), fleet.begin("newcomer", "--no-checker")
    seen.restarted = [predict(restarted, "prod")[1] for _ in range(ASKED)]
    assert eventually(lambda: newcomer.announced)
    seen.newcomer_without = ready(newcomer), predict(newcomer, "prod")[0]
    production.seaweedfs.start()
    back_at = time.monotonic()
    newcomer.wait_until_ready()
    say(f"a gateway that had nothing is ready {time.monotonic() - back_at:.2f} s after S3 is back")
    seen.newcomer_with = ready(newcomer), predict(newcomer, "prod")[0]
    seen.uploads["with"] = upload(restarted)
    seen.started = start(restarted, UNSEEN)["http"]
    with restarted.client() as client:
        seen.events = client.events("other")["events"]
    return seen


def start(server: Server, number: int) -> dict[str, Any]:
    """Start a canary of the deployment ``other``; gives the answer's document, and its status as ``http``."""
    with server.http() as http:
        answer = http.post("/deployments/other/canary", json={"version": number, "weight": 50})
    return {**answer.json(), "http": answer.status_code}


def upload(server: Server) -> int:
    """Upload another model file, and give the answer's status."""
    data = models.pickled(version(LATER)).data
    with server.http() as http:
        return http.put(f"/artifacts/sha256:{hashlib.sha256(data).hexdigest()}", content=data).status_code


def predict(server: Server, deployment: str) -> tuple[int, str]:
    """Ask for one prediction; gives the answer's status, and who answered."""
    with server.http() as http:
        answer = http.post(f"/predict/{deployment}", json={"features": KNOWN})
    return answer.status_code, answer.json().get("model_role", "")


def ready(server: Server) -> int:
    with server.http() as http:
        return http.get("/health/ready").status_code


def test_a_running_gateway_serves_both_versions(aftermath: Aftermath) -> None:
    answers = aftermath.load.of("prod")

    assert {answer.status for answer in answers} == {200}
    assert aftermath.load.lost == []
    assert Counter(answer.is_canary for answer in answers).keys() == {True, False}


@pytest.mark.parametrize("number", [CACHED, UNSEEN], ids=["cached here", "never loaded"])
def test_a_new_canary_is_refused_with_the_reason(production: Production, aftermath: Aftermath, number: int) -> None:
    refusal = aftermath.refusals[number]
    say(f"refused after {aftermath.refused_in_s[number]:.2f} s: {refusal['detail']}")

    assert refusal["http"] == 503
    assert refusal["code"] == "SERINUS-UNAVAILABLE"
    assert production.seaweedfs.endpoint in refusal["detail"]
    assert refusal["remedy"]


def test_the_refusals_are_on_record(aftermath: Aftermath) -> None:
    refused = [event["data"] for event in aftermath.events if event["kind"] == "canary_refused"]

    assert [each["canary"] for each in refused] == [f"risk@{CACHED}", f"risk@{UNSEEN}"]
    assert {each["code"] for each in refused} == {"SERINUS-UNAVAILABLE"}


def test_a_gateway_that_starts_again_serves_what_it_had_before(aftermath: Aftermath) -> None:
    assert Counter(aftermath.restarted).keys() == {"baseline", "canary"}


def test_a_gateway_that_has_nothing_serves_when_s3_is_back(aftermath: Aftermath) -> None:
    assert aftermath.newcomer_without == (503, 503)
    assert aftermath.newcomer_with == (200, 200)


def test_an_upload_is_refused_until_s3_is_back(aftermath: Aftermath) -> None:
    assert aftermath.uploads == {"without": 503, "with": 201}


def test_a_canary_that_was_refused_starts_when_s3_is_back(aftermath: Aftermath) -> None:
    assert aftermath.started == 201
