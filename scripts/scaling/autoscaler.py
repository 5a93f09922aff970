"""The decisions of KEDA and of the horizontal pod autoscaler (HPA), as in their sources.

KEDA: `pkg/scaling/executor/scale_scaledobjects.go`. Kubernetes: `pkg/controller/podautoscaler/horizontal.go` and
`replica_calculator.go`, with the defaults of `pkg/apis/autoscaling/v2/defaults.go`.
"""

import math
from dataclasses import dataclass, field

# Flags of Kubernetes' controller manager, which a chart cannot set.
SYNC_SECONDS = 15.0
TOLERANCE = 0.1


@dataclass(frozen=True)
class Policy:
    """A limit for a change within a period: so many pods, or so many percent."""

    kind: str
    value: int
    period: float = 15.0

    def change(self, pods: int) -> float:
        return self.value if self.kind == "Pods" else pods * self.value / 100


@dataclass(frozen=True)
class Settings:
    """What a chart can set. The defaults are those of KEDA and of the HPA."""

    polling: float = 30.0
    cooldown: float = 300.0
    value: float = 5.0
    stabilization: float = 300.0
    up: tuple[Policy, ...] = (Policy("Pods", 4), Policy("Percent", 100))
    down: tuple[Policy, ...] = (Policy("Percent", 100),)
    min_workers: int = 0
    max_workers: int = 50


@dataclass
class Keda:
    """Decides between none and some, whenever it polls."""

    settings: Settings
    last_active: float = -math.inf

    def poll(self, now: float, replicas: int, messages: int) -> int:
        least = self.settings.min_workers
        if messages > 0:
            self.last_active = now
            return replicas or max(1, least)
        if replicas > 0 and least == 0 and now > self.last_active + self.settings.cooldown:
            return 0
        return max(replicas, least)


@dataclass
class Hpa:
    """Decides how many, every `SYNC_SECONDS`, unless there are none."""

    settings: Settings
    recommended: list[tuple[float, int]] = field(default_factory=list)
    changes: list[tuple[float, int]] = field(default_factory=list)

    def sync(self, now: float, replicas: int, messages: int) -> int:
        if replicas == 0:
            return 0
        wanted = self._wanted(replicas, messages)
        stable = self._stabilized(now, replicas, wanted)
        target = self._limited(now, replicas, stable)
        if target != replicas:
            self.changes.append((now, target - replicas))
        return target

    def _wanted(self, replicas: int, messages: int) -> int:
        load = messages / self.settings.value
        return replicas if abs(load / replicas - 1) <= TOLERANCE else math.ceil(load)

    def _stabilized(self, now: float, replicas: int, wanted: int) -> int:
        """Returns the largest recommendation of the window if that is fewer than there are."""
        window = self.settings.stabilization
        self.recommended = [(when, count) for when, count in self.recommended if when > now - window]
        highest = max([wanted, *(count for _, count in self.recommended)])
        self.recommended.append((now, wanted))
        return wanted if wanted > replicas else min(replicas, highest)

    def _limited(self, now: float, replicas: int, target: int) -> int:
        least, most = max(1, self.settings.min_workers), self.settings.max_workers

        def at_start(policy: Policy) -> int:
            return replicas - sum(by for when, by in self.changes if when > now - policy.period)

        self.changes = [(when, by) for when, by in self.changes if when > now - 3600]
        if target > replicas:
            starts = [(policy, at_start(policy)) for policy in self.settings.up]
            limit = max(math.ceil(pods + policy.change(pods)) for policy, pods in starts)
            target = min(target, max(limit, replicas))
        elif target < replicas:
            starts = [(policy, at_start(policy)) for policy in self.settings.down]
            limit = min(int(pods - policy.change(pods)) for policy, pods in starts)
            target = max(target, min(limit, replicas))
        return max(least, min(most, target))
