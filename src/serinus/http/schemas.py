"""What the control plane takes, as pydantic models with examples; OpenAPI is made from them."""

from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from serinus.core.errors import InvalidInput
from serinus.core.plan import Plan
from serinus.core.policy import Settings, policy_over
from serinus.core.presets import PRESETS
from serinus.plans import plan_of

LARGEST_VERSION = 999_999_999
"""The largest number that ``NAME@NUMBER`` can name."""
Scalar = bool | int | float | str
Weight = Annotated[float, Field(description="Share of traffic in percent, 0 to 100 in steps of 0.01", examples=[20])]
Reason = Annotated[str, Field(max_length=1000, description="Why, for the timeline", examples=["weekly model"])]
Generation = Annotated[
    int | None, Field(ge=1, description="Refuse with 409 if the deployment is at another generation", examples=[None])
]


class Body(BaseModel):
    """A request body.

    Unknown fields are refused, so that a misspelt one is not overlooked, and so is a value of another type: "no" is no
    false, and true no 1 %.
    """

    model_config = ConfigDict(extra="forbid", strict=True)


class ArtifactIn(Body):
    """An artifact that was uploaded with PUT /artifacts/{digest}."""

    digest: str = Field(examples=["sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])
    format: str = Field(
        description="oip (a remote model), skops, onnx, xgboost, lightgbm, torchscript, joblib or pickle",
        examples=["skops"],
    )


class LineageIn(Body):
    """Where a version comes from."""

    dataset_digest: str = Field(default="", max_length=200, examples=["sha256:…"])
    run_id: str = Field(default="", max_length=200)
    git_commit: str = Field(default="", max_length=200)
    parent: str = Field(default="", max_length=200, description="Another version, as NAME@NUMBER")


class VersionIn(Body):
    """A new version of a model."""

    artifact: ArtifactIn
    signature: dict[str, object] = Field(
        description="Features in training order, and the output",
        examples=[
            {
                "features": [{"name": "age", "dtype": "int"}, {"name": "thal", "dtype": "float", "nullable": True}],
                "output": {"kind": "class", "classes": [0, 1]},
            }
        ],
    )
    examples: list[list[Scalar | None]] = Field(
        default_factory=list, description="Rows kept from training, used to warm and check the model"
    )
    metrics: dict[str, FiniteFloat] = Field(default_factory=dict, examples=[{"accuracy": 0.85}])
    parameters: dict[str, object] = Field(default_factory=dict, examples=[{"n_estimators": 100}])
    tags: dict[str, str] = Field(default_factory=dict, examples=[{"team": "cardio"}])
    description: str = Field(default="", max_length=10_000)
    lineage: LineageIn = Field(default_factory=LineageIn)


class PolicyIn(Body):
    """The rule a canary is judged by; what is left out stays as it is (or at its default).

    The policies have different values: another name begins at that policy's defaults.
    """

    name: str | None = Field(default=None, description="sequential or threshold", examples=["sequential"])
    interval_s: float | None = Field(default=None, description="Seconds between two looks", examples=[1])
    error_margin: float | None = Field(
        None, description="sequential: a canary worse by so much is not promoted; 0.05 is five points", examples=[0.05]
    )
    error_tolerance: float | None = Field(
        None, description="sequential: one worse by so little is not rolled back; default: margin / 10"
    )
    p95_margin_ms: float | None = Field(default=None, description="sequential", examples=[100])
    p95_tolerance_ms: float | None = Field(default=None, description="sequential; default: margin / 10")
    alpha: float | None = Field(default=None, description="sequential: probability of a false rollback, at most")
    beta: float | None = Field(default=None, description="sequential: probability of a false promotion, at most")
    horizon_s: float | None = Field(default=None, description="sequential: seconds for which alpha holds")
    bake_s: float | None = Field(default=None, description="sequential: seconds before which nothing is promoted")
    error_role: str | None = Field(default=None, description="sequential: guardrail, signal or dry-run")
    p95_role: str | None = Field(default=None, description="sequential: guardrail, signal or dry-run")
    error_delta: float | None = Field(None, description="threshold: difference of error rates; 0.05 is five points")
    p95_delta_ms: float | None = Field(default=None, description="threshold")
    min_requests: int | None = Field(default=None, description="threshold: canary requests before a promotion")
    window_s: float | None = Field(default=None, description="threshold: seconds looked back")


class SettingsIn(Body):
    """The switches of a deployment; what is left out stays as it is (or at its default)."""

    sticky: bool | None = Field(default=None, description="Route by entity_id instead of by request")
    allow_forced: bool | None = Field(default=None, description="Obey the header X-Canary: always | never")
    failover: bool | None = Field(default=None, description="Answer with the baseline where the canary failed")
    auto_rollback: bool | None = None
    auto_promote: bool | None = None
    dry_run: bool | None = Field(default=None, description="Record verdicts and what would be done, and do nothing")
    promote_from_weight: float | None = Field(
        default=None, description="Share from which promotion is automatic, percent"
    )
    policy: PolicyIn | None = None
    feature_service: str | None = Field(
        default=None, description='Feast feature service of what callers do not send; "" for none', examples=["hearts"]
    )
    feature_entity: str | None = Field(default=None, description="Its join key; default: entity_id")

    def over(self, present: Settings) -> Settings:
        """Give the settings with these on top; InvalidInput names a value that cannot be."""
        given = self.model_dump(exclude_none=True, exclude={"policy"})
        rule = self.policy.model_dump(exclude_none=True) if self.policy else {}
        return replace(present, **given, policy=policy_over(present.policy, rule))


class DeploymentIn(Body):
    """A new deployment."""

    name: str = Field(examples=["heart-prod"])
    model: str = Field(examples=["heart"])
    version: int = Field(ge=1, le=LARGEST_VERSION, examples=[1])
    settings: SettingsIn = Field(default_factory=SettingsIn)
    reason: Reason = ""


class SettingsChange(Body):
    """New settings of a deployment."""

    settings: SettingsIn
    reason: Reason = ""
    expected_generation: Generation = None


class CanaryIn(Body):
    """A canary to start."""

    version: int = Field(ge=1, le=LARGEST_VERSION, examples=[2])
    model: str | None = Field(default=None, description="Default: the baseline's model")
    weight: Weight | None = None
    plan: str | dict[str, object] | None = Field(
        default=None,
        description="In place of a weight: a plan's document, or the name of one that is there",
        examples=["standard"],
    )
    replace: bool = Field(default=False, description="Roll back the canary that is under way, if there is one")
    dry_run: bool = Field(default=False, description="Only say what a start would come to; it is checked all the same")
    reason: Reason = ""
    expected_generation: Generation = None

    def way(self) -> tuple[Plan | None, float]:
        """Give the plan, if there is one, and the first weight; InvalidInput where it is not one of the two."""
        if (self.weight is None) == (self.plan is None):
            raise InvalidInput(
                "A canary is started with a weight or by a plan.",
                field="weight" if self.plan is None else "plan",
                remedy="Give one of them: weight is a share in percent, plan a name or a document.",
            )
        if self.plan is None:
            return None, self.weight or 0.0
        plan = preset(self.plan) if isinstance(self.plan, str) else plan_of(self.plan)
        return plan, plan.first_weight


def preset(name: str) -> Plan:
    """Give a plan that is there by its name, or raise InvalidInput."""
    if name not in PRESETS:
        raise InvalidInput(
            f"There is no plan {name!r}.", field="plan", remedy=f"There are {', '.join(PRESETS)}; or send a document."
        )
    return PRESETS[name]


class TrafficIn(Body):
    """The canary's new share."""

    weight: Weight
    reason: Reason = ""
    expected_generation: Generation = None


class CommandIn(Body):
    """A command without further parameters."""

    reason: Reason = ""
    expected_generation: Generation = None
