"""The console command: its commands by name, and the one place where an error becomes an exit code."""

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from serinus import __version__
from serinus.cli import importing, look, messages, plan, setup, steer
from serinus.cli.config import config
from serinus.cli.dashboard import dashboard
from serinus.cli.demo import demo
from serinus.cli.doctor import doctor
from serinus.cli.events import events
from serinus.cli.exits import ExitCode, exit_code_of
from serinus.cli.explain import explain
from serinus.cli.forecast import forecast
from serinus.cli.grant import grant
from serinus.cli.predict import predict
from serinus.cli.prune import prune
from serinus.cli.register import register
from serinus.cli.replay import replay
from serinus.cli.serve import check, serve
from serinus.cli.session import Format, Globals
from serinus.cli.simulate import simulate
from serinus.cli.trace import trace
from serinus.core.errors import SerinusError


def version() -> None:
    """Print the version of this program.

    Example: canary version
    """
    sys.stdout.write(f"serinus {__version__}\n")


PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "Release": (
        register,
        setup.deploy,
        steer.start,
        steer.traffic,
        steer.approve,
        steer.promote,
        steer.rollback,
        steer.pause,
        steer.resume,
        steer.undo,
        setup.configure,
    ),
    "Look": (
        look.status,
        look.health,
        look.metrics,
        explain,
        look.history,
        events,
        trace,
        replay,
        forecast,
        look.models,
    ),
    "Use": (predict, serve, check, dashboard, config, doctor, simulate, prune, grant, demo, version),
}


GROUPS: dict[str, tuple[typer.Typer, ...]] = {"Release": (importing.commands, plan.commands)}
"""Commands that have commands of their own."""


MEANT = {"weight": "traffic", "set-weight": "traffic", "list": "status"}
"""What is typed for a command whose name is not like it; Typer finds those that are misspelt."""


class GroupedCommands(TyperGroup):
    """Lists the commands by what they are for, without the time that a decorated help page takes to load."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        meant = MEANT.get(args[0])
        if meant is not None:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {meant!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        for panel, functions in PANELS.items():
            rows = [(f.__name__, (f.__doc__ or "").partition("\n")[0]) for f in functions]
            rows += [_row(group) for group in GROUPS.get(panel, ())]
            with formatter.section(panel):
                formatter.write_dl(rows)


def _row(group: typer.Typer) -> tuple[str, str]:
    return str(group.info.name), str(group.info.help).partition("\n")[0]


# Plain help: the decorated one of Typer imports for half a second.
app = typer.Typer(
    name="canary",
    cls=GroupedCommands,
    rich_markup_mode=None,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for _functions in PANELS.values():
    for _function in _functions:
        # A change of traffic like -10 is an argument, not an option.
        _settings = {"ignore_unknown_options": True} if _function is steer.traffic else None
        app.command(context_settings=_settings)(_function)
for _groups in GROUPS.values():
    for _group in _groups:
        app.add_typer(_group)


def _print_version(wanted: bool) -> None:
    if wanted:
        version()
        raise typer.Exit


@app.callback()
def canary(
    ctx: typer.Context,
    url: Annotated[str | None, typer.Option("--url", envvar="SERINUS_URL", metavar="URL", help="The server.")] = None,
    output: Annotated[
        Format | None, typer.Option("--output", "-o", help="For people, or the API's document as it is.")
    ] = None,
    show_version: Annotated[  # noqa: ARG001  # its callback acts on it
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Release model versions as canaries: ramp up, promote or roll back by evidence.

    Example: canary start heart-prod 2 --weight 20

    Exit codes: 0 done, 1 failed, 2 invalid, 3 not found, 4 not possible now, 6 unhealthy, 7 unreachable.
    """
    ctx.obj = Globals(url, output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    _never_fail_on_a_character()
    try:
        code = app(arguments, prog_name="canary", standalone_mode=False)
    except SerinusError as error:
        messages.explain(error)
        return exit_code_of(error)
    except typer.TyperException as error:
        _show_usage_error(error)
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    return code if isinstance(code, int) else ExitCode.OK


def _show_usage_error(error: typer.TyperException) -> None:
    show = getattr(error, "show", None)
    if show is not None:
        show()
    else:
        sys.stderr.write(f"Error: {error.format_message()}\n")


def _never_fail_on_a_character() -> None:
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
