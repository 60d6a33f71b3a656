"""A deployment as HTML: its state, its split, its plan, its two arms. Documents of the API go in, text comes out."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from serinus.dashboard import badges
from serinus.dashboard.markup import element, table, text
from serinus.dashboard.rates import Rate
from serinus.words import (
    MISSING,
    ago,
    ahead,
    clock,
    count,
    listed,
    mapped,
    milliseconds,
    number,
    odds,
    plain,
    rate,
    rows,
    weight,
)

Document = Mapping[str, Any]
ACTIVE = frozenset({"running", "paused", "baking"})
ALL = 100.0


def _points(difference: float) -> str:
    return f"{difference * 100:+.1f} points"


def _more_ms(difference: float) -> str:
    return f"{difference:+.1f} ms"


_MEASURES: tuple[tuple[str, str, Callable[[object], str], Callable[[float], str]], ...] = (
    ("error rate", "error_rate", rate, _points),
    ("p50", "p50_ms", milliseconds, _more_ms),
    ("p95", "p95_ms", milliseconds, _more_ms),
    ("p99", "p99_ms", milliseconds, _more_ms),
)


def active_rollout(deployment: Document) -> dict[str, Any] | None:
    """Give the rollout under way, if any."""
    rollout = mapped(deployment.get("rollout"))
    return rollout if str(rollout.get("phase")) in ACTIVE else None


def share(deployment: Document) -> float:
    """Give the canary's share in percent, 0 where there is none."""
    return number(mapped(active_rollout(deployment)).get("weight")) or 0.0


def heading(deployment: Document, health: Document, now: datetime) -> str:
    """Show the state in a line: status, verdict, and since when."""
    rollout = mapped(deployment.get("rollout"))
    facts = [badges.status(deployment.get("status")).html]
    if rollout:
        verdict = badges.health(health.get("health")).html
        facts.append(verdict if active_rollout(deployment) else f"last canary: {verdict}")
    facts.append(f"generation {text(deployment.get('generation'))}")
    if active_rollout(deployment):
        facts.append(f"rollout {text(rollout.get('id'))}, started {text(ago(rollout.get('started_at'), now))}")
    elif rollout:
        ended = str(rollout.get("phase")).replace("_", " ")
        facts.append(f"{text(rollout.get('canary'))} {text(ended)} {text(ago(rollout.get('ended_at'), now))}")
    if health.get("checked_at") and active_rollout(deployment):
        facts.append(f"checked {text(ago(health['checked_at'], now))}")
    return element("div", "".join(element("span", fact) for fact in facts), class_="sr-facts")


def verdict(deployment: Document, health: Document) -> str:
    """Say what the last check found, and what it did."""
    rollout = mapped(deployment.get("rollout"))
    if not rollout:
        return element("p", "No canary has been started yet.", class_="sr-verdict sr-quiet")
    said = plain(health.get("reason"))
    sentence = f"{element('strong', 'Verdict:')} {text(said[:1].upper() + said[1:])}"
    action = plain(health.get("action"))
    if active_rollout(deployment) and action.startswith("withheld: "):
        sentence += f" ({text(action)})"
    return element("p", sentence, class_="sr-verdict sr-kept") + ended_because(rollout, said)


def ended_because(rollout: Document, said: str) -> str:
    """Say why a rollout ended, where that is more than what was ``said``; "" for one under way."""
    if str(rollout.get("phase")) in ACTIVE or not rollout.get("reason") or rollout["reason"] == said:
        return ""
    sentence = f"{element('strong', 'It ended because:')} {text(rollout['reason'])}."
    return element("p", sentence, class_="sr-verdict")


def notes(deployment: Document, health: Document, now: datetime) -> str:
    """Show what the owner should know or do: what is waited for, alarms, warnings, who has not confirmed."""
    told = [*_standing(deployment, now)]
    approval = mapped(mapped(deployment.get("rollout")).get("plan")).get("waiting_for_approval")
    if health.get("waiting") and active_rollout(deployment) and not approval:
        told.append(("open", f"The plan waits: {plain(health['waiting'])}."))
    told += [("watch", plain(alarm)) for alarm in listed(health.get("alarms")) if active_rollout(deployment)]
    warnings = dict.fromkeys(plain(each) for one in (deployment, health) for each in listed(one.get("warnings")))
    told += [("watch", each) for each in warnings]
    return "".join(note(tone, said) for tone, said in told)


def question(title: str, consequence: str) -> str:
    """Show what is asked before something is done, and what would come of it."""
    return element("h2", text(title), class_="sr-state-title") + element("p", text(consequence))


def note(tone: str, said: str) -> str:
    """Show a sentence that stands out."""
    return element("p", text(said), class_=f"sr-note sr-{tone}")


def _standing(deployment: Document, now: datetime) -> Iterator[tuple[str, str]]:
    rollout = mapped(active_rollout(deployment))
    plan = mapped(rollout.get("plan"))
    if rollout.get("phase") == "paused":
        yield "held", "Paused: the canary keeps its share, and is neither promoted nor given more until it is resumed."
    if plan.get("waiting_for_approval"):
        yield "held", "The plan waits for a person's word: approve, when what you see here is right."
    if rollout.get("phase") == "baking":
        canary, before, until = (plain(rollout.get(name)) for name in ("canary", "baseline", "bake_until"))
        when = f" until {clock(until)}, {ahead(until, now)}" if rollout.get("bake_until") else ""
        said = f"{canary} is promoted and bakes: {before} keeps {weight(ALL - share(deployment))}{when}."
        yield "good", f"{said} Promote ends it now, roll back undoes the promotion."


