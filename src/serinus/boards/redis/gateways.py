"""The gateways of a board: those that joined here, what each was told and has acknowledged, and those elsewhere."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from serinus.ports import OnSplit

REMEMBERED_S = 1.5
"""How long, at least, a gateway that Redis knows no more is still waited for: if Redis was emptied, it is back by then.

One that has the lease is waited for until that ends: cut off from Redis, it gives canaries their traffic until then.
"""


@dataclass(slots=True)
class Joined:
    """A gateway that joined here; its ``token`` tells it from one that had its name before.

    ``told`` is the text of each split that it was told last, ``acknowledged`` the greatest stamp by deployment,
    ``unsent`` the deployments whose stamp is still to be written.
    """

    name: str
    on_split: OnSplit
    token: str = field(default_factory=lambda: uuid4().hex)
    told: dict[str, str] = field(default_factory=dict)
    acknowledged: dict[str, int] = field(default_factory=dict)
    unsent: set[str] = field(default_factory=set)

    def written(self, deployments: Iterable[str]) -> list[str]:
        """Give token, name, number of acknowledgements and these, as the script of a beat takes them."""
        stamps = [(deployment, self.acknowledged[deployment]) for deployment in deployments]
        return [self.token, self.name, str(len(stamps)), *(str(each) for stamp in stamps for each in stamp)]


class Gateways:
    """Gateways here, by name, and elsewhere, by token.

    Those elsewhere that went without a word are known for as long as they may still go by what they were told last.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._here: dict[str, Joined] = {}
        self._seen: dict[str, tuple[str, float]] = {}
        self._live: dict[str, str] = {}

    def join(self, name: str, on_split: OnSplit) -> Joined | None:
        """Take a gateway in; give the one that had its name here."""
        before = self._here.get(name)
        self._here[name] = Joined(name, on_split)
        return before

    def leave(self, name: str) -> Joined | None:
        """Take a gateway out."""
        return self._here.pop(name, None)

    def here(self) -> list[Joined]:
        """Give those that joined here."""
        return list(self._here.values())

    def acknowledge(self, name: str, deployment: str, stamp: int) -> bool:
        """Note what a gateway here acknowledges; say whether that is new."""
        joined = self._here.get(name)
        if joined is None or joined.acknowledged.get(deployment, -1) >= stamp:
            return False
        joined.acknowledged[deployment] = stamp
        joined.unsent.add(deployment)
        return True

    def unsent(self) -> list[str]:
        """Give what was acknowledged since it was last asked for, as the script of a beat takes it."""
        arguments = []
        for joined in self.here():
            if joined.unsent:
                arguments += joined.written(sorted(joined.unsent))
                joined.unsent.clear()
        return arguments

    def all_acknowledged(self) -> list[str]:
        """Give all that is acknowledged here, as the script of a beat takes it."""
        return [each for joined in self.here() for each in joined.written(joined.acknowledged)]

    # --------------------------------------------------------------------------------- those elsewhere

    def see(self, live: Mapping[str, str], leased_s: float) -> None:
        """Note which gateways Redis knows now.

        Args:
            live: names by token.
            leased_s: how long the lease that Redis has now lasts yet, 0 if there is none; none of them has a later one.
        """
        now = self._monotonic()
        self._wait_for_live(now + leased_s)  # whoever has gone since may have heard of this lease before
        self._seen = {token: seen for token, seen in self._seen.items() if seen[1] > now}
        self._seen.update({token: (name, now + max(REMEMBERED_S, leased_s)) for token, name in live.items()})
        self._live = dict(live)

    def see_left(self, token: str) -> None:
        """Note that a gateway has left in good order: it gives no answers any more."""
        self._seen.pop(token, None)
        self._live.pop(token, None)

    def remember(self) -> None:
        """Count time anew for those that Redis knew last: nothing was heard of any of them meanwhile."""
        self._wait_for_live(self._monotonic() + REMEMBERED_S)

    def _wait_for_live(self, until: float) -> None:
        """Wait for those that Redis knew last until then at least."""
        for token, name in self._live.items():
            _, known = self._seen.get(token, (name, until))
            self._seen[token] = (name, max(known, until))

    def gone(self) -> list[str]:
        """Name those elsewhere that Redis knew and knows no more, and that have not left in good order."""
        now = self._monotonic()
        here = {joined.token for joined in self.here()}
        known = here | self._live.keys()
        return sorted({name for token, (name, until) in self._seen.items() if token not in known and until > now})

    def behind(self, known: Mapping[str, tuple[str, int]], deployment: str, stamp: int) -> list[str]:
        """Name the gateways that have not acknowledged a stamp: live ones, and those gone without a word.

        Args:
            known: name and stamp by token, as Redis has them. It may have been emptied, or have dropped one that is
                cut off: what is known here of those that joined here, and of those that were seen and may have the
                lease yet, counts too.
            deployment, stamp: what is to be acknowledged.
        """
        now = self._monotonic()
        here = {joined.token for joined in self.here()}
        names = {joined.name for joined in self.here() if joined.acknowledged.get(deployment, 0) < stamp}
        names |= {name for token, (name, has) in known.items() if token not in here and has < stamp}
        names |= {
            name
            for token, (name, until) in self._seen.items()
            if token not in here and token not in known and until > now
        }
        return sorted(names)
