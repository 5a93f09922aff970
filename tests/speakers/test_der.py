"""scripts/speakers/der.py computes the diarization error rate as by hand, and as a sum over small steps of time."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import random
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "speakers"))

import der  # noqa: E402
from der import Span  # noqa: E402

WHOLE = [Span(0.0, 100.0, None)]


def spans(*given: tuple[float, float, str]) -> list[Span]:
    return [Span(*span) for span in given]


class ByHand(unittest.TestCase):
    def assert_score(self, score: der.Score, **expected: float) -> None:
        for field in ("total", "missed", "false_alarm", "confusion"):
            self.assertAlmostEqual(getattr(score, field), expected.pop(field, 0.0), msg=field)
        for field, value in expected.items():
            self.assertEqual(getattr(score, field), value, field)

    def test_right_whatever_the_names(self) -> None:
        reference = spans((0, 5, "Anna"), (5, 9, "Ben"))
        score = der.score(reference, spans((0, 5, "1"), (5, 9, "0")), WHOLE)
        self.assert_score(score, total=9, reference_speakers=2, speakers=2, off=0)
        self.assertEqual(score.rate, 0)

    def test_missed_and_false_alarm(self) -> None:
        score = der.score(spans((1, 5, "Anna")), spans((2, 7, "0")), WHOLE)
        self.assert_score(score, total=4, missed=1, false_alarm=2)
        self.assertAlmostEqual(score.rate, 75)

    def test_confusion(self) -> None:
        # "0" is Anna, who has more of it; Ben's 3 s go to Anna.
        score = der.score(spans((0, 6, "Anna"), (6, 9, "Ben")), spans((0, 9, "0")), WHOLE)
        self.assert_score(score, total=9, confusion=3, reference_speakers=2, speakers=1, off=1)

    def test_the_match_maximizes_the_sum(self) -> None:
        # Taken one by one, Anna would get "0" (5 s) and Ben "1" (0 s). Together, 4 and 4 s are right.
        reference = spans((0, 9, "Anna"), (10, 14, "Ben"))
        hypothesis = spans((0, 5, "0"), (5, 9, "1"), (10, 14, "0"))
        self.assert_score(der.score(reference, hypothesis, WHOLE), total=13, confusion=5)

    def test_overlap_is_owed_twice(self) -> None:
        reference = spans((0, 6, "Anna"), (4, 8, "Ben"))
        one = der.score(reference, spans((0, 6, "0"), (6, 8, "1")), WHOLE)
        self.assert_score(one, total=10, missed=2)
        both = der.score(reference, spans((0, 6, "0"), (4, 8, "1")), WHOLE)
        self.assert_score(both, total=10)
        # Two are found where one speaks, one of them rightly.
        too_many = der.score(spans((0, 6, "Anna")), spans((0, 6, "0"), (0, 6, "1")), WHOLE)
        self.assert_score(too_many, total=6, false_alarm=6, off=1)
        # One is found where two speak, and it is neither of them.
        third = der.score(
            spans((0, 2, "Anna"), (0, 2, "Ben"), (2, 9, "Cleo")), spans((0, 9, "0")), WHOLE
        )
        self.assert_score(third, total=11, missed=2, confusion=2, off=2)

    def test_a_person_is_not_two_at_once(self) -> None:
        reference = spans((0, 5, "Anna"), (3, 8, "Anna"), (8, 9, "Anna"))
        self.assert_score(der.score(reference, spans((0, 9, "0"), (1, 2, "0")), WHOLE), total=9)

    def test_only_what_is_in_the_uem_counts(self) -> None:
        reference, hypothesis = spans((0, 5, "Anna")), spans((4, 20, "0"))
        uem = [Span(2, 4, None), Span(4, 6, None)]
        self.assert_score(der.score(reference, hypothesis, uem), total=3, missed=2, false_alarm=1)
        self.assert_score(der.score(reference, hypothesis, []), off=0)

    def test_collar(self) -> None:
        reference = spans((1, 5, "Anna"), (7, 9, "Ben"))
        hypothesis = spans((1.2, 5.3, "0"), (6.6, 9, "1"))
        # Of 0.2 s missed and 0.7 s of false alarms, 0.25 s around each edge are ignored.
        score = der.score(reference, hypothesis, WHOLE, collar=0.5)
        self.assert_score(score, total=6 - 4 * 0.25, missed=0, false_alarm=0.05 + 0.15)
        # Turns shorter than the collar vanish, and with them their speaker.
        short = der.score(spans((1, 5, "Anna"), (7, 7.4, "Ben")), spans((1, 5, "0")), WHOLE, collar=1)
        self.assert_score(short, total=3, reference_speakers=1, off=0)

    def test_nothing(self) -> None:
        self.assert_score(der.score([], [], WHOLE), off=0)
        self.assertEqual(der.score([], [], WHOLE).rate, 0)
        self.assert_score(der.score([], spans((1, 2, "0")), WHOLE), false_alarm=1, off=1)
        self.assert_score(der.score(spans((1, 2, "Anna"), (4, 3, "Ben")), [], WHOLE), total=1, missed=1)


class BySmallSteps(unittest.TestCase):
    """The same figures from the definition: every step of time on its own, every match of speakers tried."""

    STEP = 0.5

    def by_steps(self, reference: list[Span], hypothesis: list[Span]) -> tuple[float, float, float, float]:
        def at(spans: list[Span], time: float) -> set[str | None]:
            return {span.speaker for span in spans if span.start <= time < span.end}

        steps = [self.STEP * (i + 0.5) for i in range(60)]
        moments = [(at(reference, time), at(hypothesis, time)) for time in steps]
        theirs = sorted({span.speaker for span in reference} - {None})
        ours = sorted({span.speaker for span in hypothesis} - {None})
        ours += [f"nobody {i}" for i in theirs]
        right = max(
            sum(dict(zip(theirs, names))[name] in given for owed, given in moments for name in owed)
            for names in itertools.permutations(ours, len(theirs))
        )
        total = sum(len(owed) for owed, _ in moments)
        missed = sum(max(0, len(owed) - len(given)) for owed, given in moments)
        false_alarm = sum(max(0, len(given) - len(owed)) for owed, given in moments)
        both = sum(min(len(owed), len(given)) for owed, given in moments)
        return tuple(self.STEP * count for count in (total, missed, false_alarm, both - right))  # type: ignore

    def test_random_turns(self) -> None:
        rng = random.Random(5)

        def turns(names: str) -> list[Span]:
            edges = [(self.STEP * rng.randrange(50), self.STEP * rng.randrange(1, 12)) for _ in range(9)]
            return [Span(start, start + length, rng.choice(names)) for start, length in edges]

        for _ in range(60):
            reference, hypothesis = turns("abc"), turns("xyz")
            score = der.score(reference, hypothesis, [Span(0.0, 30.0, None)])
            found = (score.total, score.missed, score.false_alarm, score.confusion)
            for ours, theirs in zip(found, self.by_steps(reference, hypothesis)):
                self.assertAlmostEqual(ours, theirs)


class Assignment(unittest.TestCase):
    def test_best_of_all(self) -> None:
        rng = random.Random(3)
        for rows, columns in itertools.product(range(1, 5), range(1, 6)):
            gain = [[rng.randrange(9) for _ in range(columns)] for _ in range(rows)]
            found = der.assign(gain)
            self.assertEqual(len(set(found.values())), len(found))
            self.assertEqual(len(found), min(rows, columns))
            padded = [row + [0] * rows for row in gain]
            best = max(
                sum(padded[i][j] for i, j in enumerate(chosen))
                for chosen in itertools.permutations(range(columns + rows), rows)
            )
            self.assertEqual(sum(gain[i][j] for i, j in found.items()), best)
        self.assertEqual(der.assign([]), {})


class Files(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name: str, content: str | dict) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
        return path

    def test_turns_count_before_words(self) -> None:
        words = [{"start": 1, "end": 2}, {"start": 2, "end": 3, "speaker": 1}]
        segments = [
            {"start": 1, "end": 3, "speaker": 0, "words": words},
            {"start": 4, "end": 5, "speaker": 0},
            {"start": 5, "end": 6},
        ]
        path = self.write("a.json", {"segments": segments})
        self.assertEqual(der.read_hypothesis(path), spans((1, 2, "0"), (2, 3, "1"), (4, 5, "0")))
        turns = [{"start": 1.5, "end": 4, "speaker": 1}]
        path = self.write("a.json", {"segments": segments, "turns": turns})
        self.assertEqual(der.read_hypothesis(path), spans((1.5, 4, "1")))

    def test_transcripts_are_found_before_rttm(self) -> None:
        for name in ("a.rttm", "a.wav.rttm", "a.b.wav.json"):
            self.write(name, "")
        self.assertIsNone(der.find(self.folder, "a", [".json"]))
        self.assertEqual(der.find(self.folder, "a"), self.folder / "a.rttm")
        self.assertEqual(der.find(self.folder, "a.b"), self.folder / "a.b.wav.json")
        wav = self.write("a.wav.json", "")
        self.assertEqual(der.find(self.folder, "a"), wav)
        plain = self.write("a.json", "")
        self.assertEqual(der.find(self.folder, "a"), plain)
        self.assertIsNone(der.find(self.folder, "b"))

    def run_main(self, *arguments: str) -> tuple[int, str]:
        refs, found = str(self.folder / "refs"), str(self.folder / "found")
        out, errors = io.StringIO(), io.StringIO()
        with mock.patch.object(sys, "argv", ["der.py", refs, found, *arguments]):
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
                return der.main(), out.getvalue() + errors.getvalue()

    def test_command(self) -> None:
        line = "SPEAKER {} 1 {} {} <NA> <NA> {} <NA> <NA>\n"
        # "n" and a combining tilde, and the letter with a tilde, are one name.
        reference = line.format("trn\u030300", 0, 4, "Anna") + line.format("b", 1, 1, "Ben")
        self.write("refs/all.rttm", reference)
        turns = [{"start": 1, "end": 40, "speaker": 0}]
        self.write("found/tr\u00f100.wav.json", {"turns": turns, "segments": []})
        status, output = self.run_main("--only", "trn00")
        self.assertEqual(status, 0, output)
        # 1 s is missed and 26 s up to 30 s are false, of 4 s.
        self.assertIn("DER  675.0 %", output)
        status, output = self.run_main()
        self.assertEqual(status, 1)
        self.assertIn("b: there is no transcript", output)
        self.write("found/b.rttm", line.format("b", 1, 0.5, 0))
        uem = self.write("parts.uem", "trn\u030300 NA 0 5\nb NA 0 5\n")
        status, output = self.run_main("--uem", str(uem))
        self.assertEqual(status, 0, output)
        # (1 missed + 1 false) and 0.5 missed, of 4 + 1 s.
        self.assertIn("all      DER   50.0 %", output)


if __name__ == "__main__":
    unittest.main()
