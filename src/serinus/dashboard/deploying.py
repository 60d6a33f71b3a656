"""What a start would be: a version, the way of its traffic, and what is to be expected of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

from serinus.core.errors import InvalidInput
from serinus.core.plan import Plan
from serinus.core.presets import ABOUT, PRESETS
from serinus.dashboard.markup import element, table, text
from serinus.plans import line_of, lint, read_plan, to_document
from serinus.words import MISSING, clock, count, listed, mapped, number, plain, rate, rows, scalar, size, weight

Document = Mapping[str, Any]
ALL = 100.0


@dataclass(frozen=True, slots=True)
class Way:
    """How a canary gets its traffic: at a weight in percent, by a plan of a name, or by a plan of the visitor's."""

    weight: float | None = None
    preset: str = ""
    own: Plan | None = None

    @property
    def plan(self) -> Plan | None:
        """The plan, if it is by one."""
        return PRESETS[self.preset] if self.preset else self.own

    @property
    def sent(self) -> dict[str, Any]:
        """What is sent of it with a start."""
        if self.weight is not None:
            return {"weight": self.weight}
        if self.own is not None:
            return {"plan": to_document(self.own)}
        return {"plan": self.preset} if self.preset else {}

    @property
    def asked(self) -> dict[str, Any]:
        """What is sent of it with a question for a forecast."""
        if self.weight is not None:
            return {"weights": [self.weight]}
        plan = self.plan
        if plan is None:
            return {}
        shares = list(dict.fromkeys(share for share, _ in plan.paced if share < ALL))
        return {"weights": shares, "plan": self.preset} if self.preset else {"weights": shares, "steps": plan.paced}


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a plan's text: a problem, or advice."""

    line: int | None
    said: str
    is_problem: bool


def preset_words(name: str) -> str:
    """Describe a plan that is there in a line."""
    return f"{name}: {ABOUT.get(name, '')}"


def preset_text(name: str) -> str:
    """Write a plan that is there as YAML, to begin from."""
    document = to_document(PRESETS[name])
    document["metadata"] = {"name": "my-plan"}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def read(written: str) -> tuple[Plan | None, list[Remark]]:
    """Read a plan's text, with all there is to say of it."""
    try:
        plan = read_plan(written)
    except InvalidInput as wrong:
        return None, [
            Remark(each.get("line"), f"{each.get('message')} {each.get('remedy')}".strip(), is_problem=True)
            for each in rows(wrong.details, "problems")
        ]
    return plan, [
        Remark(line_of(written, each.field), each.message, is_problem=False) for each in lint(plan, datetime.now(UTC))
    ]


def steps_of(plan: Plan) -> str:
    """Show the steps of a plan that has not begun."""
    items = "".join(element("li", text(step)) for step in plan.steps)
    return element("ol", items, class_="sr-steps", aria_label="Steps of the plan")


def version_words(version: Document) -> str:
    """Describe a version in a line."""
    metrics = mapped(version.get("metrics"))
    best = ", ".join(f"{plain(name)} {scalar(value)}" for name, value in list(metrics.items())[:2])
    parts = [plain(version.get("ref")), best]
    return " · ".join(part for part in parts if part)


def version_view(version: Document) -> str:
    """Show what is known of a version: who made it, from what, with what parameters."""
    lineage = mapped(version.get("lineage"))
    facts = {
        "description": version.get("description"),
        "registered": f"{clock(version.get('created_at'))} by {plain(version.get('created_by'))}",
        "format": f"{plain(version.get('format'))}, {size(version.get('size'))}",
        "artifact": version.get("digest"),
        "parent": lineage.get("parent"),
        "data": lineage.get("dataset_digest"),
        "run": lineage.get("run_id"),
        "commit": lineage.get("git_commit"),
        "parameters": _pairs(version.get("parameters")),
        "tags": _pairs(version.get("tags")),
        "signature": _signature(version),
    }
    lines = "".join(element("dt", text(name)) + element("dd", text(fact)) for name, fact in facts.items() if fact)
    return element("dl", lines, class_="sr-dl")


def metrics_view(version: Document, baseline: Document | None) -> str:
    """Show the registered metrics of a version, beside those of the baseline."""
    own, other = mapped(version.get("metrics")), mapped((baseline or {}).get("metrics"))
    names = list(dict.fromkeys([*own, *other]))
    if not names:
        return element("p", "No metrics were registered with it.", class_="sr-quiet")
    heads = ["registered metric", plain(version.get("ref"))]
    if baseline:
        heads += [f"baseline {plain(baseline.get('ref'))}", "difference"]
    lines = []
    for name in names:
        value, before = number(own.get(name)), number(other.get(name))
        line = [text(name), MISSING if value is None else f"{value:.4g}"]
        if baseline:
            line.append(MISSING if before is None else f"{before:.4g}")
            line.append(MISSING if value is None or before is None else f"{value - before:+.4g}")
        lines.append(line)
    return table(heads, lines, caption="Registered metrics", numeric=range(1, len(heads)))


