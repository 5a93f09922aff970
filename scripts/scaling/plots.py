"""Plots of fleets over time: messages above, workers below."""

import io
import json
import pathlib
import re

import matplotlib as mpl

mpl.use("svg")
# The same numbers give the same file.
mpl.rcParams.update({"svg.hashsalt": "scaling", "svg.fonttype": "none", "font.size": 8, "axes.grid": True,
                     "grid.color": "#e0e0e0", "axes.spines.top": False, "axes.spines.right": False})

from matplotlib import pyplot as plt  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402

from .simulation import Outcome  # noqa: E402

BLUE, ORANGE, GREY, RED = "#2060a0", "#d07020", "#909090", "#c02020"
MOST_POINTS = 250


def save(figure: plt.Figure, path: pathlib.Path) -> None:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    # A tenth of a point is more than a screen shows.
    path.write_text(re.sub(r"(\d\.\d)\d+", r"\1", text.getvalue()))
    print(f"wrote {path}")


def fill(above: Axes, below: Axes, columns: list[list[float]], unit: str) -> None:
    """Draws time, messages, workers, draining workers, and places on nodes if there are any."""
    times, messages, workers, draining = columns[:4]
    above.fill_between(times, messages, color=BLUE, alpha=0.15, linewidth=0)
    above.plot(times, messages, color=BLUE, linewidth=1)
    both = [some + more for some, more in zip(workers, draining, strict=True)]
    below.fill_between(times, workers, both, step="post", color=ORANGE, alpha=0.6, linewidth=0, label="draining")
    below.step(times, workers, where="post", color=ORANGE, linewidth=1, label="workers")
    below.set_xlabel(unit)
    above.set_ylim(bottom=0)
    below.set_ylim(bottom=0)


def thinned(samples: list[tuple]) -> list[tuple]:
    return samples[:: max(1, len(samples) // MOST_POINTS)] + samples[-1:]


def plot_simulated(outcomes: dict[str, Outcome], path: pathlib.Path) -> None:
    titles = {
        "burst": "burst: 100,000 at once",
        "hourly": "hourly: 1500 every hour",
        "daily": "daily: up to 3 a second",
        "trickle": "trickle: one in four minutes",
        "long": "long: 400 of hours, slow model",
        "spot": "spot: burst, nodes live two hours",
    }
    figure, axes = plt.subplots(4, 3, figsize=(9.5, 7.5), layout="constrained", height_ratios=[3, 2, 3, 2])
    for position, (name, outcome) in enumerate(outcomes.items()):
        row, column = 2 * (position // 3), position % 3
        above, below = axes[row][column], axes[row + 1][column]
        # Of the half days with the same hour again and again, two are enough.
        end = {"hourly": 2.5 * 3600, "trickle": 3 * 3600}.get(name, float("inf"))
        samples = thinned([sample for sample in outcome.samples if sample[0] < end])
        columns = [list(values) for values in zip(*samples, strict=True)]
        fill(above, below, [[seconds / 3600 for seconds in columns[0]], *columns[1:4]], "hours")
        above.set_title(titles[name], loc="left")
        if column == 0:
            above.set_ylabel("messages")
            below.set_ylabel("workers")
    axes[1][0].legend(frameon=False)
    save(figure, path)


def plot_rehearsal(report: pathlib.Path, path: pathlib.Path) -> None:
    found = json.loads(report.read_text())
    names = ("seconds", "messages", "workers", "draining")
    columns = [[sample[name] for sample in found["samples"]] for name in names]
    figure, (above, below) = plt.subplots(2, 1, figsize=(7.5, 4), sharex=True, layout="constrained")
    fill(above, below, columns, "seconds")
    for number, seconds in enumerate(found["losses"]):
        below.axvline(seconds, color=RED, linewidth=1, linestyle="--", label=None if number else "SIGKILL")
    above.set_ylabel("messages")
    below.set_ylabel("processes")
    below.legend(frameon=False)
    save(figure, path)
