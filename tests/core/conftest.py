"""How Hypothesis runs here: no deadline per example (a busy machine is no defect), and few examples."""

from hypothesis import settings

settings.register_profile("core", deadline=None, max_examples=60)
settings.load_profile("core")
