"""Checks each thing that a server with these settings needs, from this machine; what they ask changes nothing."""

from serinus.doctor.examination import examine
from serinus.doctor.reports import Report, Status

__all__ = ["Report", "Status", "examine"]
