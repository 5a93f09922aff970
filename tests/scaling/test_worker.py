import unittest

from scaling.worker import Job, Shape, Worker, shares


def job(left, width=4.0, origin="new"):
    return Job(arrival=0, audio=0, left=left, width=width, origin=origin)


class SharesTest(unittest.TestCase):
    def test_cores_are_divided_equally(self):
        self.assertEqual(shares([4, 4], 4), [2, 2])
        self.assertEqual(shares([4] * 8, 4), [0.5] * 8)

    def test_what_one_cannot_use_the_others_get(self):
        self.assertEqual(shares([4, 1, 4], 4), [1.5, 1, 1.5])
        self.assertEqual(shares([1, 1], 4), [1, 1])


class WorkerTest(unittest.TestCase):
    def test_jobs_share_the_cores_until_one_is_done(self):
        worker, short, long = Worker(Shape(cores=4), 0.0), job(10), job(20)
        worker.begin(short)
        worker.begin(long)
        # Each has two cores for 5 s; then the other 10 core-seconds take 2.5 s on four.
        self.assertEqual(worker.next_end(), 5)
        self.assertEqual(worker.advance(5), [short])
        self.assertEqual(worker.next_end(), 7.5)
        self.assertEqual(worker.advance(7.5), [long])
        self.assertEqual((worker.busy, worker.next_end()), (30, None))

    def test_slots_are_those_of_the_origin(self):
        worker = Worker(Shape(cores=2, new=3, long=2), 0.0)
        for _ in range(3):
            worker.begin(job(1))
        for origin, expected in [("new", False), ("long", True), ("returned", True), ("quarantine", True)]:
            self.assertEqual(worker.has_slot(origin), expected, origin)
        worker.begin(job(1, origin="returned"))
        self.assertFalse(worker.has_slot("returned"))
        worker.is_leasing = False
        self.assertFalse(worker.has_slot("long"))

    def test_the_work_of_a_recording(self):
        shape = Shape(cores=4, speed=50, overhead=0.5)
        # 100 s of audio are four windows of 30 s; 61 s are three.
        self.assertEqual((shape.job(0, 100).left, shape.job(0, 100).width), (2.5, 4))
        self.assertEqual(shape.job(0, 61).width, 3)
        self.assertEqual([shape.job(0, seconds).origin for seconds in (1800, 1801)], ["new", "long"])


if __name__ == "__main__":
    unittest.main()
