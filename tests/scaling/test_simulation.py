import heapq
import random
import unittest

from scaling import traces
from scaling.autoscaler import Settings
from scaling.report import report
from scaling.simulation import Cluster, Simulation
from scaling.worker import Shape

SHAPE = Shape(cores=4, speed=50, overhead=0)


def play(simulation, until):
    """Lets the events until a time happen."""
    while simulation.events and simulation.events[0][0] <= until:
        simulation.now, _, act = heapq.heappop(simulation.events)
        act()
    simulation.now = until


def one_worker(audio, **cluster):
    """Returns a simulation without an autoscaler, in which a worker begins with a job at 77.5 s."""
    simulation = Simulation([(0.0, audio)], Settings(), SHAPE, Cluster(**cluster))
    simulation.scale(1)
    simulation.arrive(simulation.result.jobs[0])
    return simulation, simulation.result.jobs[0]


class LifeTest(unittest.TestCase):
    def test_a_job_from_zero_to_zero(self):
        settings, cluster = Settings(polling=30, cooldown=100), Cluster()
        simulation = Simulation([(0.0, 1000.0)], settings, SHAPE, cluster, seed=3)
        found = simulation.run()
        # The first two numbers of the same generator are when the broker counts, and when KEDA asks.
        clock = random.Random(3)
        counted, asked = clock.uniform(0, 5), clock.uniform(0, 30)
        activated = asked if asked > counted else asked + 30
        # A node (60 s), an image and models (15 s), a worker (2.5 s); 20 core-seconds on four cores.
        self.assertAlmostEqual(found.jobs[0].started, activated + 77.5)
        self.assertAlmostEqual(found.jobs[0].done, activated + 82.5)
        self.assertEqual((found.started, found.interrupted, found.lost), (1, 0, 0))
        # KEDA asks every 30 s: at 60 s after activation it still sees the job, as at 90 s if the broker has
        # not counted again; more than 100 s later it ends the worker, whose node stays for 60 s.
        self.assertIn(round(found.place_seconds - cluster.node_linger), [180, 210, 240])

    def test_nodes_are_made_for_the_pods_that_wait(self):
        simulation = Simulation([], Settings(), SHAPE, Cluster(pods_per_node=4))
        simulation.scale(6)
        self.assertEqual([node.places for node in simulation.nodes], [4, 2])
        self.assertEqual([len(node.pods) for node in simulation.nodes], [4, 2])

    def test_pods_that_are_not_ready_stop_first(self):
        simulation = Simulation([], Settings(), SHAPE, Cluster(pods_per_node=4))
        simulation.scale(1)
        play(simulation, 100)
        oldest = simulation.pods[0]
        simulation.scale(3)
        simulation.scale(1)
        self.assertEqual(simulation.pods, [oldest])
        self.assertEqual(simulation.result.again, 0)
        simulation.scale(2)
        self.assertEqual(simulation.result.again, 1, "one of the two that were stopped is needed again")

    def test_a_drain_ends_a_job_that_is_short_enough(self):
        simulation, job = one_worker(audio=50 * 4 * 60)
        play(simulation, 100)
        simulation.scale(0)
        play(simulation, 500)
        self.assertAlmostEqual(job.done, 77.5 + 60)
        self.assertEqual((simulation.pods, simulation.messages), ([], 0))

    def test_a_drain_gives_a_long_job_back_with_what_is_done(self):
        simulation, job = one_worker(audio=50 * 4 * 1000)
        play(simulation, 100)
        simulation.scale(0)
        play(simulation, 199)
        self.assertEqual(len(simulation.pods), 1)
        play(simulation, 201)
        # Four cores have worked from 77.5 s until 200 s; half a window (0.3 s of a core) is lost.
        self.assertAlmostEqual(job.left, 4000 - 4 * 122.5 + 0.3)
        self.assertEqual((job.origin, simulation.result.interrupted, simulation.messages), ("returned", 1, 1))
        self.assertEqual(simulation.pods, [])

    def test_what_a_lost_node_ran_is_run_alone(self):
        simulation, job = one_worker(audio=50 * 4 * 1000)
        play(simulation, 177.5)
        simulation.crash(simulation.nodes[0])
        # At most 30 s of four cores since the last checkpoint.
        lost = job.left - (4000 - 4 * 100)
        self.assertTrue(0 <= lost <= 120, lost)
        self.assertEqual((simulation.result.lost, simulation.messages), (1, 1))
        # Kubernetes replaces the pod after 60 s, on a new node.
        play(simulation, 177.5 + 60 + 77)
        self.assertEqual(len(simulation.queues["quarantine"]), 1)
        other = simulation.shape.job(0, 50)
        simulation.put(other)
        play(simulation, 177.5 + 60 + 78)
        worker = simulation.pods[0].worker
        self.assertTrue(worker.is_alone)
        self.assertEqual(worker.jobs, [job])
        play(simulation, 2000)
        self.assertGreater(other.started, job.done - 1e-6)

    def test_a_notice_lets_jobs_end_elsewhere(self):
        simulation, job = one_worker(audio=50 * 4 * 1000, unannounced=0)
        play(simulation, 100)
        simulation.reclaim(simulation.nodes[0])
        play(simulation, 5000)
        self.assertEqual((simulation.result.interrupted, simulation.result.lost), (1, 0))
        self.assertEqual([node.removed for node in simulation.nodes], [220, None])
        self.assertIsNotNone(job.done)


class ReportTest(unittest.TestCase):
    def test_the_same_seed_gives_the_same_report(self):
        def run(seed):
            trace = traces.hourly(random.Random(seed), 20)
            return report(Simulation(trace, Settings(), SHAPE, Cluster(losses=0.5), seed).run(), SHAPE)

        self.assertEqual(run(1), run(1))
        self.assertNotEqual(run(1), run(2))

    def test_nothing_is_lost_and_all_work_is_paid_for(self):
        for seed in range(5):
            trace = traces.burst(random.Random(seed), 2000)
            cluster = Cluster(losses=20, unannounced=0.5)
            found = Simulation(trace, Settings(value=2.5), SHAPE, cluster, seed).run()
            self.assertTrue(all(job.done is not None for job in found.jobs))
            needed = sum(SHAPE.job(0, job.audio).left for job in found.jobs)
            self.assertAlmostEqual(found.computed, needed + found.repeated, places=3)
            self.assertGreater(found.place_seconds * SHAPE.cores, found.computed)
            self.assertGreater(found.lost, 0)


class TracesTest(unittest.TestCase):
    def test_arrivals(self):
        day = traces.daily(random.Random(1), 0.5)
        hours = [int(when // 3600) for when, _ in day]
        self.assertGreater(hours.count(14), 100 * hours.count(2))
        self.assertEqual(len(traces.burst(random.Random(1), 70)), 70)
        # Every four minutes for half a day, within three deviations.
        self.assertAlmostEqual(len(traces.trickle(random.Random(1))), 180, delta=3 * 180**0.5)

    def test_lengths(self):
        rng = random.Random(1)
        lengths = [traces.length(rng) for _ in range(20_000)]
        # 2 % of 2.5 hours on average, and a log-normal of mean 180 e^0.5 = 297 s whose tail is cut.
        self.assertAlmostEqual(sum(lengths) / len(lengths), 0.02 * 9000 + 0.98 * 285, delta=25)
        self.assertTrue(0.015 < sum(length > 1800 for length in lengths) / len(lengths) < 0.025)


if __name__ == "__main__":
    unittest.main()
