"""`canary dashboard` as it is started and ended."""

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.dashboard.conftest import dashboard_of
from tests.server import COMMAND, environment

from serinus.dashboard import launching


def refused(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "dashboard", *arguments], capture_output=True, text=True, check=False, env=environment(), timeout=60
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_and_ends_when_it_is_told_to(tmp_path: Path, number: signal.Signals) -> None:
    with dashboard_of("http://127.0.0.1:9", tmp_path / "log") as dashboard:
        dashboard.process.send_signal(number)

        assert dashboard.process.wait(30) == 0
    assert "http://127.0.0.1:9" in (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_it_does_not_listen_to_the_network_unless_it_is_told_that_this_is_wanted() -> None:
    done = refused("--host", "0.0.0.0", "--port", "0")

    assert done.returncode == 2
    assert "asks its visitors for no key" in done.stderr
    assert "--insecure" in done.stderr


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = refused("--port", str(port))

    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr


def test_a_server_that_is_none_is_refused_at_once() -> None:
    done = refused("--url", "ftp://nowhere")

    assert done.returncode == 2
    assert "ftp://nowhere" in done.stderr


def test_what_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launching, "LIBRARIES", ("no_such_library",))

    with pytest.raises(launching.ExtraMissing, match=r"no_such_library.*serinus\[dashboard\]"):
        launching.checked("127.0.0.1", 0, insecure=False)


def test_nothing_is_told_to_anybody_and_other_names_are_not_answered() -> None:
    options = launching.options("127.0.0.1", 8501, insecure=False)

    assert options["browser.gatherUsageStats"] is False
    assert options["server.enableXsrfProtection"] is True
    assert options["server.enableCORS"] is True
    assert set(options["server.allowedHosts"]) == {"127.0.0.1", "::1", "localhost"}


def test_every_option_is_one_that_streamlit_has() -> None:
    from streamlit import config

    known = set(config.get_config_options())

    assert set(launching.options("127.0.0.1", 8501, insecure=False)) <= known


def test_no_visitor_finds_a_library_half_imported_by_another() -> None:
    script = (
        "import sys; from serinus.dashboard import launching; launching.import_all(); before = set(sys.modules); "
        "import altair, pandas, serinus.dashboard.controls, serinus.dashboard.comparison.charts; "
        "sys.exit(set(sys.modules) != before)"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False, env=environment()).returncode == 0


def test_starting_the_command_line_does_not_load_it() -> None:
    script = "import sys, serinus.cli.app; sys.exit('streamlit' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", script], check=False, env=environment()).returncode == 0
