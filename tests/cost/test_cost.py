"""The arithmetic of scripts/cost.py, against sums done by hand, and docs/cost.md against the script."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import cost  # noqa: E402

TABLE = json.loads((ROOT / "scripts/cost.json").read_text())
INSTANCE = {"name": "i", "cpu": "c", "vcpus": 8, "on_demand": 0.4, "spot": [0.1, 0.2], "reference": True}


class Arithmetic(unittest.TestCase):
    def test_node_hours(self) -> None:
        # One core at 50: 1000 h take 20 core-hours; on 8 vCPUs 2.5 h; of which half the time is used: 5 h.
        self.assertAlmostEqual(cost.node_hours(50, 1, 8, 0.5), 5.0)
        self.assertAlmostEqual(cost.node_hours(50, 0.5, 8, 0.5), 10.0)

    def test_values_that_mean_nothing_are_refused(self) -> None:
        for speed, factor, vcpus, efficiency in [
            (0, 1, 8, 1),
            (50, -1, 8, 1),
            (50, 1, 0, 1),
            (50, 1, 8, 1.1),
            (50, 1, 8, 0),
        ]:
            with self.assertRaises(ValueError):
                cost.node_hours(speed, factor, vcpus, efficiency)

    def test_dollars(self) -> None:
        costs = cost.compute(INSTANCE, 50, 1, 0.5)
        self.assertAlmostEqual(costs.on_demand, 2.0)
        self.assertAlmostEqual(costs.spot[0], 0.5)
        self.assertAlmostEqual(costs.spot[1], 1.0)

    def test_at_the_break_even_both_cost_the_same(self) -> None:
        other = INSTANCE | {"vcpus": 16, "on_demand": 0.6}
        factor = cost.break_even(other, INSTANCE)
        self.assertAlmostEqual(factor, 0.75)
        self.assertAlmostEqual(
            cost.compute(other, 50, factor, 0.5).on_demand, cost.compute(INSTANCE, 50, 1, 0.5).on_demand
        )

    def test_requests(self) -> None:
        table = copy.deepcopy(TABLE)
        table["assumptions"] |= {
            "minutes_per_recording": 60,
            "bytes_per_audio_second": 8000,
            "efficiency": 0.5,
            "threads_per_worker": 2,
        }
        table["requests"] = {
            "puts_per_job": 3,
            "gets_per_job": 3,
            "bytes_per_get": 8_000_000,
            "puts_per_worker_hour": 1800,
        }
        table["s3"] |= {"per_1000_puts": 0.005, "per_1000_gets": 0.0004}
        made = cost.requests(table, 50)
        # 1000 jobs; 3600 s of 8000 bytes are 28.8 MB, in four reads, and three more.
        self.assertAlmostEqual(made["reading"], 7 * 0.0004)
        self.assertAlmostEqual(made["writing"], 3 * 0.005)
        # 1000 h at 2 x 50 x 0.5 are 20 hours of a worker.
        self.assertAlmostEqual(made["counting"], 20 * 1.8 * 0.005)

    def test_storage(self) -> None:
        table = copy.deepcopy(TABLE)
        table["assumptions"] |= {"bytes_per_audio_second": 8000, "transcript_bytes_per_audio_second": 800}
        table["s3"] |= {"gb_month": 0.02, "nat_gb": 0.05}
        kept = cost.storage(table)
        self.assertAlmostEqual(kept["recordings"], 28.8 * 0.02)
        self.assertAlmostEqual(kept["transcripts"], 2.88 * 0.02)
        self.assertAlmostEqual(kept["through NAT"], 28.8 * 0.05)

    def test_a_month(self) -> None:
        table = {
            "assumptions": {"hours_per_month": 730},
            "monthly": [{"hourly": 0.1, "count": 2}, {"monthly": 3, "count": 1}],
        }
        self.assertAlmostEqual(cost.fixed(table), 149.0)


class Page(unittest.TestCase):
    def test_the_page_has_the_tables(self) -> None:
        self.assertEqual(cost.main(["--check"]), 0)

    def test_a_page_with_other_tables_is_noticed(self) -> None:
        page = cost.PAGE.read_text()
        table = copy.deepcopy(TABLE)
        table["instances"][0]["on_demand"] *= 2
        self.assertNotEqual(cost.update(page, table), page)
        with self.assertRaisesRegex(ValueError, "total"):
            cost.update(page.replace("cost.py: total", ""), TABLE)

    def test_one_instance_is_the_reference(self) -> None:
        self.assertEqual(sum(one["reference"] for one in TABLE["instances"]), 1)
        for one in TABLE["instances"]:
            low, high = one["spot"]
            self.assertTrue(0 < low <= high <= one["on_demand"], one["name"])

    def test_ones_own_speed(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            self.assertEqual(cost.main(["--speed", "20", "--factor", "0.5", "--minutes", "60"]), 0)
        self.assertIn("speed 20 x 0.5", printed.getvalue())
        with tempfile.NamedTemporaryFile("w", suffix=".json") as other, contextlib.redirect_stdout(io.StringIO()):
            json.dump(TABLE, other)
            other.flush()
            self.assertEqual(cost.main(["--table", other.name]), 0)


if __name__ == "__main__":
    unittest.main()
