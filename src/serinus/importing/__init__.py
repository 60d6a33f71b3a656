"""Brings model versions from other registries to a Serinus server; speaks to the server through its client alone."""
