"""What is said of a rollout besides its charts: the verdict, the numbers as tables, how long a decision takes."""

from collections.abc import Mapping
from typing import Any

from serinus.dashboard import badges, panels
from serinus.dashboard.charts import ROLES
from serinus.dashboard.comparison.charts import KINDS, TITLES
from serinus.dashboard.markup import element, table, text
from serinus.words import (
    MISSING,
    clock,
    count,
    mapped,
    milliseconds,
    number,
    odds,
    plain,
    rate,
    read_time,
    rows,
    weight,
)

Document = Mapping[str, Any]
_LIMITS = {"tolerance": "tolerance", "margin": "margin", "hold": "holds above", "rollback": "rolls back above"}
_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0


def label(rollout: Document) -> str:
    """Name a rollout in a line."""
    number_ = str(rollout.get("id")).rpartition(":")[2]
    phase = plain(rollout.get("phase")).replace("_", " ")
    return f"{number_}: {plain(rollout.get('canary'))} against {plain(rollout.get('baseline'))}, {phase}"


def verdict(history: Document) -> str:
    """Say what the last check found, in a sentence, and what came of the rollout."""
    rollout, newest = mapped(history.get("rollout")), last_point(history)
    ended = rollout.get("phase") not in panels.ACTIVE
    facts = [badges.health(newest.get("health")).html]
    if ended:
        facts.append(f"{text(plain(rollout.get('phase')).replace('_', ' '))} {text(clock(rollout.get('ended_at')))}")
    else:
        facts.append(f"{text(weight(rollout.get('weight')))} of the traffic, {text(rollout.get('phase'))}")
    if newest.get("at"):
        facts.append(f"last check {text(clock(newest['at']))}")
    line = element("div", "".join(element("span", fact) for fact in facts), class_="sr-facts")
    said = plain(newest.get("reason")) if newest else "no check yet: nothing has been compared"
    sentence = f"{element('strong', 'Verdict:')} {text(said[:1].upper() + said[1:])}."
    told = element("p", sentence, class_="sr-verdict")
    return line + told + panels.ended_because(rollout, said)


def last_point(history: Document) -> dict[str, Any]:
    """Give the newest check of a history, an empty one where there was none."""
    points = rows(history, "points")
    return points[-1] if points else {}


