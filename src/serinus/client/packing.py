"""The door to packing models for those who speak to a server through the client alone."""

from serinus.formats.packing import pack
from serinus.formats.signatures import sample_of

__all__ = ["pack", "sample_of"]
