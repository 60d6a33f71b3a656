"""The path from a deployment to the data that its versions were trained on, as a tree."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from serinus.cli.display.badges import event_badge
from serinus.cli.display.screen import Screen
from serinus.cli.display.words import MISSING, ago, clock, listed, mapped, pairs, plain

Document = Mapping[str, Any]
DIGEST = 24
"""Characters of a file's digest that fit into a tree; the data's is what the way leads to, and shown whole."""


def trace_view(document: Document, screen: Screen) -> RenderableType:
    """Show the deployment, the rollout and how it stands, and below it each version with what it comes from."""
    root = Tree(Text(plain(document.get("deployment")), "bold").append_text(_serves(document)), guide_style="dim")
    rollout = mapped(document.get("rollout"))
    place = root.add(_rollout(rollout, mapped(document.get("decision")), screen)) if rollout else root
    for role, line in mapped(document.get("versions")).items():
        _grow(place, plain(role), listed(line), screen)
    return root


def _shortened(digest: str) -> str:
    return digest if len(digest) <= DIGEST else f"{digest[:DIGEST]}…"


def _serves(document: Document) -> Text:
    return Text(f"  serves {plain(document.get('serves'))}", "dim")


def _rollout(rollout: Document, decision: Document, screen: Screen) -> RenderableType:
    title = Text(f"rollout {plain(rollout.get('id'))}  ", "bold")
    title.append(f"{plain(rollout.get('canary'))} against {plain(rollout.get('baseline'))}, ")
    title.append(plain(rollout.get("phase")).replace("_", " "))
    ended, started = rollout.get("ended_at"), rollout.get("started_at")
    title.append(f"  {ago(ended, screen.now) if ended else 'started ' + ago(started, screen.now)}", "dim")
    if not decision:
        return title
    why = Text("  ").append_text(event_badge(decision.get("kind"), screen))
    why.append(f"  by {plain(decision.get('actor'))}, {clock(decision.get('at'))}", "dim")
    reason = plain(rollout.get("reason") or decision.get("reason") or "")
    return Group(title, why, *([Text(f"  {reason}")] if reason else []))


def _grow(place: Tree, role: str, line: Sequence[Document], screen: Screen) -> None:
    """Add a version, and below it those that it was made from."""
    for version in line:
        place = place.add(Text(f"{role}  ", "dim").append(plain(version.get("ref")), "bold"))
        if not version.get("registered"):
            place.add(Text("not registered here: its trail ends", "yellow"))
            return
        made = f"{clock(version.get('created_at'))} ({ago(version.get('created_at'), screen.now)})"
        for name, fact in (
            ("registered", f"{made} by {plain(version.get('created_by'))}"),
            ("metrics", pairs(version.get("metrics"))),
            ("file", _shortened(plain(version.get("digest")))),
            ("training run", version.get("run_id")),
            ("git commit", version.get("git_commit")),
            ("dataset", version.get("dataset_digest")),
        ):
            known = plain(fact) if fact and fact != MISSING else "not recorded"
            style = "bold green" if name == "dataset" and fact else ""
            place.add(Text(f"{name}  ", "dim").append(known, style if fact and fact != MISSING else "yellow"))
        role = "made from"
