"""`canary demo`: the story with all that it needs, a server and a folder, and nothing left of either afterwards."""

import shutil
import tempfile
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.text import Text

from serinus.client import DocumentClient
from serinus.core.errors import SerinusError
from serinus.examples.heart_disease import board, pages, story
from serinus.examples.heart_disease.models import LIBRARIES, features_of, patients, train
from serinus.examples.heart_disease.narrator import Narrator
from serinus.examples.heart_disease.server import Server, ended_by_signals
from serinus.examples.heart_disease.story import DEPLOYMENT
from serinus.examples.heart_disease.telling import Trained, tell
from serinus.examples.heart_disease.traffic import Traffic

PATIENCE_S = 40.0


def run(
    keep: bool,  # noqa: FBT001 - the option as it was given
    console: Console,
    *,
    trained: Trained = train,
    patience_s: float = PATIENCE_S,
) -> int:
    """Tell the story, and give 0 if it came true, else 1.

    Args:
        keep: leave the server up afterwards until Ctrl-C, with callers and a dashboard, and its data for good.
        console: where it is told.
        trained: gives the three versions.
        patience_s: how long one verdict may be waited for.
    """
    narrator = Narrator(console)
    lacking = [library for library in LIBRARIES if find_spec(library) is None]
    if lacking:
        narrator.wrong(f"The demo trains models, and {', '.join(lacking)} cannot be found.")
        narrator.say("Install what it needs: pip install 'serinus[demo]'")
        return 1
    with ended_by_signals(), ExitStack() as belongings:
        folder = Path(tempfile.mkdtemp(prefix="serinus-demo-"))
        belongings.callback(shutil.rmtree, folder)
        with Server(folder / "home", folder / "server.log") as server:
            try:
                came_true = tell(narrator, server.url, trained, patience_s)
            except SerinusError as error:
                _explain(narrator, error, server)
                return 1
            if keep:
                belongings.pop_all()
                _stay(narrator, server, folder)
    narrator.gap()
    if keep:
        narrator.say("Stopped; the data are still there.")
        for line in pages.what_stays(folder, server.home):
            narrator.copyable(line)
    else:
        command = pages.canary_command()
        narrator.say(
            f"Look around yourself: {command} demo --keep leaves the server up, with a dashboard.", style="dim"
        )
    return int(not came_true)


def _explain(narrator: Narrator, error: SerinusError, server: Server) -> None:
    narrator.wrong(str(error))
    if server.said():
        narrator.say("The server wrote:", style="dim")
        for line in server.said().splitlines():
            narrator.copyable(Text(line, "dim"))


def _stay(narrator: Narrator, server: Server, folder: Path) -> None:
    """Leave the server up until Ctrl-C, with callers and a dashboard."""
    url = server.url()
    with ExitStack() as company, suppress(KeyboardInterrupt):
        company.enter_context(Traffic(url, DEPLOYMENT, features_of(patients())))
        _show_dashboard(narrator, company, url, folder)
        narrator.gap()
        narrator.say("Or look around from another terminal:")
        for line in pages.next_steps(url):
            narrator.copyable(line)
        narrator.gap()
        narrator.say("Patients go on arriving. All stays up until Ctrl-C, the data for good.")
        server.wait()
        narrator.wrong("The server ended by itself.")


def _show_dashboard(narrator: Narrator, company: ExitStack, url: str, folder: Path) -> None:
    """Start a dashboard and say where it is; where it cannot be, say why."""
    narrator.heading(6, "See for yourself")
    if not board.can_be_shown():
        narrator.say("There would be a dashboard, too: pip install 'serinus[dashboard]'")
        return
    shown = company.enter_context(board.Board(url, folder / "dashboard.log"))
    with narrator.waiting("Starting a dashboard"):
        where = shown.url()
    if not where:
        narrator.wrong(f"The dashboard did not start; {shown.log} says why.")
        return
    with DocumentClient(url, actor="demo") as client:
        try:
            watched = story.leave_one_to_watch(client)
        except SerinusError:  # it would only have been one more thing to see
            watched = False
    for line in pages.dashboard(where, watched=watched):
        narrator.copyable(line)
