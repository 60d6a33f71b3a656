"""`make demo-production`: the demo's story on PostgreSQL, Redis and S3, told by two gateways behind a load balancer.

It starts the services on free ports of this machine, and nothing is left of them afterwards.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
from tests.production.balancing import balanced, ports_of
from tests.production.fleet import Fleet, closing
from tests.server import Server
from tests.service import Missing
from tests.services import HAProxy, PostgreSQL, Redis, SeaweedFS

from serinus.cli.display.screen import stdout_console
from serinus.examples.heart_disease.models import train
from serinus.examples.heart_disease.narrator import Narrator
from serinus.examples.heart_disease.server import ended_by_signals
from serinus.examples.heart_disease.story import DEPLOYMENT
from serinus.examples.heart_disease.telling import tell

PATIENCE_S = 60.0
PACE = {"SERINUS_CHECK_INTERVAL": "0.25", "SERINUS_EVIDENCE_INTERVAL": "0.25", "SERINUS_ALLOW_PICKLE": "false"}


def main() -> int:
    """Tell the story, and give 0 if it came true."""
    narrator = Narrator(stdout_console())
    try:
        with ended_by_signals(), running(narrator) as (fleet, url):
            came_true = tell(narrator, lambda: url, train, PATIENCE_S)
            shared = told_by_both(narrator, fleet)
    except Missing as missing:
        narrator.wrong(str(missing))
        return 1
    return int(not (came_true and shared))


@contextmanager
def running(narrator: Narrator) -> Iterator[tuple[Fleet, str]]:
    """Start everything, and give the gateways with the address of the load balancer in front of them."""
    with ExitStack() as belongings:
        folder = Path(tempfile.mkdtemp(prefix="serinus-production-"))
        belongings.callback(shutil.rmtree, folder, ignore_errors=True)
        with narrator.waiting("Starting PostgreSQL, Redis, an S3 store, two gateways, a checker and HAProxy"):
            postgresql = belongings.enter_context(PostgreSQL())
            redis = belongings.enter_context(Redis())
            s3 = belongings.enter_context(SeaweedFS()).s3("demo")
            database = postgresql.url(postgresql.create_database())
            fleet = Fleet.on(folder, database=database, redis=redis.url(), s3=s3, **PACE)
            belongings.enter_context(closing(fleet))
            first, second = fleet.gateways(2, "--insecure")
            fleet.checker()
            balancer = belongings.enter_context(HAProxy(balanced(*ports_of(first, second))))
        narrator.title("Serinus in production", "two gateways and a checker, behind a load balancer")
        for name, place in (
            ("state", database),
            ("live splits", redis.url()),
            ("artifacts", f"{s3.url} at {s3.endpoint}"),
            ("gateways", f"{first.url}, {second.url}"),
            ("load balancer", balancer.url),
        ):
            narrator.say((f"{name:<14}", "dim"), place)
        yield fleet, balancer.url


def told_by_both(narrator: Narrator, fleet: Fleet) -> bool:
    """Say what each gateway answered, by its own metrics; False if one had no part in it."""
    narrator.heading(6, "Who answered")
    answered = [answers(gateway) for gateway in fleet.servers[:2]]
    for gateway, number in zip(fleet.servers, answered, strict=False):
        narrator.say(f"{gateway.url} answered {number:g} patients.")
    return all(answered)


def answers(gateway: Server) -> float:
    """Count a gateway's requests for the demo's deployment."""
    lines = httpx2.get(f"{gateway.url}/metrics", trust_env=False).text.splitlines()
    begin = f'prediction_requests_total{{deployment="{DEPLOYMENT}"'
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(begin))


if __name__ == "__main__":
    sys.exit(main())
