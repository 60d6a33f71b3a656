"""How Hypothesis runs here: no deadline per example (a busy machine is no defect)."""

from hypothesis import settings

settings.register_profile("plans", deadline=None, max_examples=60)
settings.load_profile("plans")
