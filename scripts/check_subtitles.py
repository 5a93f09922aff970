#!/usr/bin/env python3
"""Checks subtitles (SubRip, WebVTT) by the usual rules, and counts what breaks them.

The limits are those of Netflix's Timed Text Style Guide and of its timing guidelines: 42 columns, two lines, 5/6 s to
7 s, 20 characters per second (17 until 2023), two frames between cues (83 ms at 24 frames per second). How
text is divided is judged by its punctuation: a sentence should not leave a word or two to a cue, and a cue should not
end in the middle of a clause where its end was within reach. With --words, the times of the words in a transcript
in JSON (ours, or Whisper's with word timestamps) tell where the speaker paused, and whether the subtitles show it.
"""

import argparse
import dataclasses
import json
import pathlib
import re
import sys
import unicodedata

MAX_COLUMNS = 42
MAX_LINES = 2
MIN_SECONDS = 5 / 6
MAX_SECONDS = 7.0
MIN_GAP = 0.083
# A pause that the timing guidelines do not close.
PAUSE = 0.5
# Times are in milliseconds: differences below half of one are none.
ROUNDING = 0.0005

TIME = re.compile(r"(?:(\d+):)?(\d{2}):(\d{2})[,.](\d{3})")
SENTENCE_END = re.compile(r"[.!?…。！？؟۔।][\"'”’»)\]」』]*$")
CLAUSE_END = re.compile(r"[.!?…。！？؟۔।,;:–—，、；：،؛][\"'”’»)\]」』]*$")
ABBREVIATION = re.compile(r"(?:^|\W)(?:Mr|Mrs|Ms|Dr|Prof|St|vs|[A-Z])\.$")


@dataclasses.dataclass(frozen=True)
class Cue:
    start: float
    end: float
    lines: tuple[str, ...]
    speaker: str = ""

    @property
    def text(self) -> str:
        return join(self.lines)

    @property
    def seconds(self) -> float:
        return self.end - self.start

    @property
    def columns(self) -> int:
        """Returns the characters to read; a full-width one counts twice."""
        return width(self.text)


def width(text: str) -> int:
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def join(texts) -> str:
    """Joins texts with a space, but not after Chinese and Japanese characters."""
    joined = ""
    for text in texts:
        wide = joined and unicodedata.east_asian_width(joined[-1]) in "WF"
        joined += text if not joined or wide else f" {text}"
    return joined


# --- Reading ----------------------------------------------------------------------------------


def seconds(match: re.Match) -> float:
    hours, minutes, whole, thousandths = (int(group or 0) for group in match.groups())
    return 3600 * hours + 60 * minutes + whole + thousandths / 1000


def read_cues(text: str) -> list[Cue]:
    """Reads the cues of a file in SubRip or WebVTT."""
    cues = []
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n").lstrip("\ufeff")):
        lines = block.strip("\n").split("\n")
        at = next((n for n, line in enumerate(lines) if "-->" in line), None)
        if at is None:
            continue
        times = [seconds(match) for match in TIME.finditer(lines[at])]
        if len(times) != 2:
            raise ValueError(f"not the times of a cue: {lines[at]!r}")
        shown, speaker = [], ""
        for line in lines[at + 1 :]:
            voice = re.match(r"<v(?:\.\S+)? ([^>]*)>", line)
            speaker = voice.group(1) if voice else speaker
            line = re.sub(r"<[^>]*>", "", line)
            for escaped, plain in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
                line = line.replace(escaped, plain)
            # Names that this project writes into SubRip.
            name = re.match(r"((?:Track|Channel|Speaker) \d+(?:, (?:Channel|Speaker) \d+)*): ", line)
            if name and not shown:
                speaker, line = name.group(1), line[name.end() :]
            if line.strip():
                shown.append(line.strip())
        cues.append(Cue(times[0], times[1], tuple(shown), speaker))
    return cues