def guardrails(history: Document) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Give each metric as it was found last, with the limits it is held against."""
    last = mapped(history.get("last"))
    found = {str(each.get("name")): each for each in rows(last, "metrics")}
    limits = rows(mapped(history.get("thresholds")), "metrics")
    return [(found.get(str(limit.get("name"))) or _compared(str(limit.get("name")), last), limit) for limit in limits]


def _compared(name: str, last: Document) -> dict[str, Any]:
    """Set two reports side by side where the policy finds nothing for each metric by itself."""
    key = "error_rate" if name == "errors" else "p95_ms"
    reports = [mapped(last.get(role)) for role in ROLES]
    known = [number(each.get(key)) if number(each.get("requests")) else None for each in reports]
    baseline, canary = known
    difference = None if baseline is None or canary is None else canary - baseline
    return {"name": name, "baseline": baseline, "canary": canary, "difference": difference}


def table_of_guardrails(history: Document) -> str:
    """Set the metrics side by side with their limits, and what is known of each."""
    found = guardrails(history)
    weighs = any("odds_for" in metric for metric, _ in found)
    heads = ["metric", "baseline", "canary", "difference", *(["interval"] if weighs else []), "limits", "finding"]
    lines = []
    for metric, limit in found:
        name = str(metric.get("name"))
        written = rate if name == "errors" else milliseconds
        line = [text(TITLES.get(name, name)), *(text(written(metric.get(role))) for role in ROLES)]
        line.append(text(_signed(name, metric.get("difference"))))
        if weighs:
            line.append(text(_interval(name, metric)))
        line += [text(_limits(name, limit)), _finding(metric, limit)]
        lines.append(line)
    return table(heads, lines, caption="Metrics against their limits", numeric=range(1, 5 if weighs else 4))


def said_of_evidence(history: Document, side: str, wanted: object) -> str:
    """Say what the chart of the odds over time shows."""
    newest = last_point(history)
    now = ", ".join(f"{plain(each.get('name'))} {odds(each.get(side))}" for each in rows(newest, "metrics"))
    needed = number(wanted)
    return f"Newest: {now or 'none'}; needed: {count(needed)}:1."


def table_of_latencies(metrics: Document) -> str:
    """Set the latencies of the roles side by side."""
    lines = (("p50", "p50_ms"), ("p95", "p95_ms"), ("p99", "p99_ms"), ("mean", "mean_ms"))
    return _by_role("Latency", metrics, lines, milliseconds)


def table_of_failures(metrics: Document) -> str:
    """Set what went wrong, by kind, side by side."""
    kinds = tuple((kind.replace("_", " "), kind) for kind in KINDS)
    return _by_role("Errors", metrics, (("requests", "requests"), *kinds, ("error rate", "error_rate")), None)


def _by_role(title: str, metrics: Document, lines: tuple[tuple[str, str], ...], written: Any) -> str:
    arms = [(role, mapped(metrics.get(role))) for role in ROLES if metrics.get(role)]
    heads = [title.lower(), *(f"{role} {plain(arm.get('version'))}" for role, arm in arms)]
    cells = [
        [text(name), *(text((written or (rate if key == "error_rate" else count))(arm.get(key))) for _, arm in arms)]
        for name, key in lines
    ]
    return table(heads, cells, caption=f"{title} of the roles", numeric=range(1, len(heads)))


def time_to_decision(forecast: Document, history: Document) -> str:
    """Say how long it takes, from its start, to find a canary that is worse by the margin and to promote a good one."""
    at = next(iter(rows(forecast, "weights")), {})
    thresholds = rows(mapped(history.get("thresholds")), "metrics")
    margin = next((number(each.get("margin")) for each in thresholds if each.get("name") == "errors"), None)
    found = mapped(mapped(at.get("found")).get(f"{(margin or 0.0) * 100:g}"))
    worse = _takes(found.get("seconds"))
    good = _takes(mapped(at.get("promoted")).get("seconds"))
    per_s, share = number(forecast.get("rate")) or 0.0, weight(at.get("weight"))
    lead = f"At {share} of {per_s:.3g} requests a second, from its start: "
    return (
        f"{lead}a canary that fails {(margin or 0.0) * 100:g} points more is rolled back in {worse}, "
        f"a good one has the evidence for its promotion in {good}."
    )


def time_taken(history: Document) -> str:
    """Say how long a rollout that ended took to be decided, and how much its canary saw until then."""
    rollout = mapped(history.get("rollout"))
    decided = next((each for each in rows(history, "points") if each.get("action") in _DECISIONS), {})
    start, end = read_time(rollout.get("started_at")), read_time(decided.get("at") or rollout.get("ended_at"))
    if start is None or end is None:
        return MISSING
    what = plain(decided.get("action") or rollout.get("phase")).replace("_", " ")
    seen = number(mapped(decided.get("canary")).get("requests"))
    requests = "" if seen is None else f" and {count(seen)} requests of the canary"
    return f"{what} after {duration((end - start).total_seconds())}{requests}."


_DECISIONS = frozenset({"promoted", "rolled_back"})


def duration(seconds: float) -> str:
    """Say a span of time as people do: 0.9 s, 45 s, 27 min, 2.3 h, 3.1 d."""
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:.0f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 - as with the larger units


def _takes(seconds: object) -> str:
    known = number(seconds)
    return "more time than the policy looks ahead" if known is None else f"about {duration(known)}"


def _signed(name: str, value: object) -> str:
    difference = number(value)
    if difference is None:
        return MISSING
    return f"{difference * 100:+.3g} points" if name == "errors" else f"{difference:+.1f} ms"


def _interval(name: str, metric: Document) -> str:
    low, high = (number(metric.get(each)) for each in ("low", "high"))
    if low is None or high is None:
        return MISSING
    return f"{low * 100:+.3g} to {high * 100:+.3g}" if name == "errors" else f"{low:+.1f} to {high:+.1f}"


def _limits(name: str, limit: Document) -> str:
    said = []
    for key, word in _LIMITS.items():
        known = number(limit.get(key))
        if known is not None:
            said.append(f"{word} {known * 100:g} points" if name == "errors" else f"{word} {known:g} ms")
    return ", ".join(said) or MISSING


def _finding(metric: Document, limit: Document) -> str:
    if "finding" in metric:
        shown = badges.finding(metric["finding"]).html
        words = f"odds {odds(metric.get('odds_against'))} against, {odds(metric.get('odds_for'))} for"
        role = plain(limit.get("role"))
        aside = element("span", text(words), class_="sr-small sr-quiet")
        return f"{shown} {aside}" + ("" if role == "guardrail" else f" ({text(role)})")
    difference = number(metric.get("difference"))
    if difference is None:
        return badges.finding("error").html
    if difference > (number(limit.get("rollback")) or 0.0):
        return badges.finding("fail").html
    return badges.finding("inconclusive" if difference > (number(limit.get("hold")) or 0.0) else "pass").html
