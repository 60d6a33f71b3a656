"""Commands of a visitor: each goes out with what it rests on, and what came of it is said."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from serinus.client import ApiError, ConflictError, DocumentClient
from serinus.core.errors import SerinusError
from serinus.dashboard import panels, session
from serinus.words import ago, listed, mapped, number, plain, rows, weight

ASKED = "asked"
"""The key of a command that waits for a yes."""
NOTICE = "notice"
"""The key of what is said of the last command."""
REASON = "reason"
USUAL_REASON = "by hand, in the dashboard"
ASK_ABOVE = 50.0
"""Raising the canary's share beyond this, in percent, asks first: most callers would get the canary."""
_CHECKS = ("health_check", "holding", "progress_overdue", "promotion_recommended", "rollback_recommended")

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Act:
    """A command on a deployment as it was seen: at ``generation``, ``seen`` its document; ``weight`` in percent."""

    verb: str
    name: str
    seen: Document
    weight: float | None = None

    @property
    def generation(self) -> int | None:
        """The generation on which it rests."""
        found = self.seen.get("generation")
        return found if isinstance(found, int) else None

    @property
    def asks(self) -> bool:
        """Whether it is done only after a yes."""
        if self.verb == "set weight":
            return (self.weight or 0.0) > max(panels.share(self.seen), ASK_ABOVE)
        return self.verb in {"promote", "rollback", "undo"}

    @property
    def title(self) -> str:
        """What is asked."""
        return {
            "promote": f"Promote {self._canary}?",
            "rollback": f"Roll back {self._canary}?",
            "undo": "Undo the last promotion?",
        }.get(self.verb, f"Give {self._canary} {weight(self.weight)}?")

    @property
    def consequence(self) -> str:
        """What will happen, as a sentence."""
        baking = self.seen.get("status") == "baking"
        before = plain(mapped(self.seen.get("rollout")).get("baseline"))
        baseline, previous = plain(self.seen.get("baseline")), listed(self.seen.get("previous"))
        if self.verb == "promote" and baking:
            return f"{self._canary} gets all the traffic of {self.name}; {before} keeps no share of it."
        if self.verb == "promote":
            return f"{self._canary} becomes the baseline of {self.name}, with all the traffic; {baseline} is replaced."
        if self.verb == "rollback":
            undone = " The promotion is undone." if baking else ""
            return f"All the traffic of {self.name} goes to {before}, at once.{undone}"
        if self.verb == "undo":
            older = plain(previous[-1]) if previous else "the version before"
            return f"{older} becomes the baseline of {self.name} again, with all the traffic; {baseline} is replaced."
        now = weight(panels.share(self.seen))
        return f"{self._canary} gets {weight(self.weight)} of the traffic of {self.name}, up from {now}."

    @property
    def _canary(self) -> str:
        return plain(mapped(self.seen.get("rollout")).get("canary"))


@dataclass(frozen=True, slots=True)
class Notice:
    """What is said of a command on a deployment, until it is dismissed or followed by another."""

    name: str
    tone: str
    sentences: tuple[str, ...]

    @property
    def html(self) -> str:
        """Draw it."""
        first, *others = self.sentences
        return panels.note(self.tone, first) + "".join(panels.note("watch", each) for each in others)


def wanted(act: Act) -> None:
    """Take a press of a button: carry the command out, or ask first."""
    if act.asks:
        st.session_state[ASKED] = act
    else:
        carry_out(act, str(st.session_state.get(REASON) or ""))


def carry_out(act: Act, reason: str) -> None:
    """Send a command; what came of it is the notice."""
    try:
        with session.commanding() as client:
            done = _sent(client, act, reason.strip() or USUAL_REASON)
    except ConflictError as conflict:
        notice = Notice(act.name, "bad", conflicted("Not done", act.name, act.generation, conflict))
    except ApiError as refused:
        notice = Notice(act.name, "bad", (f"Not done: {refused}",))
    except SerinusError as error:
        notice = Notice(act.name, "bad", (str(error),))
    else:
        notice = Notice(act.name, "good", (_done(act, done), *cautions(done)))
    st.session_state[NOTICE] = notice


