"""Pictures of the results."""

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from bench.decisions.aims import Results
from bench.decisions.scenarios import Row
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SIZE, DPI = (9.0, 5.0), 110


def draw(folder: Path, results: Results) -> None:
    """Draw what can be seen better than read."""
    _over_limit(folder / "found.png", results)
    _failed(folder / "compared.png", results)


def _over_limit(path: Path, results: Results) -> None:
    figure, axes = plt.subplots(figsize=SIZE)
    rows = results["found"]
    cases = list(dict.fromkeys(row["case"] for row in rows))
    for share, marker in ((0.05, "o"), (0.20, "s"), (0.50, "^")):
        for errors, colour in ((0.002, "tab:blue"), (0.02, "tab:orange")):
            seen = [row for row in rows if row["share"] == share and row["errors"] == errors]
            at = [cases.index(row["case"]) for row in seen]
            label = f"{100 * share:g} % of traffic, baseline errors {100 * errors:g} %"
            axes.plot(at, [row["ratio"] for row in seen], marker, color=colour, alpha=0.8, label=label)
    axes.axhline(1.0, color="black", linewidth=1)
    axes.text(len(cases) - 0.5, 1.02, "the least that any test needs", ha="right", va="bottom", fontsize=8)
    axes.set_xticks(range(len(cases)), cases, rotation=30, ha="right")
    axes.set_ylim(0.8, None)
    axes.set_ylabel("canary requests to rollback, over the limit")
    axes.set_title("How much more than the least a rollback takes (sequential policy)")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
    _save(figure, path)


def _failed(path: Path, results: Results) -> None:
    figure, both = plt.subplots(1, 2, figsize=(13.0, 5.0))
    rows = results["compared"]
    names = list(dict.fromkeys(row["rule"] for row in rows))
    for number, name in enumerate(names):
        seen = [row for row in rows if row["rule"] == name and row["case"].endswith("points")]
        style: dict[str, Any] = {"marker": "o", "label": name, "linewidth": 3.0 if name == "sequential" else 1.2}
        style["color"] = f"C{number}"
        _line(both[0], seen, "seconds", style)
        _line(both[1], seen, "canary_failed", style)
    for axes, says in zip(both, ("seconds to rollback", "failed canary requests until then"), strict=True):
        axes.set_yscale("log")
        axes.set_xscale("log")
        axes.set_xticks([1, 2, 5, 19, 50, 95], ["+1", "+2", "+5", "+19", "+50", "+95"])
        axes.minorticks_off()
        axes.set_xlabel("points more errors")
        axes.set_title(says)
        axes.grid(alpha=0.3)
    both[1].legend(fontsize=9, loc="center left", bbox_to_anchor=(1.02, 0.5))
    figure.suptitle("50 requests/s, 20 % to the canary; a point is left out where fewer than half were rolled back")
    _save(figure, path)


def _line(axes: Axes, rows: list[Row], name: str, style: dict[str, Any]) -> None:
    seen = [row for row in rows if row["rolled_back"] * 2 >= row["rollouts"]]
    points = [float(row["case"].split()[0]) for row in seen]
    axes.plot(points, [row[name] for row in seen], **style)


def _save(figure: Figure, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(path, dpi=DPI)
    plt.close(figure)