def steps(deployment: Document, now: datetime) -> str:
    """Show a plan's steps and which of them is being done; "" without a plan."""
    plan = mapped(mapped(active_rollout(deployment)).get("plan"))
    names, at = listed(plan.get("steps")), number(plan.get("step"))
    if not names or at is None:
        return ""
    done = f"step {min(int(at) + 1, len(names))} of {len(names)}" if at < len(names) else f"all {len(names)} steps done"
    since = f", since {ago(plan['step_at'], now)}" if plan.get("step_at") and at < len(names) else ""
    line = element("p", f"Plan {text(plan.get('name'))}: {done}{text(since)}", class_="sr-verdict")
    items = "".join(_step(plain(name), place - int(at)) for place, name in enumerate(names))
    return line + element("ol", items, class_="sr-steps", aria_label="Steps of the plan")


def _step(name: str, place: int) -> str:
    if place < 0:
        return element("li", f"<span aria-hidden='true'>✓</span> {text(name)}{_hidden('done')}", class_="sr-done")
    if place == 0:
        return element("li", text(name), class_="sr-now", aria_current="step")
    return element("li", text(name))


def _hidden(said: str) -> str:
    return element("span", f", {said}", class_="sr-hidden")


def split(deployment: Document) -> str:
    """Show the split as a bar with its legend."""
    rollout, canary = active_rollout(deployment), share(deployment)
    roles = ("before", "promoted") if (rollout or {}).get("phase") == "baking" else ("baseline", "canary")
    baseline_ref = plain(rollout.get("baseline") if rollout else deployment.get("baseline"))
    said = f"{ALL - canary:g} % of the traffic to {baseline_ref}"
    if rollout:
        said += f", {canary:g} % to {plain(rollout.get('canary'))}"
    fills = "".join(
        element("span", "", class_=f"sr-{role}-fill", style=f"flex-grow:{part:g}")
        for role, part in (("baseline", ALL - canary), ("canary", canary))
        if part > 0
    )
    legend = _arm(roles[0], "baseline", baseline_ref, ALL - canary)
    if rollout:
        legend += _arm(roles[1], "canary", plain(rollout.get("canary")), canary)
    bar = element("div", fills, class_="sr-split", role="img", aria_label=said)
    return bar + element("div", legend, class_="sr-legend")


def _arm(role: str, fill: str, ref: str, part: float) -> str:
    swatch = element("span", "", class_=f"sr-swatch sr-{fill}-fill", aria_hidden="true")
    amount = element("span", f"{part:g} %", class_="sr-share")
    who = element("span", f"{text(role)} <strong>{text(ref)}</strong>")
    return element("div", f"{swatch}{amount}{who}", class_="sr-arm")


def arms(metrics: Document, health: Document, latest: Mapping[str, Rate]) -> str:
    """Set both arms side by side; where the policy weighs evidence, with what each metric comes to."""
    baseline, canary = mapped(metrics.get("baseline")), mapped(metrics.get("canary"))
    findings = {str(each.get("name")): each for each in rows(health, "metrics")}
    heads = ["", f"baseline {plain(baseline.get('version'))}"]
    if canary:
        heads += [f"canary {plain(canary.get('version'))}", "difference", *(["evidence"] if findings else [])]
    lines = [_counted("requests", "requests", baseline, canary), _now("requests / s", "requests", latest, canary)]
    lines += [_counted("model errors", "model_errors", baseline, canary), _now("errors / s", "errors", latest, canary)]
    lines.append(_counted("timeouts", "timeouts", baseline, canary))
    for label, key, written, differing in _MEASURES:
        b, c = number(baseline.get(key)), number(canary.get(key))
        line = [label, text(written(b))]
        if canary:
            line += [text(written(c)), text(differing(c - b)) if b is not None and c is not None else MISSING]
            line.append(_evidence(findings.get({"error_rate": "errors", "p95_ms": "p95"}.get(key, ""))))
        lines.append(line)
    width = len(heads)
    padded = [[*line, *([""] * width)][:width] for line in lines]
    return table(heads, padded, caption="Baseline and canary", numeric=range(1, min(width, 4)))


def _counted(label: str, key: str, baseline: Document, canary: Document) -> list[str]:
    line = [label, text(count(baseline.get(key)))]
    return [*line, text(count(canary.get(key)))] if canary else line


def _now(label: str, name: str, latest: Mapping[str, Rate], canary: Document) -> list[str]:
    written = [f"{getattr(latest[role], name):.1f}" if role in latest else MISSING for role in ("baseline", "canary")]
    return [label, *(written if canary else written[:1])]


def _evidence(metric: Document | None) -> str:
    if metric is None:
        return ""
    role = plain(metric.get("role"))
    words = f"odds {odds(metric.get('odds_against'))} against, {odds(metric.get('odds_for'))} for"
    shown = f"{badges.finding(metric.get('finding')).html} {element('span', text(words), class_='sr-small sr-quiet')}"
    return shown if role in {MISSING, "guardrail"} else f"{shown} {text(f'({role})')}"
