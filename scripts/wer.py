#!/usr/bin/env python3
"""Computes the word error rate of English transcripts with only the standard library.

Normalizes both texts before it compares words, similarly to OpenAI's
`whisper/normalizers/english.py`: lower case, no punctuation, contractions and titles written out,
numbers as digits. One rule goes further than OpenAI's: numbers become single digits, so that "ten",
"10" and "one zero" all become "1 0", and a digit string may be spoken in groups.

>>> " ".join(normalize("Mr. O'Neil didn't pay $2,900, he'll say: twenty-nine hundred!"))
"mister o'neil did not pay 2 9 0 0 he will say 2 9 0 0"
>>> " ".join(normalize("<s> ten of clubs </s>")), " ".join(normalize("10 of clubs."))
('1 0 of clubs', '1 0 of clubs')
>>> normalize("two nine three four zero") == normalize("29340") == normalize("2-9-3-4-0")
True
>>> normalize("forty two thousand and seven") == normalize("42,007")
True
>>> errors("a b c d".split(), "a x c d e".split())
2
>>> errors("a b c".split(), []), errors([], "a".split()), errors([], [])
(3, 1, 0)
"""

import argparse
import json
import pathlib
import re
import sys

EXPANSIONS = [
    (r"\bwon't\b", "will not"), (r"\bcan't\b", "can not"), (r"\bcannot\b", "can not"),
    (r"\blet's\b", "let us"), (r"n't\b", " not"), (r"'re\b", " are"), (r"'ll\b", " will"),
    (r"'ve\b", " have"), (r"'m\b", " am"), (r"'d\b", " would"),
    (r"\bmr\b\.?", "mister"), (r"\bmrs\b\.?", "missus"), (r"\bdr\b\.?", "doctor"),
    (r"\bst\b\.?", "saint"), (r"\bprof\b\.?", "professor"),
]  # fmt: skip
FILLERS = {"uh", "um", "hmm", "mm", "mhm", "mmm", "ah", "eh"}
UNITS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen".split()
    )
}
TENS = {
    word: 10 * value
    for value, word in enumerate(
        "twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2
    )
}
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}


def normalize(text):
    """Returns the normalized words of `text`."""
    text = text.lower().replace("\u2019", "'")
    text = re.sub(r"<[^>]*>|\[[^\]]*\]|\(\(.*?\)\)", " ", text)
    for pattern, replacement in EXPANSIONS:
        text = re.sub(pattern, replacement, text)
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"[^\w\s']|_", " ", text)
    words = [word.strip("'") for word in text.split()]
    words = [word for word in words if word and word not in FILLERS]
    return [part for word in digits(words) for part in (word if word.isdigit() else [word])]


def digits(words):
    """Replaces numbers in words: `forty two thousand and seven` becomes `42007`.

    A word that does not fit into the current number begins a new one, as in spoken digit strings.
    """
    result, total, current, open_number = [], 0, 0, False

    def close():
        nonlocal total, current, open_number
        if open_number:
            result.append(str(total + current))
        total, current, open_number = 0, 0, False

    for position, word in enumerate(words):
        following = words[position + 1] if position + 1 < len(words) else ""
        if word in UNITS or word in TENS:
            value = UNITS.get(word, TENS.get(word))
            occupied = current % 100 if value >= 10 else current % 10
            teens = current % 100 < 20 and current % 100 > 0 and value < 10
            if open_number and (occupied or teens or value == 0 or current == 0 == total):
                close()
            current, open_number = current + value, True
        elif word == "hundred" and open_number and 0 < current < 100:
            current *= 100
        elif word in SCALES and open_number and current:
            total, current = total + current * SCALES[word], 0
        elif word == "and" and open_number and current % 100 == 0 and (current or total):
            if following not in UNITS and following not in TENS:
                close()
                result.append(word)
        else:
            close()
            result.append(word)
    close()
    return result


def errors(reference, hypothesis):
    """Counts substitutions, deletions and insertions (Levenshtein distance) of two word lists."""
    previous = list(range(len(hypothesis) + 1))
    for row, expected in enumerate(reference, start=1):
        current = [row]
        for column, word in enumerate(hypothesis, start=1):
            substitution = previous[column - 1] + (expected != word)
            current.append(min(substitution, previous[column] + 1, current[-1] + 1))
        previous = current
    return previous[-1]


def sphinx_references(path):
    """Reads CMU Sphinx transcriptions: `<s> the words </s> (name)`, one recording per line."""
    references = {}
    for line in pathlib.Path(path).read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"\s*(.*?)\s*\((\S+)\)\s*", line)
        if match:
            references[match[2]] = re.sub(r"</?s>", "", match[1]).strip()
    return references


def transcript_text(path):
    """Returns the text of a JSON transcript of Scriptorium's."""
    transcript = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    return " ".join(segment["text"].strip() for segment in transcript["segments"])


def main():
    parser = argparse.ArgumentParser(description="Prints the word error rate of transcripts.")
    parser.add_argument("--reference", required=True, help="a CMU Sphinx transcription file")
    parser.add_argument("--transcripts", required=True, help="the directory of NAME.wav.json files")
    arguments = parser.parse_args()

    wrong = total = 0
    for name, reference in sphinx_references(arguments.reference).items():
        path = pathlib.Path(arguments.transcripts) / f"{name}.wav.json"
        text = transcript_text(path) if path.exists() else "(no transcript)"
        expected = normalize(reference)
        count = errors(expected, normalize(text) if path.exists() else [])
        wrong, total = wrong + count, total + len(expected)
        print(f"{name}\n  reference:  {reference}\n  transcript: {text}\n"
              f"  errors:     {count} of {len(expected)} words\n")  # fmt: skip
    if not total:
        sys.exit(f"{arguments.reference} contains no reference texts")
    print(f"Word error rate: {100 * wrong / total:.1f} % ({wrong} of {total} words)")


if __name__ == "__main__":
    main()