def cautions(done: Document) -> tuple[str, ...]:
    """Say what the visitor should know although it worked."""
    waiting = listed(done.get("unacknowledged"))
    told = [plain(each) for each in listed(done.get("warnings"))]
    if waiting:
        names = ", ".join(plain(each) for each in waiting)
        told.append(f"Not confirmed yet by {len(waiting)} gateway(s): {names}. They may route as before for a moment.")
    if done.get("recorded") is False:
        told.append("It is in force, and will be on record when the database answers again.")
    return tuple(told)


def _sent(client: DocumentClient, act: Act, reason: str) -> Document:
    if act.verb == "set weight":
        return client.set_weight(act.name, act.weight or 0.0, reason=reason, expected_generation=act.generation)
    verbs = {
        "pause": client.pause,
        "resume": client.resume,
        "approve": client.approve,
        "promote": client.promote,
        "rollback": client.rollback,
        "undo": client.undo,
    }
    return verbs[act.verb](act.name, reason=reason, expected_generation=act.generation)


def _done(act: Act, done: Document) -> str:
    what = {
        "pause": "Paused.",
        "resume": "Resumed.",
        "approve": "Approved: the plan goes on when the evidence suffices.",
        "promote": f"Promoted: {plain(done.get('baseline'))} is the baseline.",
        "rollback": f"Rolled back: all traffic goes to {plain(done.get('baseline'))}.",
        "undo": f"Undone: {plain(done.get('baseline'))} serves again.",
    }
    return what.get(act.verb, f"The canary gets {weight(panels.share(done))} now.")


def conflicted(what_not: str, name: str, generation: int | None, conflict: ConflictError) -> tuple[str, ...]:
    """Say of a command that rested on a generation who acted first, and what is now."""
    told = [f"{what_not}: {conflict.message}"]
    client = session.reading()
    try:
        event, now = _last_change(client, name, generation), client.deployment(name)
    except SerinusError:
        return tuple(told)
    if event is not None:
        who, what = plain(event.get("actor")), plain(event.get("kind")).replace("_", " ")
        when = ago(event.get("at"), datetime.now(UTC))
        why = f" ({plain(event['reason'])})" if event.get("reason") else ""
        told = [f"{what_not}, for somebody else acted first. By {who}, {when}: {what}{why}."]
    state = f"{plain(now.get('status'))} at generation {plain(now.get('generation'))}"
    told.append(f"Now {name} is {state}: look again, then decide.")
    return tuple(told)


def _last_change(client: DocumentClient, name: str, generation: int | None) -> Document | None:
    """Find the newest event that changed the deployment since it was seen."""
    for event in rows(client.events(name, limit=20, newest_first=True), "events"):
        changed = (number(event.get("generation")) or 0) > (generation or 0)
        if changed and not plain(event.get("kind")).startswith(_CHECKS):
            return event
    return None


@st.dialog("Are you sure?")
def ask(act: Act) -> None:
    """Ask before a command that takes something away."""
    st.html(panels.question(act.title, act.consequence))
    reason = st.text_input(
        "Reason, for the history",
        value=str(st.session_state.get(REASON) or ""),
        placeholder=USUAL_REASON,
        max_chars=1000,
        key="asked_reason",
    )
    yes, no = st.columns(2)
    label = {"promote": "Promote", "rollback": "Roll back", "undo": "Undo"}.get(act.verb, f"Give {weight(act.weight)}")
    if yes.button(label, type="primary", key="asked_yes", width="stretch"):
        carry_out(act, reason)
        st.rerun()
    if no.button("Cancel", key="asked_no", width="stretch"):
        st.rerun()
