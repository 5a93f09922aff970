#!/usr/bin/env python3
"""Compares the times of words with faster-whisper's, and checks times where the truth is known.

Both read the same CTranslate2 weights, greedily and in int8. Words are matched by their text. In the
sequences, real clips alternate with pauses of 15 s: every segment must lie within 0.5 s of its clip, and
none may cover two. The words of the clips themselves are known by their times in the clip alone.
"""

import argparse
import difflib
import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile

import compare

PAUSE = 15.0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--binary", type=pathlib.Path, required=True, help="a build of scriptorium")
    parser.add_argument("--model", type=pathlib.Path, required=True, help="a model directory")
    parser.add_argument("--recordings", type=pathlib.Path, required=True,
                        help="the directory of pocketsphinx-testdata")  # fmt: skip
    parser.add_argument("--sequences", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return words_of_faster_whisper(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        clips = compare.make_recordings(
            argparse.Namespace(recordings=arguments.recordings, minutes=2.0), folder
        )
        recordings = [*clips["librivox"], *clips["commands"], *clips["long"]]
        compare_peers(arguments, folder, recordings)
        check_sequences(arguments, folder, [*clips["librivox"], *clips["commands"]])


def compare_peers(arguments, folder, recordings):
    ours = transcribe(arguments, folder / "alone", recordings)
    theirs = peer(arguments, recordings)
    rows = [("recording", "words", "median ms", "95 % ms", "worst ms")]
    everything = []
    for recording in recordings:
        words = [word for segment in ours[recording.name] for word in segment.get("words", [])]
        differences = matched(words, theirs[recording.name])
        everything += differences
        rows.append((recording.stem[-24:], *summary(differences)))
    rows.append(("all", *summary(everything)))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")


def matched(ours, theirs):
    """Returns the differences of starts and of ends of the words that both have, in seconds."""
    ours, theirs = [(normal(w["text"]), w["start"], w["end"]) for w in ours], [
        (normal(w["text"]), w["start"], w["end"]) for w in theirs
    ]
    blocks = difflib.SequenceMatcher(
        a=[w[0] for w in ours], b=[w[0] for w in theirs], autojunk=False
    ).get_matching_blocks()
    found = []
    for block in blocks:
        for n in range(block.size):
            a, b = ours[block.a + n], theirs[block.b + n]
            found += [abs(a[1] - b[1]), abs(a[2] - b[2])]
    return found


def normal(text):
    return re.sub(r"[^\w]", "", text.lower())


def summary(differences):
    if not differences:
        return 0, "-", "-", "-"
    ordered = sorted(1000 * x for x in differences)
    at = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return len(ordered) // 2, round(statistics.median(ordered)), round(at), round(ordered[-1])


def check_sequences(arguments, folder, clips):
    rng = random.Random(arguments.seed)
    alone = transcribe(arguments, folder / "clips", clips)
    truth, recordings = {}, []
    for number in range(arguments.sequences):
        parts, spans, time = [], [], 0.0
        for clip in rng.sample(clips, rng.randint(2, 4)):
            samples = compare.read_samples(clip)
            seconds = len(samples) / 2 / compare.RATE
            parts += [samples, bytes(2 * int(PAUSE * compare.RATE))]
            spans.append((time, time + seconds, clip.name))
            time += seconds + PAUSE
        path = folder / f"sequence-{number}.wav"
        compare.write_samples(path, b"".join(parts))
        recordings.append(path)
        truth[path.name] = spans
    found = transcribe(arguments, folder / "sequences", recordings)
    segments = outside = spanning = 0
    shifts = []
    for name, spans in truth.items():
        for segment in found[name]:
            segments += 1
            start, end = segment["start"], segment["end"]
            touched = [s for s in spans if start < s[1] + 0.5 and end > s[0] - 0.5]
            spanning += len(touched) > 1
            if not any(start >= s[0] - 0.5 and end <= s[1] + 0.5 for s in spans):
                outside += 1
                print(f"  {name}: {start}-{end} {segment['text']!r}; clips {spans}", file=sys.stderr)
        for start, end, clip in spans:
            words = [
                {**word, "start": word["start"] - start, "end": word["end"] - start}
                for segment in found[name]
                for word in segment.get("words", [])
                if start - 1 < word["start"] < end + 1
            ]
            reference = [w for segment in alone[clip] for w in segment.get("words", [])]
            shifts += matched(words, reference)
    print(f"{arguments.sequences} sequences: {segments} segments, {outside} outside of their clip, "
          f"{spanning} over a pause")  # fmt: skip
    count, median, most, worst = summary(shifts)
    print(f"words against the same clip alone: {count} words, median {median} ms, 95 % {most} ms, "
          f"worst {worst} ms")  # fmt: skip


def transcribe(arguments, out, recordings):
    command = [arguments.binary, "transcribe", *recordings, "--out", out, "--threads", "1", "--model",
               arguments.model.name]  # fmt: skip
    environment = {
        **os.environ,
        "SCRIPTORIUM__MODELS__DIRECTORY": str(arguments.model.parent.resolve()),
        "SCRIPTORIUM__LOG__LEVEL": "warn",
    }
    subprocess.run(command, check=True, capture_output=True, env=environment)
    read = lambda recording: json.loads((out / f"{recording.name}.json").read_text())["segments"]
    return {recording.name: read(recording) for recording in recordings}


def peer(arguments, recordings):
    command = [sys.executable, __file__, "--peer", "x", "--binary", arguments.binary, "--model",
               arguments.model, "--recordings", arguments.recordings, *recordings]  # fmt: skip
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def words_of_faster_whisper(arguments):
    from faster_whisper import WhisperModel

    model = WhisperModel(str(arguments.model), device="cpu", compute_type="int8", cpu_threads=1)
    found = {}
    for name in arguments.files:
        segments, _ = model.transcribe(name, beam_size=1, language="en", word_timestamps=True)
        found[pathlib.Path(name).name] = [
            {"text": word.word, "start": word.start, "end": word.end}
            for segment in segments
            for word in segment.words
        ]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
