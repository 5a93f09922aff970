#!/usr/bin/env python3
"""Computes what 1000 hours of audio cost on AWS, from the prices and measurements in scripts/cost.json.

    scripts/cost.py                    prints the tables of docs/cost.md
    scripts/cost.py --write            writes them into the page; --check fails if they differ
    scripts/cost.py --speed 20 --factor 0.8 --minutes 60     the same for a model, a CPU and recordings of yours

The functions return dollars for 1000 hours of audio unless they say otherwise.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/cost.md"
HOURS = 1000.0
FACTORS = (0.5, 0.75, 1.0)
VOLUMES = (1_000, 10_000, 100_000)


@dataclasses.dataclass(frozen=True)
class Costs:
    """Dollars for 1000 hours of audio."""

    node_hours: float
    on_demand: float
    spot: tuple[float, float]


def node_hours(speed: float, factor: float, vcpus: int, efficiency: float) -> float:
    """Returns the hours of a node for 1000 hours of audio.

    `speed` is seconds of audio per second of one core of the machine that was measured, `factor` how fast a vCPU is
    compared with that core, and `efficiency` the part of the paid time in which all vCPUs compute.
    """
    if min(speed, factor, vcpus, efficiency) <= 0 or efficiency > 1:
        raise ValueError("speed, factor and vCPUs are more than 0, efficiency is more than 0 and at most 1")
    return HOURS / (speed * factor * vcpus * efficiency)


def compute(instance: dict[str, Any], speed: float, factor: float, efficiency: float) -> Costs:
    hours = node_hours(speed, factor, instance["vcpus"], efficiency)
    low, high = instance["spot"]
    return Costs(hours, hours * instance["on_demand"], (hours * low, hours * high))


def break_even(instance: dict[str, Any], reference: dict[str, Any]) -> float:
    """Returns the factor from which on an instance is cheaper than the reference, on demand."""
    per_vcpu = [one["on_demand"] / one["vcpus"] for one in (instance, reference)]
    return per_vcpu[0] / per_vcpu[1]


def requests(table: dict[str, Any], speed: float) -> dict[str, float]:
    """Returns the dollars of S3's requests for 1000 hours of audio, by what makes them.

    The counts of a batch are written for each worker at most every two seconds: this is the most that they cost.
    """
    assumed, made, prices = table["assumptions"], table["requests"], table["s3"]
    seconds = assumed["minutes_per_recording"] * 60
    jobs = HOURS * 3600 / seconds
    gets = made["gets_per_job"] + math.ceil(seconds * assumed["bytes_per_audio_second"] / made["bytes_per_get"])
    worker_hours = HOURS / (speed * assumed["threads_per_worker"] * assumed["efficiency"])
    return {
        "reading": jobs * gets / 1000 * prices["per_1000_gets"],
        "writing": jobs * made["puts_per_job"] / 1000 * prices["per_1000_puts"],
        "counting": worker_hours * made["puts_per_worker_hour"] / 1000 * prices["per_1000_puts"],
    }


def storage(table: dict[str, Any]) -> dict[str, float]:
    """Returns the dollars of a month's storage of 1000 hours, and of moving them through a NAT gateway once."""
    assumed, prices = table["assumptions"], table["s3"]
    gigabytes = {
        what: HOURS * 3600 * assumed[f"{key}bytes_per_audio_second"] / 1e9
        for what, key in (("recordings", ""), ("transcripts", "transcript_"))
    }
    stored = {what: size * prices["gb_month"] for what, size in gigabytes.items()}
    return stored | {"through NAT": gigabytes["recordings"] * prices["nat_gb"]}


def monthly(table: dict[str, Any], item: dict[str, Any]) -> float:
    hourly = item.get("hourly", 0.0) * table["assumptions"]["hours_per_month"]
    return (hourly + item.get("monthly", 0.0)) * item["count"]


