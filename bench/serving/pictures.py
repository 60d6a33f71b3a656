"""Draws the results: `python -m bench.serving.pictures`."""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from bench.serving.report import Server, models_of
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

ROOT = Path(__file__).parents[2]
WIDTH, ROW, MARGIN, DPI = 11.0, 0.42, 1.6, 110
SHADES = ("#9ecae1", "#4292c6", "#08306b")
INK = {"serinus": "#b8860b", "bare": "#888888", "peer": "black"}
SAYS = {"sklearn": "scikit-learn pipeline", "onnx": "the same as ONNX"}


def main() -> None:
    """Draw what is in the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path(__file__).with_name("results.json"))
    parser.add_argument("--to", type=Path, default=ROOT / "docs/images", help="the folder for the pictures")
    asked = parser.parse_args()
    results = json.loads(asked.results.read_text())
    _draw(asked.to / "serving_throughput.png", results, _rates, "Requests a second on one core (more is better)")
    title = "Milliseconds to the answer, from the median to the 99th percentile (less is better)"
    _draw(asked.to / "serving_latency.png", results, _times, title)


def _draw(path: Path, results: dict[str, Any], mark: Any, title: str) -> None:
    models = models_of(results)
    names = list(dict.fromkeys(server["title"] for server in results["servers"]))
    height = MARGIN + ROW * len(names)
    figure, all_axes = plt.subplots(1, len(models), figsize=(WIDTH, height), sharey=True, squeeze=False)
    kinds = {server["title"]: server["kind"] for server in results["servers"]}
    for axes, model in zip(all_axes[0], models, strict=True):
        for server in results["servers"]:
            if server["model"] == model:
                mark(axes, names.index(server["title"]), server)
        axes.set_title(SAYS.get(model, model), fontsize=10)
        axes.set_xscale("log")
        axes.set_xlabel("logarithmic", fontsize=8, loc="right")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(axis="x", alpha=0.35)
        axes.grid(axis="x", which="minor", alpha=0.12)
    first = all_axes[0][0]
    first.set_yticks(range(len(names)), names)
    first.invert_yaxis()
    for label, name in zip(first.get_yticklabels(), names, strict=True):
        label.set_color(INK[kinds[name]])
        label.set_fontweight("bold" if kinds[name] == "serinus" else "normal")
    handles, labels = first.get_legend_handles_labels()
    known = dict(zip(labels, handles, strict=True))
    figure.suptitle(title, fontsize=12)
    figure.legend(known.values(), known, loc="lower center", ncols=len(known), fontsize=9, frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=DPI)
    plt.close(figure)


def _rates(axes: Axes, place: int, server: Server) -> None:
    loads = server["loads"].items()
    rates = [load["per_second"] for _, load in loads]
    axes.plot([min(rates), max(rates)], [place, place], color="#cccccc", linewidth=2, zorder=1)
    for (connections, load), shade in zip(loads, SHADES, strict=True):
        axes.scatter(load["per_second"], place, color=shade, s=42, zorder=2, label=_over(connections))


def _times(axes: Axes, place: int, server: Server) -> None:
    loads = list(server["loads"].items())
    for number, ((connections, load), shade) in enumerate(zip(loads, SHADES, strict=True)):
        at = place + 0.24 * (number - 1)
        axes.plot([load["p50_ms"], load["p99_ms"]], [at, at], color=shade, linewidth=2, label=_over(connections))
        axes.scatter(load["p50_ms"], at, color=shade, s=26, zorder=2)


def _over(connections: str) -> str:
    return f"{connections} connection{'s' * (connections != '1')}"


if __name__ == "__main__":
    main()
