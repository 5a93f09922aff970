"""One worker: slots for jobs, and cores that the jobs in flight share fairly."""

from collections import Counter
from dataclasses import dataclass, field

# A window of speech, which one core computes.
WINDOW_SECONDS = 30.0


@dataclass(slots=True, eq=False)
class Job:
    arrival: float
    audio: float
    # What is left, in seconds of one core.
    left: float
    # Cores that it can use at a time.
    width: float
    # new, returned, long or quarantine
    origin: str = "new"
    started: float | None = None
    done: float | None = None
    # When its current run began.
    run: float = 0.0


@dataclass(frozen=True)
class Shape:
    """A worker's size. `new` is `worker.jobs`, one more than the cores by default."""

    cores: int = 4
    # Seconds of audio that a core transcribes in a second.
    speed: float = 54.0
    new: int = 5
    long: int = 4
    # `worker.long_seconds`
    long_seconds: float = 1800.0
    # CPU time of a job besides its audio.
    overhead: float = 0.006

    def slots(self, origin: str) -> int:
        return {"new": self.new, "long": self.long}.get(origin, 1)

    def job(self, arrival: float, audio: float) -> Job:
        windows = max(1.0, -(-audio // WINDOW_SECONDS))
        origin = "long" if audio > self.long_seconds else "new"
        return Job(arrival, audio, audio / self.speed + self.overhead, min(windows, self.cores), origin)


def shares(widths: list[float], cores: float) -> list[float]:
    """Divides cores equally; what a job cannot use, the others get."""
    if sum(widths) <= cores:
        return list(widths)
    if min(widths) >= cores / len(widths):
        return [cores / len(widths)] * len(widths)
    given, order = [0.0] * len(widths), sorted(range(len(widths)), key=widths.__getitem__)
    for position, index in enumerate(order):
        given[index] = min(widths[index], cores / (len(order) - position))
        cores -= given[index]
    return given


@dataclass(eq=False)
class Worker:
    shape: Shape
    now: float
    jobs: list[Job] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    held: Counter = field(default_factory=Counter)
    # A job that is to run alone, once the others are done.
    suspect: Job | None = None
    is_alone: bool = False
    is_leasing: bool = True
    busy: float = 0.0

    def has_slot(self, origin: str) -> bool:
        return self.is_leasing and self.suspect is None and self.held[origin] < self.shape.slots(origin)

    def begin(self, job: Job) -> None:
        job.started = self.now if job.started is None else job.started
        job.run = self.now
        self.jobs.append(job)
        self.held[job.origin] += 1
        self._share()

    def advance(self, now: float) -> list[Job]:
        """Computes until now; returns the jobs that are done."""
        passed, self.now = now - self.now, now
        for job, rate in zip(self.jobs, self.rates, strict=True):
            job.left -= passed * rate
        self.busy += passed * sum(self.rates)
        done = [job for job in self.jobs if job.left < 1e-9]
        for job in done:
            job.done = now
        self._remove(done)
        return done

    def next_end(self) -> float | None:
        """Returns when the next job will be done, if nothing changes."""
        if not self.jobs:
            return None
        return self.now + max(0.0, min(job.left / rate for job, rate in zip(self.jobs, self.rates, strict=True)))

    def take_all(self) -> list[tuple[Job, float]]:
        """Takes all jobs from it, with the cores that each had."""
        taken = list(zip(self.jobs, self.rates, strict=True))
        if self.suspect is not None and not self.is_alone:
            taken.append((self.suspect, 0.0))
        self.suspect = None
        self._remove(list(self.jobs))
        return taken

    def _remove(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        for job in jobs:
            self.held[job.origin] -= 1
            if job is self.suspect:
                self.suspect, self.is_alone = None, False
        self.jobs = [job for job in self.jobs if job not in jobs]
        self._share()

    def _share(self) -> None:
        self.rates = shares([job.width for job in self.jobs], self.shape.cores) if self.jobs else []
