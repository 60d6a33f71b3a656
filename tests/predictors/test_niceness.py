import os
import subprocess
import sys
from pathlib import Path

import pytest

from serinus.predictors.isolation import set_niceness

TWO_THREADS = "import threading; threading.Thread(target=input, daemon=True).start(); print(1); input()"


@pytest.mark.skipif(sys.platform != "linux", reason="each thread has a niceness of its own on Linux alone")
def test_all_threads_of_a_process_let_others_go_first() -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-c", TWO_THREADS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert set_niceness(child.pid, 5)
        threads = [int(each.name) for each in Path(f"/proc/{child.pid}/task").iterdir()]
        niceness = {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads}
        child.kill()

    assert len(threads) == 2
    assert niceness == {5}


def test_the_niceness_of_a_process_that_has_ended_cannot_be_set() -> None:
    with subprocess.Popen(["true"]) as child:
        child.wait()

    assert not set_niceness(child.pid, 5)
