"""Tests of scripts/acceptance.sh on a cluster that is played.

They show that the script asks the right things in the right order, sees each fault, and cleans up. They do not
show that image and chart work: only a cluster can.
"""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Step that fails with each fault, and how many have passed before.
FAULTS = {
    "not ready": ("KEDA cannot ask RabbitMQ", 1),
    "helm test fails": ("helm test", 2),
    "never scales up": ("9 jobs do not get 3 workers", 3),
    "stops busy workers": ("workers with work were stopped", 4),
    "work is too short": ("too soon to see", 4),
    "a transcript is missing": ("first has 8 transcripts of 9", 5),
    "never scales down": ("workers stay without work", 6),
    "upgrade conflicts": ("helm upgrade while KEDA has scaled the pool", 7),
    "upgrade resets replicas": ("the upgrade set the number of workers to 1", 7),
    "rollback fails": ("helm rollback while KEDA has scaled the pool", 8),
    "leaves an object": ("uninstalled, but left: configmap/trial-scriptorium", 10),
}


class Acceptance(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        for program in ["kubectl", "helm"]:
            (self.folder / program).symlink_to(HERE / "fake_cluster.py")

    def run_script(self, *arguments: str, fault: str = "") -> tuple[subprocess.CompletedProcess[str], dict]:
        state = self.folder / "state.json"
        state.unlink(missing_ok=True)
        environment = os.environ | {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "FAKE_STATE": str(state),
            "FAKE_FAULT": fault,
            "ACCEPTANCE_TICK": "0",
            "ACCEPTANCE_HOLD": "15",
        }
        command = ["scripts/acceptance.sh", "--image", "scriptorium:acceptance", *arguments]
        ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
        left = json.loads(state.read_text())
        self.assertEqual(left["unexpected"], [], ran.stdout + ran.stderr)
        return ran, left

    def test_passes_on_a_cluster_without_faults(self) -> None:
        ran, left = self.run_script()
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        self.assertEqual(ran.stdout.count("PASS"), 11, ran.stdout)
        self.assertIn("11 passed, 0 failed", ran.stdout)
        self.assertEqual(left["namespaces"], [])
        helm = [call for call in left["calls"] if call[2:3] and call[2] in ("install", "test", "upgrade", "rollback", "uninstall")]
        self.assertEqual([call[2] for call in helm], ["install", "test", "upgrade", "rollback", "uninstall"])

    def test_sees_each_fault(self) -> None:
        for fault, (message, passed) in FAULTS.items():
            with self.subTest(fault):
                ran, left = self.run_script(fault=fault)
                self.assertEqual(ran.returncode, 1, ran.stdout + ran.stderr)
                failed = [line for line in ran.stdout.splitlines() if line.startswith("FAIL")]
                self.assertEqual(len(failed), 1, ran.stdout)
                self.assertIn(message, failed[0])
                self.assertIn(f"{passed} passed, 1 failed", ran.stdout)
                self.assertIn("-- state", ran.stdout)
                self.assertEqual(left["namespaces"], [], "everything is removed after a failure, too")

    def test_keeps_everything_if_asked_to(self) -> None:
        ran, left = self.run_script("--keep", fault="helm test fails")
        self.assertEqual(ran.returncode, 1)
        self.assertEqual(left["namespaces"], ["scriptorium-acceptance-services", "scriptorium-acceptance"])
        self.assertIn("Kept:", ran.stdout)

    def test_without_a_cluster_fails_unless_it_may_skip(self) -> None:
        ran, _ = self.run_script(fault="no cluster")
        self.assertEqual((ran.returncode, ran.stdout), (2, ""))
        ran, _ = self.run_script("--skip-without-cluster", fault="no cluster")
        self.assertEqual(ran.returncode, 0)
        self.assertIn("!! SKIPPED: the acceptance test needs a cluster", ran.stderr)

    def test_does_not_begin_where_it_would_delete_something(self) -> None:
        ran, left = self.run_script(fault="namespace exists")
        self.assertEqual(ran.returncode, 2)
        self.assertIn("would be deleted", ran.stderr)
        self.assertFalse([call for call in left["calls"] if "delete" in call or "create" in call])

    def test_installs_keda_only_if_asked_to(self) -> None:
        ran, _ = self.run_script(fault="no KEDA")
        self.assertEqual(ran.returncode, 2)
        self.assertIn("--install-keda", ran.stderr)
        ran, _ = self.run_script("--install-keda", "--context", "kind", fault="no KEDA")
        self.assertEqual(ran.returncode, 0, ran.stdout + ran.stderr)
        self.assertEqual(ran.stdout.count("PASS"), 12, ran.stdout)


if __name__ == "__main__":
    unittest.main()
