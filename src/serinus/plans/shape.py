"""The shape of a plan's document: its fields, their types and bounds. What they mean together the core says."""

from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
    create_model,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from serinus.core import freeze as windows
from serinus.core.errors import InvalidInput
from serinus.core.names import NAME_PATTERN
from serinus.core.plan import (
    ALL,
    HOLD_ALERT_S,
    HOLDBACK,
    LEAST_WEIGHT,
    MOST_FREEZES,
    MOST_HOLDBACK,
    MOST_SAMPLES,
    MOST_STEPS,
)
from serinus.core.policy import POLICIES, ROLES
from serinus.plans.durations import PATTERN, read_duration, write_duration

API_VERSION, KIND = "serinus/v1", "RolloutPlan"

Day = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]


class _Strict(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
    )


class _Shape(_Strict):
    @field_validator("*", mode="before")
    @classmethod
    def _given(cls, value: object) -> object:
        if value is None:
            raise PydanticCustomError("empty", "nothing")
        return value


def _seconds(value: object) -> object:
    if isinstance(value, str):
        try:
            return read_duration(value)
        except InvalidInput:
            pass
    raise PydanticCustomError("duration", "no duration")


def _once_each(days: list[Day]) -> list[Day]:
    if len(set(days)) < len(days):
        raise PydanticCustomError("repeated", "a day is given twice")
    return days


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Duration = Annotated[
    float, BeforeValidator(_seconds), WithJsonSchema({"type": "string", "pattern": PATTERN, "examples": ["30s", "5m"]})
]
Whole = Annotated[int, BeforeValidator(_whole)]
Samples = Annotated[int, Field(ge=1, le=MOST_SAMPLES), BeforeValidator(_whole)]
Weight = Annotated[float, Field(ge=LEAST_WEIGHT, le=ALL)]


def _text(pattern: str, **more: Any) -> Any:
    return Field(pattern=f"^(?:{pattern})$", **more)


class Metadata(_Shape):
    """What the plan is called."""

    name: str = Field(pattern=NAME_PATTERN, description="The plan's name.")


class PauseShape(_Shape):
    """Wait for a time, for requests to the canary, or for both."""

    duration: Duration | None = Field(None, description="At least so long.")
    min_samples: Samples | None = Field(
        None, description="And until the canary has had so many requests since the pause began."
    )

    @model_validator(mode="after")
    def _ends(self) -> Self:
        if not self.model_fields_set:
            raise PydanticCustomError("endless", "no end")
        return self


class Nothing(_Shape):
    """An empty mapping: {}."""


class StepShape(_Shape):
    """One step: exactly one of these."""

    set_weight: Weight | None = Field(None, description="The canary's share of the traffic in percent.")
    pause: PauseShape | None = None
    approval: Nothing | None = Field(None, description="Wait for a person: {}.")
    promote: Nothing | None = Field(None, description="Make the canary the baseline: {}. The last step, if any.")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise PydanticCustomError("one_step", "not one step")
        return self


class Holdback(_Shape):
    """What the old version keeps after a promotion, so that the same test can still undo it."""

    weight: Annotated[float, Field(ge=0.0, le=MOST_HOLDBACK)] = Field(
        HOLDBACK, description="The old version's share in percent; 0 for none."
    )
    duration: Duration | None = Field(None, description="For so long; without it, for the policy's bake time.")


class _Window(_Shape):
    time_zone: str = _text(windows.ZONE, description="An IANA time zone.", examples=["Europe/Berlin", "UTC"])


class DailyFreeze(_Window):
    """On each of some days."""

    days: Annotated[list[Day], AfterValidator(_once_each)] = Field(
        min_length=1, max_length=7, json_schema_extra={"uniqueItems": True}
    )
    start: str = _text(windows.TIME, alias="from", default=windows.MIDNIGHT, description="A quoted time.")
    end: str = _text(
        windows.END, alias="to", default=windows.END_OF_DAY, description="Not later than `from`: on the next day."
    )


class WeeklyFreeze(_Window):
    """Once a week, from one day to another."""

    start: str = _text(windows.WEEKLY, alias="from", examples=["Fri 16:00"])
    end: str = _text(windows.WEEKLY, alias="to", examples=["Mon 08:00"])


class OneFreeze(_Window):
    """Once, from one local time to another."""

    start: str = _text(windows.ONCE, alias="from", examples=["2026-12-20T00:00"])
    end: str = _text(windows.ONCE, alias="to", examples=["2027-01-02T00:00"])


def _kind_of_freeze(value: object) -> str:
    if isinstance(value, Mapping) and "days" in value:
        return "<daily>"
    start = value.get("from") if isinstance(value, Mapping) else None
    return "<weekly>" if isinstance(start, str) and start[:1].isalpha() else "<once>"


FreezeShape = Annotated[
    Annotated[DailyFreeze, Tag("<daily>")]
    | Annotated[WeeklyFreeze, Tag("<weekly>")]
    | Annotated[OneFreeze, Tag("<once>")],
    Discriminator(_kind_of_freeze),
]


def _policy_shape(name: str, *, is_default: bool) -> type[_Strict]:
    hints = get_type_hints(POLICIES[name])
    members: dict[str, Any] = {}
    for each in fields(POLICIES[name]):
        hint = Whole if hints[each.name] is int else hints[each.name]
        if each.name == "name":
            members["name"] = (Literal[name], name if is_default else ...)
        elif each.default in ROLES:
            members[each.name] = (Literal[ROLES], each.default)
        else:
            members[each.name] = (hint, ... if each.default is MISSING else each.default)
    about = f"The fields of the policy {name!r}; those that are left out have that policy's defaults."
    return create_model(f"{name.capitalize()}Policy", __base__=_Strict, __doc__=about, **members)


_DEFAULT_POLICY, _OTHER_POLICY = POLICIES
SequentialShape = _policy_shape(_DEFAULT_POLICY, is_default=True)
ThresholdShape = _policy_shape(_OTHER_POLICY, is_default=False)


def _kind_of_policy(value: object) -> str:
    return "<other>" if isinstance(value, Mapping) and value.get("name") == _OTHER_POLICY else "<default>"


if TYPE_CHECKING:
    PolicyShape = _Strict
else:
    PolicyShape = Annotated[
        Annotated[SequentialShape, Tag("<default>")] | Annotated[ThresholdShape, Tag("<other>")],
        Discriminator(_kind_of_policy),
    ]


class Spec(_Shape):
    """What the plan does."""

    steps: list[StepShape] = Field(min_length=1, max_length=MOST_STEPS, description="In this order; weights rise.")
    policy: PolicyShape | None = Field(None, description="By which rule the canary is judged.")
    progress_deadline: Duration | None = Field(
        None, description="A rollout that stays at one step for longer is paused, and somebody is told."
    )
    hold_alert: Duration = Field(
        HOLD_ALERT_S,
        description="A hold is never silent for longer.",
        json_schema_extra={"default": write_duration(HOLD_ALERT_S)},
    )
    holdback: Holdback | None = None
    freeze: list[FreezeShape] = Field([], max_length=MOST_FREEZES, description="Windows in which nothing goes on.")


class PlanShape(_Shape):
    """A plan of a rollout."""

    api_version: Literal["serinus/v1"]
    kind: Literal["RolloutPlan"]
    metadata: Metadata
    spec: Spec
