"""What a board knows of how things stand in Redis: the splits, what gateways were told of them, and the lease."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from serinus.boards.redis.gateways import Joined
from serinus.core.routing import Split


@dataclass(frozen=True, slots=True)
class State:
    """How everything stood when Redis was asked.

    ``asked`` is when that was, by the clock here; ``remaining_s`` the time of the lease, 0 if there is none; ``digest``
    that of all splits; ``splits`` their texts, None if they are those of the digest that Redis was told; ``live`` names
    of gateways by token.
    """

    asked: float
    remaining_s: float
    digest: str
    splits: dict[str, str] | None
    live: dict[str, str]

    @classmethod
    def read(cls, texts: Sequence[str]) -> "State":
        """Read what the script of a beat sends; ValueError if it is something else."""
        asked, remaining_ms, digest, sent, number, *rest = texts
        gateways, splits = rest[: int(number)], rest[int(number) :]
        return cls(
            asked=float(asked),
            remaining_s=max(int(remaining_ms), 0) / 1000.0,
            digest=digest,
            splits=_pairs(splits) if sent == "all" else None,
            live=_pairs(gateways),
        )


@dataclass(slots=True)
class Mirror:
    """The text of each split that is up, as far as was heard.

    ``digest`` is Redis' own of all of them, "" if it is not known to be theirs: then all of them have to be sent.
    """

    texts: dict[str, str] = field(default_factory=dict)
    digest: str = ""

    def change(self, deployment: str, text: str) -> None:
        """Take over one split."""
        self.texts[deployment] = text
        self.digest = ""

    def settle(self, state: State) -> None:
        """Take over all splits, if they came."""
        if state.splits is not None:
            self.texts, self.digest = state.splits, state.digest

    def news(self, joined: Joined) -> Iterator[tuple[str, str]]:
        """Give what a gateway has not been told yet, and remember it as told; "" for a split that is gone."""
        for deployment, text in list(self.texts.items()):
            if joined.told.get(deployment) != text:
                joined.told[deployment] = text
                yield deployment, text
        for deployment in joined.told.keys() - self.texts.keys():
            del joined.told[deployment]
            yield deployment, ""


@dataclass(slots=True)
class Lease:
    """How long canaries may have traffic, by the clock here. It never ends later here than in Redis."""

    until: float = -math.inf
    _renewed_at: float = -math.inf

    def read(self, asked: float, remaining_s: float) -> None:
        """Take over what Redis said; what it was asked before the lease was renewed from here is out of date."""
        if asked >= self._renewed_at:
            self.until = asked + remaining_s

    def renew(self, asked: float, ttl_s: float, now: float) -> None:
        """Take over that it was renewed."""
        self.until, self._renewed_at = asked + ttl_s, now


def encoded(split: Split) -> str:
    """Write a split as it is kept."""
    return json.dumps(split.encoded(), separators=(",", ":"))


def decoded(text: str) -> object:
    """Read what is kept for a deployment; the text itself if it is no JSON, None if there is none."""
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return text


def _pairs(texts: Sequence[str]) -> dict[str, str]:
    return dict(zip(texts[::2], texts[1::2], strict=True))
