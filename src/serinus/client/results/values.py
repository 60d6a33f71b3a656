"""What results leave as it came."""

from typing import Any

Values = dict[str, Any]
"""JSON values by name: a policy, an event's data, a plan's document."""
