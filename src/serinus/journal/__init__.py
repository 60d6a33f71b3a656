"""Journals as files on this machine's disk: each is a folder of segments, held by the process that writes to it."""

from serinus.journal.journals import FileJournals

__all__ = ["FileJournals"]
