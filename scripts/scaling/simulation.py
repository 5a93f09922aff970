"""Simulates a fleet event by event: arrivals, the autoscaler, nodes, pods, workers and their loss."""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from .autoscaler import SYNC_SECONDS, Hpa, Keda, Settings
from .traces import Trace
from .worker import WINDOW_SECONDS, Job, Shape, Worker


@dataclass(frozen=True)
class Cluster:
    """Times in seconds; docs/scaling.md has their origins."""

    # A node is made for the pods that wait for one, at most so many.
    pods_per_node: int = 4
    # From the request for a node until it takes pods.
    node_start: float = 60.0
    # Pulling the image and the models on a new node; starting a container where both are.
    first_pod: float = 15.0
    pod_start: float = 3.0
    # From the start of the process until it leases.
    worker_start: float = 2.5
    # How long an empty node stays.
    node_linger: float = 60.0
    drain: float = 100.0
    checkpoint: float = 30.0
    # The numbers of the broker's management API change so often.
    statistics: float = 5.0
    # Losses of a node in an hour, and which part of them comes without notice.
    losses: float = 0.0
    unannounced: float = 0.1
    notice: float = 120.0
    # Until the broker gives back the jobs of a node that is gone, and Kubernetes replaces its pods.
    heartbeat: float = 40.0
    replaced: float = 60.0


@dataclass(eq=False)
class Node:
    launched: float
    ready: float
    places: int
    pods: set["Pod"] = field(default_factory=set)
    is_open: bool = True
    empty_since: float = 0.0
    removed: float | None = None


@dataclass(eq=False)
class Pod:
    created: float
    node: Node
    ready: float | None = None
    worker: Worker | None = None
    version: int = 0
    is_leaving: bool = False
    is_gone: bool = False


@dataclass
class Outcome:
    jobs: list[Job]
    # Time, messages, ready workers, draining workers, nodes.
    samples: list[tuple[float, int, int, int, int]] = field(default_factory=list)
    # Places for pods that were paid for, in seconds, from the launch of their nodes to the end.
    place_seconds: float = 0.0
    computed: float = 0.0
    repeated: float = 0.0
    started: int = 0
    # Workers that were started within ten minutes after others were stopped.
    again: int = 0
    # Jobs that a worker gave back, or lost.
    interrupted: int = 0
    lost: int = 0


