"""What is more than a model can do is refused at once, and not charged to it; the rest is answered as ever."""

from collections import Counter
from pathlib import Path

import pytest
from tests import models
from tests.e2e.conftest import QUICK
from tests.e2e.load import ask_steadily
from tests.e2e.reporting import milliseconds, say
from tests.models import KNOWN, STABLE
from tests.server import eventually, serving

MODEL_S = 0.02
"""The model answers one request after the other, fifty a second at most."""
EACH_S = 0.006
NUMBER = 400
AT_ONCE_S = 0.5
"""What a busy machine may take for a refusal."""
SETTINGS = QUICK | {"SERINUS_RUNNER_BATCH": "1"}


@pytest.mark.parametrize("queue", [8, 4096], ids=["as-many-as-may-wait", "as-many-as-have-time"])
async def test_three_times_what_a_model_can_do_is_answered_or_refused_at_once_and_none_is_late(
    tmp_path: Path, queue: int
) -> None:
    with (
        serving(tmp_path / "home", SERINUS_PREDICTOR_QUEUE=str(queue), **SETTINGS) as server,
        server.client() as client,
    ):
        models.register(client, "risk", models.Risk(seconds=MODEL_S))
        client.deploy("prod", STABLE)

        replies = await ask_steadily(server.port, "prod", NUMBER, {"features": KNOWN}, each_s=EACH_S)

        statuses = Counter(reply.status for reply in replies)
        refused = [reply for reply in replies if reply.status == 503]
        say(f"{dict(statuses)}; 200: {milliseconds([reply.seconds for reply in replies if reply.status == 200])}")
        assert set(statuses) == {200, 503}
        assert {(reply.document["code"], reply.retry_after) for reply in refused} == {("SERINUS-OVERLOADED", "1")}
        assert sorted(reply.seconds for reply in refused)[len(refused) // 2] < AT_ONCE_S
        # The model is never without work: what it answers is what it can do.
        took_s = max(reply.sent_at + reply.seconds for reply in replies) - min(reply.sent_at for reply in replies)
        assert statuses[200] > 0.6 * took_s / MODEL_S
        assert eventually(lambda: client.metrics("prod")["baseline"]["platform_errors"] == len(refused))
        counted = client.metrics("prod")["baseline"]
        assert (counted["requests"], counted["timeouts"], counted["model_errors"]) == (statuses[200], 0, 0)
