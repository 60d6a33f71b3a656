"""`canary demo` as a newcomer meets it: a process of its own, which leaves nothing behind."""

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.cli.terminal import COMMAND, environment
from tests.examples.leftovers import assert_nothing_is_left, console, written

from serinus.examples.heart_disease import demo, story
from serinus.examples.heart_disease.models import Candidate, train


def test_the_story_comes_true_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "demo"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        # Settings of another server of this user are none of the demo's business.
        env=environment(
            TMPDIR=str(tmp_path), SERINUS_DATABASE_URL="postgresql://nowhere", SERINUS_URL="http://nowhere"
        ),
    )

    assert done.returncode == 0, done.stdout + done.stderr
    for line in (
        r"ca may be missing, but never was in the canary's training data",
        r"✗ critical  canary .* odds [\w ]+ to 1 against",
        r"errors +✗ fail",
        r"Rolled back by the health checker after \d+\.\d s",
        r"Callers without an answer: 0 of \d+",
        r"59 of the 303 patients \(19\.5 %\)",
        r"⇄ traffic adjusted  50 % of the traffic",
        r"heart@3 failed 0 of [\d ]+; odds for it: errors [\d >e]+:1, p95 [\d >e]+:1 \(10:1 wanted\)",
        r"⇄ traffic adjusted  100 % of the traffic",
        r"▴ promoted  step 4 of 4",
        r"● bake ended",
        r"↯ auto-rollback",
        r"↥ auto-promotion",
        r"explain heart-prod and \S+ replay heart-prod:1",
        r"✓ all \d+ requests were answered with status 200",
        r"✓ heart@3 was compared for a while after that, and stays",
        r"✓ heart-prod serves heart@3",
    ):
        assert re.search(line, done.stdout), f"{line} is not in:\n{done.stdout}"
    assert "\x1b" not in done.stdout
    assert_nothing_is_left(tmp_path)


def test_a_story_that_does_not_come_true_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    out = console()

    def without_a_trap() -> Sequence[Candidate]:
        first, _, third = train()
        return first, third, third

    # So young, even a good canary is not promoted.
    code = demo.run(keep=False, console=out, trained=without_a_trap, patience_s=story.BAKE_S / 2)

    assert code == 1
    assert "✗ heart@2 was not rolled back" in written(out)
    assert "✗ heart-prod serves heart@1, not heart@3" in written(out)
    assert "✓ all" in written(out)
    assert_nothing_is_left(tmp_path)


def test_the_libraries_that_training_needs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "LIBRARIES", ("sklearn", "no_such_library"))
    out = console()

    code = demo.run(keep=False, console=out)

    assert code == 1
    assert "no_such_library" in written(out)
    assert "pip install 'serinus[demo]'" in written(out)
