"""scripts/check_subtitles.py finds each fault, where it was put, and no other."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import check_subtitles  # noqa: E402
from check_subtitles import Cue  # noqa: E402

# Good cues with gaps of two frames, and a pause of 1.2 s after the fourth.
GOOD = [
    Cue(1.0, 4.917, ("And Mr. John Dashwood had then leisure", "to consider how much there was,")),
    Cue(5.0, 6.917, ("prudently, in his power.",)),
    Cue(7.0, 9.917, ("He was not an ill-disposed", "or cold-hearted young man.")),
    Cue(10.0, 12.0, ("He might even have been amiable.",)),
    Cue(13.2, 14.917, ("“Really?” he asked.",)),
    Cue(15.0, 16.0, ("Yes.",)),
]


def faults(cues: list[Cue], words=()) -> dict[str, list[int]]:
    """Returns the faults that there are."""
    found = check_subtitles.check(cues, words)["faults"]
    return {name: numbers for name, numbers in found.items() if numbers}


def with_cue(number: int, **changes) -> list[Cue]:
    cues = list(GOOD)
    old = cues[number - 1]
    values = {"start": old.start, "end": old.end, "lines": old.lines, "speaker": old.speaker}
    cues[number - 1] = Cue(**(values | changes))
    return cues


class Rules(unittest.TestCase):
    def test_good_subtitles_have_no_fault(self) -> None:
        self.assertEqual(faults(GOOD), {"faster than 17 per s": [1, 3]})
        self.assertEqual(faults([]), {})

    def assert_fault(self, name: str, number: int, cues: list[Cue]) -> None:
        """Expects one fault in these cues, and otherwise those of the good ones."""
        found = faults(cues)
        self.assertEqual(found.pop(name, []), [number], found)
        self.assertEqual(found, faults(GOOD))

    def test_reading_speed(self) -> None:
        lines = ("It was said so fast that nobody", "had the time to read it at all.")
        found = faults(with_cue(4, lines=lines))
        self.assertEqual(found, {"faster than 20 per s": [4], "faster than 17 per s": [1, 3, 4]})
        # Full-width characters count twice.
        found = faults(with_cue(4, lines=("今天天气很好，我们一起去公园散步，快走吧。",)))
        self.assertEqual(found, {"faster than 20 per s": [4], "faster than 17 per s": [1, 3, 4]})

    def test_lines(self) -> None:
        self.assert_fault("long lines", 4, with_cue(4, end=13.1, lines=("a" * 42 + ".",)))
        self.assertEqual(faults(with_cue(4, end=13.1, lines=("a" * 41 + ".",))), faults(GOOD))
        self.assert_fault("too many lines", 4, with_cue(4, lines=("He might", "even have been", "amiable.")))

    def test_durations(self) -> None:
        self.assert_fault("shorter than 0.83 s", 6, with_cue(6, end=15.83))
        self.assertEqual(faults(with_cue(6, end=15.834)), faults(GOOD))
        self.assert_fault("longer than 7 s", 6, with_cue(6, end=22.002))

    def test_gaps(self) -> None:
        self.assert_fault("no gap", 3, with_cue(3, end=10.0))
        self.assert_fault("gap below 83 ms", 3, with_cue(3, end=9.96))
        self.assert_fault("overlaps", 3, with_cue(3, end=10.01))
        # On another channel, another person may speak at the same time.
        found = faults(with_cue(4, start=8.0, end=10.0, speaker="Channel 2"))
        self.assertEqual(found, faults(GOOD))

    def test_words_that_stand_alone(self) -> None:
        cut = [*with_cue(5, lines=("He asked whether it was",))[:5], Cue(15.0, 16.0, ("only.",))]
        self.assertEqual(faults(cut).get("one word"), [6])
        self.assert_fault("two words", 2, with_cue(2, lines=("his power.",)))
        # A whole sentence of one word is none, and neither is a sentence after another speaker's.
        answer = [Cue(10.0, 12.0, ("Did he say",), "A"), Cue(12.1, 13.1, ("No.",), "B")]
        self.assertEqual(faults(answer), {})

    def test_ends_within_a_clause(self) -> None:
        # The clause would have fitted.
        cues = [Cue(0.0, 2.0, ("He was not an ill-disposed",)), Cue(2.1, 4.0, ("young man, as they say.",))]
        self.assertEqual(faults(cues), {"ends within a clause": [1]})
        # The clause before it should have been the end.
        cues = [
            Cue(0.0, 5.0, ("When he had married a more amiable", "woman, he might have been")),
            Cue(5.1, 8.5, ("made still more respectable than he", "ever was")),
            Cue(8.6, 9.6, ("before.",)),
        ]
        self.assertEqual(faults(cues), {"ends within a clause": [1, 2], "one word": [3]})
        # A clause that is longer than two lines must be cut somewhere.
        cues = [
            Cue(0.0, 5.0, ("And Mr. John Dashwood had then leisure to", "consider how much there might be prudently")),
            Cue(5.1, 7.0, ("in his power to do for them.",)),
        ]
        self.assertEqual(faults(cues), {})

    def test_compounds(self) -> None:
        self.assert_fault(
            "broken compounds", 3, with_cue(3, lines=("He was not an ill-disposed or cold-", "hearted young man."))
        )
        cues = [Cue(0.0, 2.0, ("He was one of the cold-",)), Cue(2.1, 4.0, ("hearted ones of them all.",))]
        self.assertEqual(faults(cues).get("broken compounds"), [1])
        # A dash is none, and neither is a word that breaks off.
        self.assertEqual(faults(with_cue(5, lines=("“Real-", "“Really?” he asked."))), faults(GOOD))
        self.assertEqual(faults(with_cue(5, lines=("“Really?” -", "he asked."))), faults(GOOD))

    def test_pauses(self) -> None:
        words = [(1.0, 4.9, "And"), (5.0, 6.9, "prudently"), (7.0, 9.9, "He"), (10.0, 12.0, "amiable.")]
        words += [(13.2, 14.9, "Really"), (15.0, 15.5, "Yes.")]
        result = check_subtitles.check(GOOD, words)
        self.assertEqual(result["figures"]["pauses"], 1)
        self.assertEqual(result["faults"]["pauses not shown"], [])
        self.assertEqual(faults(with_cue(4, end=13.19), words)["pauses not shown"], [4])
        # A pause of less than half a second is closed.
        close = [*words[:3], (10.0, 12.8, "amiable."), *words[4:]]
        self.assertNotIn("pauses not shown", faults(with_cue(4, end=13.19), close))


class Files(unittest.TestCase):
    def test_both_formats_are_read(self) -> None:
        srt = "\ufeff1\r\n00:00:01,000 --> 00:00:02,500\r\nChannel 2: Hi <there>,\r\nyou.\r\n\r\n2\r\n01:00:00,000 --> 01:00:01,000\r\nSo\r\n"
        vtt = "WEBVTT\n\nNOTE a note\n\n00:01.000 --> 00:02.500 align:left\n<v Anna>a &lt; b</v>\n"
        cues = check_subtitles.read_cues(srt)
        self.assertEqual(cues[0], Cue(1.0, 2.5, ("Hi ,", "you."), "Channel 2"))
        self.assertEqual((cues[1].start, cues[1].text), (3600.0, "So"))
        self.assertEqual(check_subtitles.read_cues(vtt), [Cue(1.0, 2.5, ("a < b",), "Anna")])

    def run_main(self, *arguments: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with mock.patch.object(sys, "argv", ["check_subtitles.py", *arguments]):
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = check_subtitles.main()
        return code, out.getvalue(), err.getvalue()

    def test_the_table_and_json(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            srt, words = Path(name, "a.srt"), Path(name, "a.json")
            srt.write_text("1\n00:00:00,000 --> 00:00:02,000\nOne of the cold-\nhearted.\n")
            words.write_text(json.dumps({"segments": [{"words": [{"start": 0, "end": 1, "word": " One"}]}]}))
            code, out, _ = self.run_main(str(srt), "--words", str(words))
            self.assertEqual(code, 0)
            self.assertIn("| broken compounds | 1 |", out)
            self.assertIn("| pauses | 0 |", out)
            code, out, _ = self.run_main("--json", str(srt))
            self.assertEqual(json.loads(out)[str(srt)]["faults"]["broken compounds"], [1])
            srt.write_text("1\n00:00:00,000 --> then\nOne\n")
            code, _, err = self.run_main(str(srt))
            self.assertEqual((code, "not the times of a cue" in err), (2, True))


if __name__ == "__main__":
    unittest.main()
