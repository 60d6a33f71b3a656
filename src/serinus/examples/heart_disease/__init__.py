"""Releases of a model that tells heart disease, on 303 real patients: the story behind `canary demo`."""