class Simulation:
    def __init__(self, trace: Trace, settings: Settings, shape: Shape, cluster: Cluster, seed: int = 1) -> None:
        self.shape, self.cluster, self.settings = shape, cluster, settings
        self.random = random.Random(seed)
        self.keda, self.hpa = Keda(settings), Hpa(settings)
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.order = itertools.count()
        self.now = 0.0
        self.queues = {origin: deque() for origin in ("quarantine", "returned", "new", "long")}
        self.pods: list[Pod] = []
        self.ready: deque[Pod] = deque()
        self.nodes: list[Node] = []
        self.replicas = settings.min_workers
        self.waiting = len(trace)
        self.messages = self.seen = 0
        self.stops: list[list[float]] = []
        self.result = Outcome([shape.job(arrival, audio) for arrival, audio in trace])

    def run(self) -> Outcome:
        for job in self.result.jobs:
            self.at(job.arrival, lambda job=job: self.arrive(job))
        # The three clocks have nothing to do with one another.
        for period, act in [
            (self.cluster.statistics, self.observe),
            (self.settings.polling, self.poll),
            (SYNC_SECONDS, self.sync),
        ]:
            self.at(self.random.uniform(0, period), lambda period=period, act=act: self.repeat(period, act))
        self.scale(self.replicas)
        while self.events and not self.is_over():
            self.now, _, act = heapq.heappop(self.events)
            act()
        for node in self.nodes:
            if node.removed is None:
                self.now += self.cluster.node_linger
                self.remove(node)
                self.now -= self.cluster.node_linger
        return self.result

    def is_over(self) -> bool:
        at_rest = self.replicas == self.settings.min_workers and not any(pod.is_leaving for pod in self.pods)
        return self.waiting == 0 and self.messages == 0 and at_rest

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self.events, (when, next(self.order), act))

    def repeat(self, period: float, act: Callable[[], None]) -> None:
        act()
        self.at(self.now + period, lambda: self.repeat(period, act))

    # The queue.

    def arrive(self, job: Job) -> None:
        self.waiting -= 1
        self.messages += 1
        self.put(job)

    def put(self, job: Job) -> None:
        queue = self.queues[job.origin]
        queue.append(job)
        if len(queue) > 1:
            return  # Nobody has a slot, or the first would not wait.
        # Consumers take turns.
        for _ in range(len(self.ready)):
            pod = self.ready[0]
            self.ready.rotate(-1)
            if pod.worker.has_slot(job.origin):
                self.work(pod)
                return

    def observe(self) -> None:
        self.seen = self.messages
        draining = sum(pod.is_leaving and pod.ready is not None for pod in self.pods)
        nodes = sum(node.removed is None for node in self.nodes)
        self.result.samples.append((self.now, self.messages, len(self.ready), draining, nodes))

    # The autoscaler.

    def poll(self) -> None:
        self.scale(self.keda.poll(self.now, self.replicas, self.seen))

    def sync(self) -> None:
        self.scale(self.hpa.sync(self.now, self.replicas, self.seen))

    def scale(self, replicas: int) -> None:
        change = replicas - self.replicas
        self.replicas = replicas
        if change < 0:
            self.stops.append([self.now, -change])
        for stop in self.stops:
            if change > 0 and stop[0] > self.now - 600:
                matched = min(change, stop[1])
                stop[1] -= matched
                change -= matched
                self.result.again += int(matched)
        self.match()

    def match(self) -> None:
        """Starts and stops pods until there are as many as there should be, as a ReplicaSet does."""
        staying = [pod for pod in self.pods if not pod.is_leaving]
        for missing in range(self.replicas - len(staying), 0, -1):
            self.start(missing)
        surplus = len(staying) - self.replicas
        if surplus > 0:
            # Pods that are not ready go first, then those with most neighbours, then the youngest.
            def precedence(pod: Pod) -> tuple:
                neighbours = sum(not other.is_leaving for other in pod.node.pods)
                return (pod.ready is not None and not pod.is_gone, -neighbours, -(pod.ready or 0.0))

            for pod in sorted(staying, key=precedence)[:surplus]:
                self.leave(pod)

    # Nodes and pods.

    def start(self, missing: int) -> None:
        """Starts a pod, the first of so many."""
        self.result.started += 1
        room = [node for node in self.nodes if node.is_open and len(node.pods) < node.places]
        node = min(room, key=lambda node: (node.ready, -len(node.pods)), default=None) or self.launch(missing)
        seconds = self.cluster.pod_start if node.ready <= self.now else self.cluster.first_pod
        pod = Pod(self.now, node)
        node.pods.add(pod)
        self.pods.append(pod)
        when = max(self.now, node.ready) + seconds + self.cluster.worker_start
        self.at(when, lambda: self.become_ready(pod))

    def launch(self, pods: int) -> Node:
        places = min(pods, self.cluster.pods_per_node)
        node = Node(self.now, self.now + self.cluster.node_start, places)
        self.nodes.append(node)
        if self.cluster.losses > 0:
            self.at(self.now + self.random.expovariate(self.cluster.losses / 3600), lambda: self.reclaim(node))
        return node

    def become_ready(self, pod: Pod) -> None:
        if pod.is_leaving or pod.is_gone:
            return
        pod.ready = self.now
        pod.worker = Worker(self.shape, self.now)
        self.ready.append(pod)
        self.work(pod)

    def leave(self, pod: Pod) -> None:
        """Tells a pod to end."""
        pod.is_leaving = True
        if pod.is_gone:
            self.pods.remove(pod)
            return
        if pod.worker is None:
            self.gone(pod)
            return
        self.ready.remove(pod)
        pod.worker.is_leasing = False
        self.at(self.now + self.cluster.drain, lambda: self.interrupt(pod))
        self.work(pod)

    def interrupt(self, pod: Pod) -> None:
        """Ends the drain: what is not done goes back, and only the windows that were being computed are lost."""
        if pod.is_gone:
            return
        self.work(pod)
        window = WINDOW_SECONDS / self.shape.speed
        for job, rate in pod.worker.take_all():
            self.result.interrupted += 1
            self.lose(job, min(self.now - job.run, 1.0) * min(1.0, rate) * window / 2)
            job.origin = job.origin if job.origin == "quarantine" else "returned"
            self.put(job)
        self.gone(pod)

    def lose(self, job: Job, work: float) -> None:
        job.left += work
        self.result.repeated += work

    def gone(self, pod: Pod) -> None:
        if pod.is_gone:
            return
        pod.is_gone = pod.is_leaving = True
        self.pods.remove(pod)
        node = pod.node
        node.pods.discard(pod)
        if pod.worker is not None:
            self.result.computed += pod.worker.busy
        if not node.pods:
            node.empty_since = self.now
            self.at(max(self.now, node.ready) + self.cluster.node_linger, lambda: self.consolidate(node))

    def consolidate(self, node: Node) -> None:
        is_old = self.now - node.empty_since >= self.cluster.node_linger
        if node.removed is None and not node.pods and is_old:
            self.remove(node)

    def remove(self, node: Node) -> None:
        node.removed, node.is_open = self.now, False
        self.result.place_seconds += node.places * (self.now - node.launched)

    # The loss of nodes.

    def reclaim(self, node: Node) -> None:
        if node.removed is not None:
            return
        node.is_open = False
        if self.random.random() < self.cluster.unannounced:
            self.crash(node)
            return
        for pod in list(node.pods):
            if not pod.is_leaving:
                self.leave(pod)
        self.match()
        self.at(self.now + self.cluster.notice, lambda: self.crash(node))

    def crash(self, node: Node) -> None:
        if node.removed is not None:
            return
        for pod in list(node.pods):
            if pod in self.ready:
                self.ready.remove(pod)
            if pod.worker is not None:
                self.finish(pod)
                for job, rate in pod.worker.take_all():
                    since = self.random.uniform(0, min(self.cluster.checkpoint, self.now - job.run))
                    self.lose(job, since * rate)
                    self.result.lost += 1
                    job.origin = "quarantine"
                    self.at(self.now + self.cluster.heartbeat, lambda job=job: self.put(job))
            is_noticed, pod.version = pod.is_leaving, pod.version + 1
            self.gone(pod)
            if not is_noticed:
                # Kubernetes counts it until it sees that the node is gone.
                pod.is_leaving = False
                self.pods.append(pod)
                self.at(self.now + self.cluster.replaced, lambda pod=pod: self.replace(pod))
        self.remove(node)

    def replace(self, pod: Pod) -> None:
        if pod in self.pods:
            self.pods.remove(pod)
            self.match()

    # Workers.

    def finish(self, pod: Pod) -> None:
        self.messages -= len(pod.worker.advance(self.now))

    def work(self, pod: Pod) -> None:
        """Lets a worker settle what is done, lease what it has slots for, and go on."""
        if pod.is_gone:
            return
        self.finish(pod)
        self.lease(pod.worker)
        if pod.is_leaving and not pod.worker.jobs and pod.worker.suspect is None:
            self.gone(pod)
            return
        pod.version += 1
        version, end = pod.version, pod.worker.next_end()
        if end is not None:
            self.at(end, lambda: self.work(pod) if pod.version == version else None)

    def lease(self, worker: Worker) -> None:
        for origin, queue in self.queues.items():
            while queue and worker.has_slot(origin):
                job = queue.popleft()
                if origin == "quarantine":
                    worker.suspect = job
                else:
                    worker.begin(job)
        if worker.suspect is not None and not worker.jobs:
            worker.is_alone = True
            worker.begin(worker.suspect)