def read_words(document: dict) -> list[tuple[float, float, str]]:
    """Returns start, end and text of each word of a transcript, in order of start."""
    words = [
        (word["start"], word["end"], word.get("text", word.get("word", "")).strip())
        for segment in document["segments"]
        for word in segment.get("words") or []
    ]
    return sorted(words)


# --- Rules ------------------------------------------------------------------------------------


def ends_sentence(text: str) -> bool:
    return bool(SENTENCE_END.search(text)) and not ABBREVIATION.search(text)


def ends_clause(text: str) -> bool:
    return bool(CLAUSE_END.search(text)) and not ABBREVIATION.search(text)


def words_of(text: str) -> list[str]:
    """Returns the words; in Chinese and Japanese, two characters are one."""
    words = []
    for word in text.split():
        wide = sum(unicodedata.east_asian_width(c) in "WF" and c.isalnum() for c in word)
        words += [word] * max(1, wide // 2)
    return words


def is_broken_compound(before: str, after: str) -> bool:
    """Tells whether a line ends within a compound: after `cold-`, but not after a dash."""
    return bool(re.search(r"\w[-‐/]$", before)) and after[:1].isalnum()


def is_orphan(cues: list[Cue], index: int, words: int = 1) -> bool:
    """Tells whether a cue has just so many words, and they are not a whole sentence."""
    cue = cues[index]
    if len(words_of(cue.text)) != words:
        return False
    before = cues[index - 1] if index > 0 else None
    begins = before is None or before.speaker != cue.speaker or ends_sentence(before.text)
    return not (begins and ends_sentence(cue.text))


def ends_within_clause(cues: list[Cue], index: int, columns: int, lines: int) -> bool:
    """Tells whether a cue ends without punctuation though an end was within reach: the clause would have fitted
    into it, or it holds the end of a sentence or clause in its second half, and what follows that fits
    into the next cue."""
    cue = cues[index]
    after = cues[index + 1] if index + 1 < len(cues) else None
    if after is None or after.speaker != cue.speaker or ends_clause(cue.text):
        return False
    room = columns * lines
    words = after.text.split(" ")
    for count in range(1, len(words) + 1):
        rest = " ".join(words[:count])
        if width(cue.text) + 1 + width(rest) > room:
            break
        if ends_clause(rest):
            share = width(rest) / max(1, after.columns)
            return cue.seconds + share * after.seconds <= MAX_SECONDS
    words = cue.text.split(" ")
    for count in range(len(words) - 1, 0, -1):
        head, tail = " ".join(words[:count]), " ".join(words[count:])
        if 2 * width(head) < cue.columns:
            break
        if ends_clause(head):
            share = width(tail) / max(1, cue.columns)
            fits = width(tail) + 1 + after.columns <= room
            return fits and share * cue.seconds + after.seconds <= MAX_SECONDS
    return False


def check(cues: list[Cue], words=(), columns: int = MAX_COLUMNS, lines: int = MAX_LINES) -> dict:
    """Returns the figures, and the faults: the numbers of the cues that break each rule, from 1."""
    speeds = sorted(cue.columns / max(cue.seconds, 0.001) for cue in cues)
    pairs = list(zip(cues, cues[1:]))
    # People on different channels may speak at once.
    gaps = [(n, b.start - a.end) for n, (a, b) in enumerate(pairs, 1) if a.speaker == b.speaker]

    def each(test):
        return [number for number, cue in enumerate(cues, 1) if test(cue)]

    faults = {
        "faster than 20 per s": each(lambda cue: cue.columns > 20.005 * cue.seconds),
        "faster than 17 per s": each(lambda cue: cue.columns > 17.005 * cue.seconds),
        "long lines": each(lambda cue: any(width(line) > columns for line in cue.lines)),
        "too many lines": each(lambda cue: len(cue.lines) > lines),
        "shorter than 0.83 s": each(lambda cue: cue.seconds < MIN_SECONDS - ROUNDING),
        "longer than 7 s": each(lambda cue: cue.seconds > MAX_SECONDS + ROUNDING),
        "overlaps": [number for number, gap in gaps if gap < -ROUNDING],
        "no gap": [number for number, gap in gaps if abs(gap) <= ROUNDING],
        "gap below 83 ms": [n for n, gap in gaps if ROUNDING < gap < MIN_GAP - ROUNDING],
        "one word": [n + 1 for n in range(len(cues)) if is_orphan(cues, n)],
        "two words": [n + 1 for n in range(len(cues)) if is_orphan(cues, n, words=2)],
        "ends within a clause": [
            n + 1 for n in range(len(cues)) if ends_within_clause(cues, n, columns, lines)
        ],
        "broken compounds": broken_compounds(cues),
    }
    figures = {
        "cues": len(cues),
        "characters per second, mean": round(sum(speeds) / len(speeds), 1) if speeds else 0.0,
        "characters per second, 95 %": round(percentile(speeds, 0.95), 1) if speeds else 0.0,
        "longest line": max((width(line) for cue in cues for line in cue.lines), default=0),
    }
    if words:
        figures["pauses"], faults["pauses not shown"] = pauses(cues, words)
    return {"figures": figures, "faults": faults}


def broken_compounds(cues: list[Cue]) -> list[int]:
    found = []
    for number, cue in enumerate(cues, 1):
        after = cues[number].lines if number < len(cues) else ()
        lines = (*cue.lines, *after[:1])
        if any(is_broken_compound(a, b) for a, b in zip(lines, lines[1:])):
            found.append(number)
    return found


def pauses(cues: list[Cue], words) -> tuple[int, list[int]]:
    """Returns how many pauses of half a second and more separate two cues, and the numbers of the cues that stay
    until the next one, or nearly, through such a pause."""
    count, hidden = 0, []
    for number, (a, b) in enumerate(zip(cues, cues[1:]), 1):
        if a.speaker != b.speaker:
            continue
        ends = [end for start, end, _ in words if start < b.start - 0.01]
        starts = [start for start, _, _ in words if start >= b.start - 0.01]
        if not ends or not starts or min(starts) - max(ends) < PAUSE:
            continue
        count += 1
        if b.start - a.end < MIN_GAP - ROUNDING:
            hidden.append(number)
    return count, hidden


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


# --- Reporting --------------------------------------------------------------------------------


def table(results: dict[str, dict]) -> str:
    """Returns a table in Markdown, one column per file: figures, and how many cues break each rule."""
    rows = [["", *results], ["---", *("---:" for _ in results)]]
    for kind in ("figures", "faults"):
        names = dict.fromkeys(name for result in results.values() for name in result[kind])
        for name in names:
            values = [result[kind].get(name) for result in results.values()]
            rows.append([name, *(cell(value) for value in values)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def cell(value) -> str:
    if value is None:
        return ""
    return str(len(value) if isinstance(value, list) else value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("files", nargs="+", type=pathlib.Path, help=".srt or .vtt")
    parser.add_argument("--words", type=pathlib.Path, action="append", default=[],
                        help="transcript in JSON with the times of words, one per file, in their order")  # fmt: skip
    parser.add_argument("--max-line-width", type=int, default=MAX_COLUMNS, metavar="COLUMNS")
    parser.add_argument("--max-lines", type=int, default=MAX_LINES, metavar="LINES")
    parser.add_argument("--json", action="store_true", help="figures, and the cues that break each rule")
    arguments = parser.parse_intermixed_args()
    if arguments.words and len(arguments.words) != len(arguments.files):
        parser.error("--words is given once for each file")
    results = {}
    for number, path in enumerate(arguments.files):
        try:
            cues = read_cues(path.read_text(encoding="utf-8"))
            words = ()
            if arguments.words:
                words = read_words(json.loads(arguments.words[number].read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 2
        results[str(path)] = check(cues, words, arguments.max_line_width, arguments.max_lines)
    print(json.dumps(results, indent=2) if arguments.json else table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
