"""What a simulated fleet did, as numbers."""

from dataclasses import dataclass

from .simulation import Outcome
from .worker import Shape


@dataclass(frozen=True)
class Report:
    # Hours from the first arrival to the last transcript.
    hours: float
    # Seconds until a worker begins with a job.
    wait_median: float
    wait_95: float
    # Paid for: places for workers on nodes, from the launch of the node to its end.
    worker_hours: float
    # Part of the paid cores that computed nothing, or something for the second time.
    idle: float
    started: int
    again: int
    interrupted: int
    lost: int
    # Core-seconds.
    repeated: float
    most_workers: int


def quantile(ordered: list[float], part: float) -> float:
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def report(outcome: Outcome, shape: Shape) -> Report:
    jobs = outcome.jobs
    unfinished = sum(job.done is None for job in jobs)
    if unfinished:
        raise RuntimeError(f"{unfinished} jobs have no end")
    waits = sorted(job.started - job.arrival for job in jobs)
    worker_hours = outcome.place_seconds / 3600
    needed = sum(shape.job(0, job.audio).left for job in jobs) / 3600
    return Report(
        hours=(max(job.done for job in jobs) - jobs[0].arrival) / 3600,
        wait_median=quantile(waits, 0.5),
        wait_95=quantile(waits, 0.95),
        worker_hours=worker_hours,
        idle=1 - needed / (worker_hours * shape.cores),
        started=outcome.started,
        again=outcome.again,
        interrupted=outcome.interrupted,
        lost=outcome.lost,
        repeated=outcome.repeated,
        most_workers=max(sample[2] for sample in outcome.samples),
    )
