"""scripts/speakers/wder.py counts the words that go to the wrong speaker, and no others."""

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

import wder  # noqa: E402
from wder import Span  # noqa: E402

# Two people who overlap from 4.0 to 5.0.
REFERENCE = [Span(0.0, 2.0, "anna"), Span(2.0, 5.0, "ben"), Span(4.0, 6.0, "anna")]


def words(*speakers: str | None) -> list[Span]:
    """Words of 0.4 s that begin every half second."""
    return [Span(n / 2, n / 2 + 0.4, speaker) for n, speaker in enumerate(speakers)]


class Scores(unittest.TestCase):
    def test_the_names_of_speakers_do_not_matter(self) -> None:
        found = wder.score(REFERENCE, words(*"1111", *"000000", *"11"))
        self.assertEqual((found.right, found.wrong, found.rate), (12, 0, 0.0))

    def test_each_of_two_who_overlap_is_right(self) -> None:
        for both in itertools.product("01", repeat=2):
            found = wder.score(REFERENCE, words(*"0000", *"1111", *both, *"00"))
            self.assertEqual(found.wrong, 0, both)

    def test_wrong_words_and_words_without_a_speaker_count(self) -> None:
        found = wder.score(REFERENCE, words("0", "1", "0", None, *"1111", *"11", *"00"))
        self.assertEqual((found.right, found.wrong, found.unattributed), (10, 2, 1))
        self.assertAlmostEqual(found.rate, 100 * 2 / 12)

    def test_a_speaker_is_matched_with_one_person(self) -> None:
        found = wder.score(REFERENCE, words(*"0000000000000"[:12]))
        self.assertEqual((found.right, found.wrong, found.speakers), (8, 4, 1))
        found = wder.score(REFERENCE, words(*"0011", *"222222", *"00"))
        self.assertEqual((found.right, found.wrong, found.speakers), (10, 2, 3))

    def test_words_where_nobody_speaks_are_counted_apart(self) -> None:
        found = wder.score(REFERENCE, [*words("0", "0"), Span(6.0, 7.0, "0"), Span(90.0, 91.0, None)])
        self.assertEqual((found.right, found.wrong, found.outside), (2, 0, 2))
        self.assertEqual(wder.score([], words("0")).outside, 1)
        self.assertEqual(wder.score(REFERENCE, []).rate, 0.0)

    def test_a_word_at_a_border_is_of_whoever_speaks_longer(self) -> None:
        for start, right in [(1.5, "anna"), (1.9, "ben")]:
            found = wder.who_speaks(REFERENCE, [Span(start, start + 0.6, "0")])
            self.assertEqual(found, [{right}], start)

    def test_words_without_duration_are_heard(self) -> None:
        self.assertEqual(wder.who_speaks(REFERENCE, [Span(3.0, 3.0, "0")]), [{"ben"}])


class Assignments(unittest.TestCase):
    def test_the_gain_is_the_largest_of_all(self) -> None:
        numbers = random.Random(1)
        for _ in range(200):
            rows, columns = numbers.randint(1, 5), numbers.randint(1, 5)
            gain = [[float(numbers.randint(0, 9)) for _ in range(columns)] for _ in range(rows)]
            pairs = wder.assign(gain)
            self.assertEqual(len(set(pairs.values())), min(rows, columns))
            small, large = sorted((rows, columns))
            of = (lambda a, b: gain[a][b]) if rows <= columns else (lambda a, b: gain[b][a])
            best = max(sum(of(a, b) for a, b in enumerate(p)) for p in itertools.permutations(range(large), small))
            self.assertEqual(sum(gain[row][column] for row, column in pairs.items()), best, gain)


class Command(unittest.TestCase):
    def run_with(self, segments: list[dict]) -> tuple[int, str]:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            # The name with its tilde as one character and as two.
            (folder / "a.rttm").write_text("SPEAKER tr\u00f1 1 0.0 2.0 <NA> <NA> anna <NA> <NA>\n", "utf-8")
            if segments:
                (folder / "trn\u0303.wav.json").write_text(json.dumps({"segments": segments}), "utf-8")
            output = io.StringIO()
            arguments = ["wder.py", str(folder / "a.rttm"), name]
            with mock.patch.object(sys, "argv", arguments), contextlib.redirect_stdout(output):
                with contextlib.redirect_stderr(output):
                    return wder.main(), output.getvalue()

    def test_transcripts_are_read(self) -> None:
        timed = [{"start": 0.0, "end": 0.5, "text": "a"}, {"start": 0.5, "end": 1.0, "text": "b", "speaker": 1}]
        segments = [
            {"start": 0.0, "end": 1.0, "text": "a b", "speaker": 0, "words": timed},
            {"start": 1.0, "end": 2.0, "text": "c", "speaker": 0},
            {"start": 1.0, "end": 2.0, "text": " ", "event": "laughter"},
        ]
        code, output = self.run_with(segments)
        self.assertEqual(code, 0)
        self.assertIn("33.3 %  1 of 3 words, 0 of them without a speaker; 0 where nobody speaks; speakers 1 -> 2", output)

    def test_a_transcript_that_is_missing_is_named(self) -> None:
        code, output = self.run_with([])
        self.assertEqual(code, 1)
        self.assertIn("there is no transcript", output)


if __name__ == "__main__":
    unittest.main()
