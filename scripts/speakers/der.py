#!/usr/bin/env python3
"""Diarization error rate: for which share of the speech it is wrong who speaks. Exact, with only the standard library.

    python3 scripts/speakers/der.py REFERENCES HYPOTHESES [--uem FILE_OR_SECONDS] [--collar SECONDS] [--only NAME,...]

REFERENCES: a file or a folder of RTTM. HYPOTHESES: a folder with NAME.json, NAME.EXTENSION.json (transcripts of
Scriptorium) or NAME.rttm for each NAME in the second column of the RTTM; accents are ignored. Of a transcript, `turns` count;
if it has none, the words of its segments with their speakers.

Every speaker of every moment is owed: who is not found in overlapped speech is missed. The rate is missed speech, false
alarms and confusion (speech that goes to another speaker) by the seconds of speech of the reference. Speakers are matched
one to one, so that the most seconds are right. This is what pyannote.metrics computes, too (`DiarizationErrorRate`);
`--collar` is the whole width around each edge that is not scored, as there.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence

# Names -> spans in order that do not touch.
Spans = dict[str, list[tuple[float, float]]]


@dataclasses.dataclass(frozen=True)
class Span:
    """A span in which somebody speaks, in seconds."""

    start: float
    end: float
    speaker: str | None


@dataclasses.dataclass(frozen=True)
class Score:
    """Seconds of speech, and numbers of speakers. In the sum over recordings, numbers and differences are sums, too."""

    total: float = 0.0
    missed: float = 0.0
    false_alarm: float = 0.0
    confusion: float = 0.0
    reference_speakers: int = 0
    speakers: int = 0
    # By how many speakers the number is wrong.
    off: int = 0

    def __add__(self, other: Score) -> Score:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other))
        return Score(*(a + b for a, b in pairs))

    def percent(self, seconds: float) -> float:
        return 100 * seconds / max(self.total, 1e-9)

    @property
    def rate(self) -> float:
        """The error rate in percent, which may be above 100."""
        return self.percent(self.missed + self.false_alarm + self.confusion)


# --- Reading ----------------------------------------------------------------------------------------------------------


def plain(name: str) -> str:
    """Removes accents: file systems and archives write these in several ways."""
    return "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))


def read_references(path: pathlib.Path) -> dict[str, list[Span]]:
    """Reads who speaks when in each recording, from a file or a folder of RTTM."""
    references = defaultdict(list)
    for file in sorted(path.glob("*.rttm")) if path.is_dir() else [path]:
        for line in file.read_text("utf-8").splitlines():
            fields = line.split()
            if len(fields) >= 8 and fields[0] == "SPEAKER":
                start, duration = float(fields[3]), float(fields[4])
                references[fields[1]].append(Span(start, start + duration, fields[7]))
    return dict(references)


def read_hypothesis(path: pathlib.Path) -> list[Span]:
    """Reads who speaks when by a transcript or an RTTM of one recording."""
    if path.suffix == ".rttm":
        return [span for spans in read_references(path).values() for span in spans]
    transcript = json.loads(path.read_text("utf-8"))
    if "turns" in transcript:
        return [Span(turn["start"], turn["end"], str(turn["speaker"])) for turn in transcript["turns"]]
    spans = []
    for segment in transcript["segments"]:
        for word in segment.get("words") or [segment]:
            speaker = word.get("speaker", segment.get("speaker"))
            if speaker is not None:
                spans.append(Span(word["start"], word["end"], str(speaker)))
    return spans


def read_uem(path: pathlib.Path) -> dict[str, list[Span]]:
    """Reads which parts of each recording are scored: lines of name, channel, start and end."""
    parts = defaultdict(list)
    for line in path.read_text("utf-8").splitlines():
        fields = line.split()
        if len(fields) >= 4:
            parts[fields[0]].append(Span(float(fields[2]), float(fields[3]), None))
    return dict(parts)


def find(folder: pathlib.Path, name: str, suffixes: Sequence[str] = (".json", ".rttm")) -> pathlib.Path | None:
    """Finds the file of a recording: NAME.json before NAME.EXTENSION.json, and these before RTTM."""
    files = [(plain(file.name), file) for file in sorted(folder.iterdir())]
    for suffix in suffixes:
        stems = [(found.removesuffix(suffix), file) for found, file in files if found.endswith(suffix)]
        for depth in range(2):
            for stem, file in stems:
                if stem.rsplit(".", depth)[0] == plain(name):
                    return file
    return None


# --- Scoring ----------------------------------------------------------------------------------------------------------


def assign(gain: Sequence[Sequence[float]]) -> dict[int, int]:
    """Returns the column of each row in the assignment one to one with the largest total gain (Hungarian method)."""
    rows, columns = len(gain), len(gain[0]) if gain else 0
    size = max(rows, columns)
    cost = [[-gain[i][j] if i < rows and j < columns else 0.0 for j in range(size)] for i in range(size)]
    # Index 0 of each list stands for no row or no column.
    of_row, of_column = [0.0] * (size + 1), [0.0] * (size + 1)
    row_of, before = [0] * (size + 1), [0] * (size + 1)
    for row in range(1, size + 1):
        row_of[0], column = row, 0
        least, used = [float("inf")] * (size + 1), [False] * (size + 1)
        while True:
            used[column] = True
            current, delta, following = row_of[column], float("inf"), 0
            for j in range(1, size + 1):
                if used[j]:
                    continue
                reduced = cost[current - 1][j - 1] - of_row[current] - of_column[j]
                if reduced < least[j]:
                    least[j], before[j] = reduced, column
                if least[j] < delta:
                    delta, following = least[j], j
            for j in range(size + 1):
                if used[j]:
                    of_row[row_of[j]] += delta
                    of_column[j] -= delta
                else:
                    least[j] -= delta
            column = following
            if row_of[column] == 0:
                break
        while column:
            row_of[column] = row_of[before[column]]
            column = before[column]
    pairs = ((row_of[j] - 1, j - 1) for j in range(1, size + 1))
    return {row: column for row, column in pairs if row < rows and column < columns}


def joined(spans: Sequence[Span]) -> Spans:
    """Joins spans of one name that touch or overlap."""
    by_name: Spans = {}
    for span in sorted(spans, key=lambda span: span.start):
        if span.end <= span.start:
            continue
        known = by_name.setdefault(str(span.speaker), [])
        if known and span.start <= known[-1][1]:
            known[-1] = (known[-1][0], max(known[-1][1], span.end))
        else:
            known.append((span.start, span.end))
    return by_name


def pieces(*groups: Spans) -> Iterator[tuple[float, list[set[str]]]]:
    """Cuts time at every edge. Yields the seconds of each piece, and whose spans of each group contain it."""
    edges = []
    for number, group in enumerate(groups):
        for name, spans in group.items():
            for start, end in spans:
                edges += [(start, number, name, True), (end, number, name, False)]
    active: list[set[str]] = [set() for _ in groups]
    before = 0.0
    for time, number, name, begins in sorted(edges):
        if time > before:
            yield time - before, active
        before = time
        if begins:
            active[number].add(name)
        else:
            active[number].remove(name)


def score(
    reference: Sequence[Span], hypothesis: Sequence[Span], uem: Sequence[Span], collar: float = 0.0
) -> Score:
    """Scores the parts of a recording that `uem` names, without `collar` seconds around each edge of the reference."""
    truth, found = joined(reference), joined(hypothesis)
    edges = [time for spans in truth.values() for span in spans for time in span] if collar else []
    ignored = joined([Span(time - collar / 2, time + collar / 2, "collar") for time in edges])
    scored = [
        (seconds, set(owed), set(given))
        for seconds, (owed, given, part, near_edge) in pieces(truth, found, joined(uem), ignored)
        if part and not near_edge and (owed or given)
    ]
    theirs = sorted({name for _, owed, _ in scored for name in owed})
    ours = sorted({name for _, _, given in scored for name in given})
    together: dict[tuple[str, str], float] = defaultdict(float)
    for seconds, owed, given in scored:
        for pair in ((a, b) for a in owed for b in given):
            together[pair] += seconds
    gain = [[together[a, b] for b in ours] for a in theirs]
    matched = {theirs[i]: ours[j] for i, j in assign(gain).items()} if theirs and ours else {}
    result = Score(
        reference_speakers=len(theirs), speakers=len(ours), off=abs(len(theirs) - len(ours))
    )
    for seconds, owed, given in scored:
        right = sum(matched.get(name) in given for name in owed)
        result += Score(
            total=seconds * len(owed),
            missed=seconds * max(0, len(owed) - len(given)),
            false_alarm=seconds * max(0, len(given) - len(owed)),
            confusion=seconds * (min(len(owed), len(given)) - right),
        )
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("references", type=pathlib.Path)
    parser.add_argument("hypotheses", type=pathlib.Path)
    parser.add_argument("--uem", default="30", help="file, or seconds from the start of each recording")
    parser.add_argument("--collar", type=float, default=0.0, help="seconds; half of them on each side of an edge")
    parser.add_argument("--only", help="names of recordings, separated by commas")
    arguments = parser.parse_args()
    parts = read_uem(pathlib.Path(arguments.uem)) if pathlib.Path(arguments.uem).is_file() else None
    whole = [Span(0.0, float(arguments.uem), None)] if parts is None else []
    only = {plain(name) for name in arguments.only.split(",")} if arguments.only else None
    sum_, recordings, missing = Score(), 0, False
    for name, reference in sorted(read_references(arguments.references).items()):
        if only is not None and plain(name) not in only:
            continue
        file = find(arguments.hypotheses, name)
        if file is None:
            print(f"{name}: there is no transcript", file=sys.stderr)
            missing = True
            continue
        uem = whole if parts is None else parts.get(name, [])
        found = score(reference, read_hypothesis(file), uem, arguments.collar)
        sum_, recordings = sum_ + found, recordings + 1
        print(
            f"{name:8} DER {found.rate:6.1f} %  missed {found.missed:6.2f}  false alarm {found.false_alarm:6.2f}  confusion "
            f"{found.confusion:6.2f}  of {found.total:6.2f} s  speakers {found.reference_speakers} -> {found.speakers}"
        )
    print(
        f"{'all':8} DER {sum_.rate:6.1f} %  missed {sum_.percent(sum_.missed):.1f}  false alarm "
        f"{sum_.percent(sum_.false_alarm):.1f}  confusion {sum_.percent(sum_.confusion):.1f} %  of {sum_.total:.1f} s  "
        f"speakers off by {sum_.off / max(recordings, 1):.2f} on average"
    )
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
