"""The console command ``canary``: speaks to a server through ``serinus.client``, and to people through rich."""

from serinus.cli.app import main

__all__ = ["main"]
