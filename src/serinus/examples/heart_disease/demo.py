"""`canary demo`: the story with all that it needs, a server and a folder, and nothing left of either afterwards."""

import shutil
import tempfile
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.text import Text

from serinus.core.errors import SerinusError
from serinus.examples.heart_disease import pages
from serinus.examples.heart_disease.models import LIBRARIES, train
from serinus.examples.heart_disease.narrator import Narrator
from serinus.examples.heart_disease.server import Server, ended_by_signals
from serinus.examples.heart_disease.telling import Trained, tell

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
        keep: leave the server up afterwards until Ctrl-C, and its data for good.
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
                _stay(narrator, server)
    narrator.gap()
    if keep:
        narrator.say("Stopped; the data are still there.")
        for line in pages.what_stays(folder, server.home):
            narrator.copyable(line)
    else:
        narrator.say(f"Look around yourself: {pages.canary_command()} demo --keep leaves the server up.", style="dim")
    return int(not came_true)


def _explain(narrator: Narrator, error: SerinusError, server: Server) -> None:
    narrator.wrong(str(error))
    if server.said():
        narrator.say("The server wrote:", style="dim")
        for line in server.said().splitlines():
            narrator.copyable(Text(line, "dim"))


def _stay(narrator: Narrator, server: Server) -> None:
    """Leave the server up until Ctrl-C."""
    narrator.heading(6, "Look around, from another terminal")
    for line in pages.next_steps(server.url()):
        narrator.copyable(line)
    narrator.gap()
    narrator.say("The server stays up until Ctrl-C, its data for good.")
    try:
        server.wait()
    except KeyboardInterrupt:
        return
    narrator.wrong("The server ended by itself.")
