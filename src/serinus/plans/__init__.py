"""Plans as documents: read from YAML or JSON, written, checked; their JSON Schema."""

from serinus.plans.lint import Finding, lint
from serinus.plans.reading import Problem, line_of, plan_of, read_plan
from serinus.plans.schema import shipped_schema
from serinus.plans.writing import to_document

__all__ = ["Finding", "Problem", "line_of", "lint", "plan_of", "read_plan", "shipped_schema", "to_document"]
