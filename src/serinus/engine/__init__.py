"""The one way in which a deployment changes."""

from serinus.engine.deployments import DeploymentEngine
from serinus.engine.done import Done, Given, Rehearsed

__all__ = ["DeploymentEngine", "Done", "Given", "Rehearsed"]
