#!/usr/bin/env python3
"""Simulates a fleet of workers that KEDA scales, compares settings, and plots (docs/scaling.md).

    scripts/simulate-scaling.sh                              # all tables, and docs/images/scaling-simulated.svg
    scripts/simulate_scaling.py --sweep value                # one table, without a plot
    scripts/simulate-scaling.sh --rehearsal FILE             # docs/images/scaling-rehearsed.svg

The same seed gives the same numbers. FILE is what the test `scaling` writes if SCRIPTORIUM_TEST_SCALING_REPORT
names a file. Only plots need matplotlib, which simulate-scaling.sh installs.
"""

import argparse
import multiprocessing
import pathlib
import random
from dataclasses import replace

from scaling import traces
from scaling.autoscaler import Policy, Settings
from scaling.report import Report, report
from scaling.simulation import Cluster, Outcome, Simulation
from scaling.worker import Shape

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHAPE = Shape()
DEFAULTS = Settings(value=SHAPE.new)
CHOSEN = Settings(polling=10, cooldown=300, value=SHAPE.new, stabilization=120)

TRACES = {
    "burst": (traces.burst, Cluster(), SHAPE),
    "hourly": (traces.hourly, Cluster(), SHAPE),
    "daily": (traces.daily, Cluster(), SHAPE),
    "trickle": (traces.trickle, Cluster(), SHAPE),
    "long": (traces.long, Cluster(), replace(SHAPE, speed=10)),
    # Each node is lost after two hours on average: a stress, far more than the four in a hundred a month.
    "spot": (traces.burst, Cluster(losses=0.5), SHAPE),
}

QUICK = (Policy("Percent", 900),)
SLOW_DOWN = (Policy("Percent", 25, 60.0),)
SWEEPS = {
    "polling": [(f"{seconds} s", {"polling": seconds}) for seconds in (5, 10, 30, 60)],
    "value": [(f"{part:g} x {SHAPE.new}", {"value": part * SHAPE.new}) for part in (0.5, 1, 2, 4, 10, 40)],
    "cooldown": [(f"{seconds} s", {"cooldown": seconds}) for seconds in (30, 180, 300, 900, 1800)],
    "stabilization": [(f"{seconds} s", {"stabilization": seconds}) for seconds in (0, 60, 120, 180, 300, 600)],
    "policies": [
        ("default", {}),
        ("up tenfold in 15 s", {"up": QUICK}),
        ("down a quarter a minute", {"down": SLOW_DOWN}),
    ],
}
# The traces on which a setting has an effect.
SHOWN = {
    "polling": ["hourly", "trickle"],
    "value": ["hourly", "daily", "long"],
    "cooldown": ["burst", "hourly", "trickle"],
    "stabilization": ["burst", "hourly", "daily"],
    "policies": ["burst", "hourly", "daily"],
}
HEADER = (
    "| {} | finished, h | wait, median and 95 % | worker-hours | idle | most workers | started | of these again "
    "| interrupted, lost | repeated |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sweep", choices=[*SWEEPS, "chosen"], action="append", help="default: all")
    parser.add_argument("--trace", choices=TRACES, action="append", help="default: those that a table shows")
    parser.add_argument("--processes", type=int, default=multiprocessing.cpu_count())
    parser.add_argument("--plot", action="store_true", help="plot the chosen settings into --images")
    parser.add_argument("--rehearsal", type=pathlib.Path, help="plot only this, into --images")
    parser.add_argument("--images", type=pathlib.Path, default=ROOT / "docs/images")
    return parser.parse_args()


def simulate(name: str, settings: Settings, seed: int) -> Outcome:
    make, cluster, shape = TRACES[name]
    return Simulation(make(random.Random(seed)), settings, shape, cluster, seed).run()


def measure(run: tuple[str, Settings, int]) -> Report:
    return report(simulate(*run), TRACES[run[0]][2])


def row(name: str, found: Report) -> str:
    return (
        f"| {name} | {found.hours:.2f} | {found.wait_median:.0f} s, {found.wait_95:.0f} s "
        f"| {found.worker_hours:.1f} | {100 * found.idle:.0f} % | {found.most_workers} | {found.started} "
        f"| {found.again} | {found.interrupted}, {found.lost} | {found.repeated:.0f} s |"
    )


def main() -> None:
    arguments = parse_arguments()
    if arguments.rehearsal:
        from scaling.plots import plot_rehearsal

        plot_rehearsal(arguments.rehearsal, arguments.images / "scaling-rehearsed.svg")
        return
    sweeps = {
        **{name: [(label, replace(DEFAULTS, **change)) for label, change in rows] for name, rows in SWEEPS.items()},
        "chosen": [("defaults of KEDA and the HPA", DEFAULTS), ("chosen", CHOSEN)],
    }
    tables = [
        (sweep, trace)
        for sweep in arguments.sweep or sweeps
        for trace in arguments.trace or SHOWN.get(sweep, list(TRACES))
    ]
    runs = [(trace, settings, arguments.seed) for sweep, trace in tables for _, settings in sweeps[sweep]]
    with multiprocessing.Pool(arguments.processes) as pool:
        found = pool.imap(measure, runs)
        for sweep, trace in tables:
            print(f"\n{trace}:\n\n{HEADER.format(sweep)}")
            for label, _ in sweeps[sweep]:
                print(row(label, next(found)), flush=True)
    if arguments.plot:
        from scaling.plots import plot_simulated

        outcomes = {name: simulate(name, CHOSEN, arguments.seed) for name in TRACES}
        plot_simulated(outcomes, arguments.images / "scaling-simulated.svg")


if __name__ == "__main__":
    main()
