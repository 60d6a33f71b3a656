"""`canary grant`: give a role of the database what a server needs, and no more."""

from pathlib import Path
from typing import Annotated

import typer

from serinus.cli.messages import note


def grant(
    role: Annotated[
        str, typer.Argument(metavar="ROLE", help="A role of the database that can log in and owns nothing.")
    ],
    home: Annotated[
        Path | None, typer.Option("--home", metavar="PATH", help="The server's folder, if it was given one.")
    ] = None,
) -> None:
    """Upgrade a PostgreSQL database, and let a role run servers on it that can change or remove no event.

    SERINUS_DATABASE_URL names the database's owner here; servers then log in as the role. Again after each upgrade.

    Example: canary grant serinus_app
    """
    from serinus import maintenance

    maintenance.grant(role, home)
    note(f"{role} may run servers on the database; events it can append to and read, and nothing else.")
