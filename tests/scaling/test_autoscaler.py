import unittest

from scaling.autoscaler import Hpa, Keda, Policy, Settings


class KedaTest(unittest.TestCase):
    def test_one_worker_is_activated_and_ended_after_the_cooldown(self):
        keda = Keda(Settings(cooldown=60))
        steps = [(0, 0, 0, 0), (30, 0, 7, 1), (60, 9, 7, 9), (90, 9, 0, 9), (120, 9, 0, 9), (121, 9, 0, 0)]
        for now, replicas, messages, expected in steps:
            self.assertEqual(keda.poll(now, replicas, messages), expected, f"at {now} s")

    def test_a_minimum_stays(self):
        keda = Keda(Settings(cooldown=60, min_workers=2))
        self.assertEqual(keda.poll(0, 0, 0), 2)
        self.assertEqual(keda.poll(1000, 2, 0), 2)


class HpaTest(unittest.TestCase):
    def test_none_is_kedas_business(self):
        self.assertEqual(Hpa(Settings()).sync(0, 0, 100), 0)

    def test_tolerance_and_stabilization(self):
        """The cases of `tests/end_to_end/scaling/autoscaler.rs`."""
        hpa = Hpa(Settings(value=3, max_workers=4, stabilization=30))
        steps = [
            (20, 1, 100, 4),  # 34 are wanted, and 4 allowed
            (30, 4, 13, 4),  # 4.33 is within the tolerance of 4
            (40, 4, 7, 4),  # 4 were wanted 10 s ago
            (60, 4, 5, 3),  # 3 were wanted 20 s ago
            (75, 3, 4, 2),  # 2 were wanted 15 s ago
            (80, 2, 9, 3),  # there is no waiting for more
            (140, 3, 1, 1),  # nothing else was wanted for 30 s
            (150, 1, 0, 1),  # the last one stays
        ]
        for now, replicas, messages, expected in steps:
            self.assertEqual(hpa.sync(now, replicas, messages), expected, f"at {now} s")

    def follow(self, settings, replicas, messages, times):
        hpa, found = Hpa(settings), []
        for now in times:
            replicas = hpa.sync(now, replicas, messages)
            found.append(replicas)
        return found

    def test_four_more_or_twice_as_many_in_15_seconds(self):
        # 1 + 4, then the larger of 5 + 4 and 2 x 5, and so on.
        found = self.follow(Settings(), 1, 100_000, range(0, 76, 15))
        self.assertEqual(found, [5, 10, 20, 40, 50, 50])

    def test_a_quarter_fewer_a_minute(self):
        settings = Settings(stabilization=0, down=(Policy("Percent", 25, 60),))
        # 40 - 10; within the minute no more; 30 - 7.5, of which the whole number stays.
        self.assertEqual(self.follow(settings, 40, 1, [0, 15, 45, 60, 75]), [30, 30, 30, 22, 22])


if __name__ == "__main__":
    unittest.main()