def markdown(header: list[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def dollars(value: float) -> str:
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def spread(pair: tuple[float, float]) -> str:
    return " to ".join(map(dollars, pair))


def render_compute(table: dict[str, Any]) -> str:
    reference = next(one for one in table["instances"] if one["reference"])
    rows = []
    for instance in table["instances"]:
        for factor in (1.0,) if instance["reference"] else FACTORS:
            row = [f"{instance['name']}, {instance['cpu']}", f"{factor:g}"]
            for model in table["models"]:
                costs = compute(instance, model["speed"], factor, table["assumptions"]["efficiency"])
                row += [f"{costs.node_hours:.1f}", dollars(costs.on_demand), spread(costs.spot)]
            even = "" if instance["reference"] else f"{break_even(instance, reference):.2f}"
            rows.append([*row, even])
    header = ["instance", "factor"]
    for model in table["models"]:
        header += [f"{model['name']}: node-hours", "on demand, $", "spot, $"]
    return markdown([*header, f"cheaper than {reference['name']} from factor"], rows)


def render_storage(table: dict[str, Any]) -> str:
    rows = []
    for model in table["models"]:
        made = requests(table, model["speed"])
        total = dollars(sum(made.values()))
        rows.append([model["name"], *(f"{made[key]:.3f}" for key in ("reading", "writing", "counting")), total])
    kept = storage(table)
    header = ["requests to S3, $", "reading recordings", "writing", "counting, at most", "together"]
    header_kept = ["", "recordings, a month", "transcripts, a month", "recordings through NAT, once"]
    row = ["storage and traffic, $", *(f"{kept[key]:.2f}" for key in ("recordings", "transcripts", "through NAT"))]
    return f"{markdown(header, rows)}\n\n{markdown(header_kept, [row])}"


def render_monthly(table: dict[str, Any]) -> str:
    rows = [[item["what"], dollars(monthly(table, item))] for item in table["monthly"]]
    rows.append(["together", dollars(fixed(table))])
    alternative = table["broker_alternative"]
    rows.append([f"({alternative['what']}, instead of three)", f"({dollars(monthly(table, alternative))})"])
    return markdown(["what runs all the time", "$ a month"], rows)


def fixed(table: dict[str, Any]) -> float:
    return sum(monthly(table, item) for item in table["monthly"])


def render_total(table: dict[str, Any]) -> str:
    model = table["models"][0]
    always = sum(requests(table, model["speed"]).values()) + storage(table)["transcripts"]
    rows = []
    first, *rest = table["instances"]
    for instance in [first, *(one for one in rest if one["reference"])]:
        costs = compute(instance, model["speed"], 1.0, table["assumptions"]["efficiency"])
        row = [f"{instance['name']}, factor 1"]
        for volume in VOLUMES:
            share = fixed(table) * HOURS / volume
            row.append(spread((costs.spot[0] + always + share, costs.on_demand + always + share)))
        rows.append(row)
    return markdown([f"{model['name']}, $ per 1000 hours", *(f"{volume:,} hours a month" for volume in VOLUMES)], rows)


RENDERERS = {
    "compute": render_compute,
    "storage": render_storage,
    "monthly": render_monthly,
    "total": render_total,
}


def update(page: str, table: dict[str, Any]) -> str:
    """Returns the page with its tables, each between two comments, computed anew."""
    for name, renderer in RENDERERS.items():
        pattern = re.compile(rf"(<!-- cost\.py: {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = renderer(table)
        page, count = pattern.subn(lambda found, text=text: f"{found[1]}{text}\n{found[2]}", page)
        if count != 1:
            raise ValueError(f"the page has {count} places for the table {name}, not 1")
    return page


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Computes what 1000 hours of audio cost on AWS.")
    parser.add_argument("--table", type=Path, default=ROOT / "scripts/cost.json")
    parser.add_argument("--check", action="store_true", help="fail if docs/cost.md has other tables")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/cost.md")
    parser.add_argument("--speed", type=float, help="seconds of audio per core second (bench --pipeline)")
    parser.add_argument("--factor", type=float, default=1.0, help="speed of a vCPU in that of the measured core")
    parser.add_argument("--minutes", type=float, help="duration of a recording")
    given = parser.parse_args(arguments)
    table = json.loads(given.table.read_text())
    if given.minutes:
        table["assumptions"]["minutes_per_recording"] = given.minutes
    if given.speed:
        table["models"] = [{"name": f"speed {given.speed:g} x {given.factor:g}", "speed": given.speed * given.factor}]
    if given.check or given.write:
        if given.speed or given.minutes:
            parser.error("--check and --write are for the table as it is")
        page = PAGE.read_text()
        updated = update(page, table)
        if given.write:
            PAGE.write_text(updated)
        elif updated != page:
            print("docs/cost.md is not up to date: scripts/cost.py --write", file=sys.stderr)
            return 1
        return 0
    print("\n\n".join(renderer(table) for renderer in RENDERERS.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
