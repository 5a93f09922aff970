#!/usr/bin/env python3
"""Word diarization error rate: which share of the recognized words goes to the wrong speaker.

    python3 scripts/speakers/wder.py REFERENCES TRANSCRIPTS

REFERENCES: a file or a folder of RTTM, who speaks when. TRANSCRIPTS: a folder with NAME.json, NAME.EXTENSION.json or
both of them for each NAME in the second column of the RTTM (accents are ignored), in Scriptorium's JSON with the times of
words.

A word is right if its speaker is one who speaks during it: for at least half as long as whoever speaks most in that time,
so that in overlap each of two is right. Speakers are matched one to one, so that the most words are right. A word without a
speaker is wrong. Words during which nobody speaks by the reference say nothing of speakers and are counted apart. What the
words are does not matter: unlike in Shafey et al. 2019 (https://arxiv.org/abs/1907.05337), they are matched with the
reference by their times, which needs no reference text.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import sys
from collections import defaultdict

from der import Span, assign, find, read_references

# Of the time of whoever speaks most during a word.
SHARE = 0.5
# Seconds of words that have less.
SHORTEST_WORD = 0.02


@dataclasses.dataclass(frozen=True)
class Score:
    """Numbers of words and of speakers."""

    right: int
    wrong: int
    # Of the wrong ones.
    unattributed: int
    # Not among the right and wrong ones.
    outside: int
    reference_speakers: int
    speakers: int

    @property
    def rate(self) -> float:
        """The error rate in percent."""
        return 100 * self.wrong / max(self.right + self.wrong, 1)


def read_words(path: pathlib.Path) -> list[Span]:
    """Reads the words of a transcript; a segment without words is one."""
    transcript = json.loads(path.read_text("utf-8"))
    words = []
    for segment in transcript["segments"]:
        if not segment["text"].strip():
            continue
        for word in segment.get("words") or [segment]:
            speaker = word.get("speaker", segment.get("speaker"))
            words.append(Span(word["start"], word["end"], None if speaker is None else str(speaker)))
    return words


def who_speaks(reference: list[Span], words: list[Span]) -> list[set[str]]:
    """Returns who speaks during each word, by the reference."""
    reference = sorted(reference, key=lambda span: span.start)
    order = sorted(range(len(words)), key=lambda index: words[index].start)
    found: list[set[str]] = [set() for _ in words]
    begun, open_turns = 0, []
    for index in order:
        start = words[index].start
        end = max(words[index].end, start + SHORTEST_WORD)
        while begun < len(reference) and reference[begun].start < end:
            open_turns.append(reference[begun])
            begun += 1
        open_turns = [turn for turn in open_turns if turn.end > start]
        seconds: dict[str, float] = defaultdict(float)
        for turn in open_turns:
            seconds[turn.speaker] += max(0.0, min(turn.end, end) - max(turn.start, start))
        most = max(seconds.values(), default=0.0)
        found[index] = {who for who, spoken in seconds.items() if spoken > 0 and spoken >= SHARE * most}
    return found


def score(reference: list[Span], words: list[Span]) -> Score:
    speaking = who_speaks(reference, words)
    pairs = [(word.speaker, who) for word, who in zip(words, speaking) if who]
    theirs = sorted({span.speaker for span in reference})
    ours = sorted({speaker for speaker, _ in pairs if speaker is not None})
    gain = [[float(sum(o == speaker and t in who for speaker, who in pairs)) for o in ours] for t in theirs]
    matched = {ours[j]: theirs[i] for i, j in assign(gain).items()} if ours and theirs else {}
    right = sum(matched.get(speaker) in who for speaker, who in pairs)
    return Score(
        right=right,
        wrong=len(pairs) - right,
        unattributed=sum(speaker is None for speaker, _ in pairs),
        outside=len(words) - len(pairs),
        reference_speakers=len(theirs),
        speakers=len(ours),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("references", type=pathlib.Path)
    parser.add_argument("transcripts", type=pathlib.Path)
    arguments = parser.parse_args()
    right, wrong, missing = 0, 0, False
    for name, reference in sorted(read_references(arguments.references).items()):
        file = find(arguments.transcripts, name, [".json"])
        if file is None:
            print(f"{name}: there is no transcript", file=sys.stderr)
            missing = True
            continue
        found = score(reference, read_words(file))
        right, wrong = right + found.right, wrong + found.wrong
        print(
            f"{name:12} {found.rate:5.1f} %  {found.wrong} of {found.right + found.wrong} words, "
            f"{found.unattributed} of them without a speaker; {found.outside} where nobody speaks; "
            f"speakers {found.reference_speakers} -> {found.speakers}"
        )
    print(f"{'all':12} {100 * wrong / max(right + wrong, 1):5.1f} %  {wrong} of {right + wrong} words")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