def signature_view(version: Document) -> str:
    """Show the features that a version takes."""
    features = rows(mapped(version.get("signature")), "features")
    lines = [
        [text(each.get("name")), text(each.get("dtype")), "may be missing" if each.get("nullable") else ""]
        for each in features
    ]
    return table(("feature", "type", ""), lines, caption="Signature")


def forecast_table(forecast: Document) -> str:
    """Show for each share when a canary that is worse is found, and a good one promoted."""
    from serinus.core.forecast import duration

    shares = rows(forecast, "weights")
    effects = sorted({effect for each in shares for effect in mapped(each.get("found"))}, key=float)
    heads = ["share", *(f"fails {effect} point{'' if effect == '1' else 's'} more" for effect in effects), "good one"]

    def when(reached: Document) -> str:
        seconds = number(reached.get("seconds"))
        if seconds is None:
            return MISSING if reached.get("limit") is None else "not in time"
        requests = element("span", f"{count(reached.get('canary_requests'))} requests", class_="sr-small sr-quiet")
        return f"{text(duration(seconds))}<br>{requests}"

    lines = []
    for each in shares:
        found = mapped(each.get("found"))
        cells = [*(when(mapped(found.get(effect))) for effect in effects), when(mapped(each.get("promoted")))]
        lines.append([text(weight(each.get("weight"))), *cells])
    return table(heads, lines, caption="Forecast: time until a worse canary is found, and a good one promoted")


def forecast_words(forecast: Document) -> str:
    """Say what a forecast rests on, and how long the plan takes."""
    from serinus.core.forecast import duration

    per_second = number(forecast.get("rate"))
    said = "The traffic is not known" if per_second is None else f"At {per_second:.3g} requests per second"
    said += f", with baseline errors of {rate(forecast.get('baseline_error_rate'))}"
    plan = mapped(forecast.get("plan"))
    if plan:
        finished_s = number(plan.get("finished_s"))
        took = "would not finish in time" if finished_s is None else f"takes a good canary about {duration(finished_s)}"
        said += f", the plan {took}"
    return f"{said}."


def forecast_columns(forecast: Document) -> tuple[str, dict[str, list[Any]]]:
    """Give the unit that fits, and the times in it as columns for a chart: share, what, time."""
    columns: dict[str, list[Any]] = {"share": [], "what": [], "time": []}
    margin = number(mapped(forecast.get("policy")).get("error_margin"))
    worse = None if margin is None else f"{margin * 100:g}"
    for each in rows(forecast, "weights"):
        found = mapped(mapped(each.get("found")).get(worse or ""))
        told = [(f"fails {worse} points more: rolled back", found), ("good: may be promoted", each.get("promoted"))]
        for what, reached in told:
            seconds = number(mapped(reached).get("seconds"))
            if seconds is not None:
                columns["share"].append(weight(each.get("weight")))
                columns["what"].append(what)
                columns["time"].append(seconds)
    longest = max(columns["time"], default=0.0)
    unit, length = next((each for each in _UNITS if longest >= 2 * each[1]), _UNITS[-1])
    columns["time"] = [seconds / length for seconds in columns["time"]]
    return unit, columns


_UNITS = (("days", 86_400.0), ("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))


def would_be(answer: Document) -> Sequence[str]:
    """Say what a dry run came to."""
    would = mapped(answer.get("would"))
    replaced = plain(would["replaces"]) if would.get("replaces") else ""
    rollout = mapped(would.get("rollout"))
    sentence = "It can be started: the model was loaded and answered its examples."
    if rollout:
        plan = mapped(rollout.get("plan"))
        by = f" by the plan {plain(plan.get('name'))}" if plan else ""
        sentence += f" {plain(rollout.get('canary'))} would get {weight(rollout.get('weight'))} of the traffic{by}."
    if replaced:
        sentence += f" {replaced} would be rolled back first."
    return [f"{sentence} Nothing was changed.", *(plain(each) for each in listed(answer.get("warnings")))]


def _signature(version: Document) -> str:
    signature = mapped(version.get("signature"))
    features = rows(signature, "features")
    if not features:
        return ""
    output = mapped(signature.get("output"))
    said = f"{len(features)} features to a {plain(output.get('kind'))}"
    names = [plain(each) for each in listed(output.get("class_names") or output.get("classes"))]
    return f"{said} ({', '.join(names)})" if names else said


def _pairs(values: object) -> str:
    return ", ".join(f"{plain(name)} {_value(value)}" for name, value in mapped(values).items())


def _value(value: object) -> str:
    return " + ".join(plain(each) for each in value) if isinstance(value, list) else scalar(value)
