"""When recordings arrive, and how long they are."""

import math
import random
from collections.abc import Callable, Iterator

DAY = 86400.0

Trace = list[tuple[float, float]]


def length(rng: random.Random) -> float:
    """Returns the seconds of a recording: like phone calls (median three minutes), and two of a hundred of one
    to four hours."""
    if rng.random() < 0.02:
        return rng.uniform(3600, 4 * 3600)
    return min(1800.0, rng.lognormvariate(math.log(180), 1.0))


def burst(rng: random.Random, jobs: int = 100_000) -> Trace:
    """An archive: all at once, as fast as `submit` publishes."""
    return [(60 + index / 10_000, length(rng)) for index in range(jobs)]


def _poisson(rng: random.Random, rate: Callable[[float], float], most: float, end: float) -> Iterator[float]:
    """Yields arrivals with a rate that changes, of at most `most` a second."""
    now = 0.0
    while (now := now + rng.expovariate(most)) < end:
        if rng.random() * most < rate(now):
            yield now


def trickle(rng: random.Random, seconds: float = 240.0) -> Trace:
    """Half a day with a recording every so many seconds, on average."""
    arrivals = _poisson(rng, lambda _: 1 / seconds, 1 / seconds, DAY / 2)
    return [(now, length(rng)) for now in arrivals]


def daily(rng: random.Random, peak: float = 3.0) -> Trace:
    """A day from midnight to midnight: one every two minutes at night, `peak` a second at two in the afternoon."""

    def rate(now: float) -> float:
        return peak * max(0.05, math.cos((now - 14 * 3600) / DAY * 2 * math.pi)) ** 2

    return [(now, length(rng)) for now in _poisson(rng, rate, peak, DAY)]


def long(rng: random.Random, jobs: int = 400) -> Trace:
    """Recordings of one to four hours, all at once."""
    return [(60 + index / 10_000, rng.uniform(3600, 4 * 3600)) for index in range(jobs)]


def hourly(rng: random.Random, jobs: int = 1500) -> Trace:
    """A batch every hour, for half a day."""
    return [(3600 * hour + index / 10_000, length(rng)) for hour in range(12) for index in range(jobs)]
