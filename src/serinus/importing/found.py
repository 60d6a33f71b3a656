"""A model found in MLflow, as plain values: what is known of it, and what of that is put on record here."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from serinus.core.origin import Origin
from serinus.core.records import Lineage

MOST_METRICS = 100
MOST_PARAMETERS = 200
MOST_TAGS = 50
LONGEST_TEXT = 500
LONGEST_DESCRIPTION = 10_000
LONGEST_DIGESTS = 200
SET_BACK = "serinus."
"""What the tags begin with that Serinus sets in MLflow."""
_INNER = ("mlflow.", SET_BACK)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset that a run took in; ``context`` says what for ("training", "" if that is not said)."""

    name: str
    digest: str
    context: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A model in MLflow. ``location`` is the URI of its files, ``uri`` names it as exactly as can be."""

    uri: str
    origin: Origin
    location: str
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    datasets: Sequence[Dataset] = ()
    git_commit: str = ""

    def lineage(self, parent: str) -> Lineage:
        """Say where it comes from; ``parent`` is the version imported before."""
        return Lineage(
            dataset_digest=digests(self.datasets),
            run_id=self.origin.run_id[:LONGEST_DIGESTS],
            git_commit=self.git_commit[:LONGEST_DIGESTS],
            parent=parent,
        )

    @property
    def kept_metrics(self) -> dict[str, float]:
        """Its metrics, without those that are no finite number."""
        finite = {name: value for name, value in self.metrics.items() if math.isfinite(value)}
        return dict(sorted(finite.items())[:MOST_METRICS])

    @property
    def kept_parameters(self) -> dict[str, object]:
        """Its parameters: MLflow keeps texts, of which numbers, booleans and null are read."""
        return {name: _value(text) for name, text in sorted(self.parameters.items())[:MOST_PARAMETERS]}

    @property
    def kept_tags(self) -> dict[str, str]:
        """Its own tags, without those that MLflow or Serinus set, and where it comes from."""
        own = {name: _cut(text) for name, text in sorted(self.tags.items()) if not name.startswith(_INNER)}
        return dict(list(own.items())[:MOST_TAGS]) | self.origin.tags

    @property
    def kept_description(self) -> str:
        """What was said of it."""
        return self.description[:LONGEST_DESCRIPTION]


def digests(datasets: Iterable[Dataset]) -> str:
    """Write datasets as ``name:digest`` with commas between, those of the training first, in 200 characters at most.

    ``,`` and ``:`` in a name are written as in URLs. Where they do not all fit, ``+2`` at the end says how many lack.
    """
    ordered = sorted(datasets, key=lambda each: each.context != "training")
    written = list(dict.fromkeys(f"{quote(each.name, safe=' /()')}:{quote(each.digest, safe='')}" for each in ordered))
    for count in range(len(written), -1, -1):
        lacking = [f"+{len(written) - count}"] if count < len(written) else []
        text = ",".join([*written[:count], *lacking])
        if len(text) <= LONGEST_DIGESTS:
            return text
    return ""


def _value(text: str) -> object:
    try:
        value = json.loads(text)
    except (RecursionError, ValueError):
        return _cut(text)
    endless = isinstance(value, float) and not math.isfinite(value)
    return _cut(text) if endless or isinstance(value, str | list | dict) else value


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
