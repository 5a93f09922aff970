"""Tests of scripts/bench_table.py."""

import sys
import tempfile
import unittest
import wave
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from bench_table import join, table

REPORT = {
    "version": "1.2.0",
    "machine": {
        "cpu": "Neoverse-N2",
        "architecture": "aarch64",
        "instruction_sets": "i8mm, bf16",
        "cores": 4,
        "peak": {"int8": {"instruction": "usmmla 128", "products_per_second": 2.5e11}},
    },
    "model": {"name": "whisper-tiny.en", "precision": "int8"},
    "segments": [
        {
            "seconds": 5.0,
            "threads": 1,
            "cpu_ms": 250.4,
            "real_time_factor": 0.05,
            "audio_seconds_per_core_second": 19.97,
            "peak_bytes": None,
        }
    ],
    "pipeline": [
        {
            "seconds": 24.73,
            "threads": 4,
            "wall_ms": 1260.0,
            "real_time_factor": 0.025,
            "audio_seconds_per_core_second": 41.5,
            "peak_bytes": 140_000_000,
        }
    ],
}


class Table(unittest.TestCase):
    def test_has_a_row_for_each_measurement(self) -> None:
        text = table([REPORT, REPORT])
        self.assertIn("### Neoverse-N2, 4 cores (aarch64)", text)
        self.assertIn("i8mm, bf16", text)
        self.assertIn("int8 250 (usmmla 128)", text)
        segment = "| whisper-tiny.en | int8 | segment of 5 s | 1 | 250 ms | 20.0 | 20.0 | unknown |"
        whole = "| whisper-tiny.en | int8 | recording of 24.73 s to transcript | 4 | 1.26 s | 41.5 | 40.0 | 140 MB |"
        self.assertEqual(text.count(segment), 2)
        self.assertEqual(text.count(whole), 2)

    def test_a_report_without_a_pipeline_has_no_row_of_it(self) -> None:
        self.assertNotIn("recording", table([REPORT | {"pipeline": []}]).split("Time of one")[0])


class Join(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)

    def recording(self, name: str, frames: int, rate: int = 16000) -> str:
        path = str(self.root / name)
        with wave.open(path, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(rate)
            file.writeframes(b"\1\2" * frames)
        return path

    def test_joins_recordings_of_one_format(self) -> None:
        out = str(self.root / "out.wav")
        join(out, [self.recording("a.wav", 100), self.recording("b.wav", 23)])
        with wave.open(out, "rb") as file:
            self.assertEqual((file.getnframes(), file.getframerate()), (123, 16000))

    def test_refuses_another_format(self) -> None:
        with self.assertRaisesRegex(SystemExit, "another format"):
            join(str(self.root / "out.wav"), [self.recording("a.wav", 1), self.recording("b.wav", 1, rate=8000)])
