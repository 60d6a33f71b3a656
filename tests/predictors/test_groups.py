"""Where the processes of models stand among those of the machine."""

import os

from serinus.predictors.processes import launched


def test_a_terminal_tells_runners_nothing_and_they_share_the_processor_with_their_gateway() -> None:
    link, process = launched(1)
    with link:
        assert process is not None
        group, session = os.getpgid(process.pid), os.getsid(process.pid)
    process.wait(60)

    assert group != os.getpgid(0)
    assert session == os.getsid(0)
