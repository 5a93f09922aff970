#!/usr/bin/env python3
"""Scriptorium beside faster-whisper: word error rate and speed, one thread each.

Both read the same CTranslate2 weights, at int8 precision but where it says otherwise, with beam 1.
Tell small differences in word errors from chance: where two words are nearly as likely, rounding
decides, and one such word in the clips is worth more than a percent. Every run is a process of its
own; its CPU and wall time come from the kernel (wait4), for both in the same way. What a run costs
before it hears anything (starting, loading the model) is the time of a run on half a second of
silence; the table shows speeds with it and without it. The systems take turns, so that whatever
else the machine is doing meets them all.
"""

import argparse
import json
import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
import wave

import wer

RATE = 16_000
SYSTEMS = {
    "scriptorium": None,
    "faster-whisper": {"vad_filter": False},
    "faster-whisper, vad": {"vad_filter": True},
    "faster-whisper, batched": {"batch_size": 8},
    # What the weights say when nothing is rounded: how many of the errors int8 makes.
    "faster-whisper, float32": {"compute_type": "float32"},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--binary", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="a model directory")
    parser.add_argument("--recordings", type=pathlib.Path, required=True)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=10, help="the long recording's least length")
    parser.add_argument("--systems", nargs="*", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--json", type=pathlib.Path, help="write the figures here")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return transcribe_with_faster_whisper(arguments)
    if not (arguments.binary and arguments.binary.exists()) and "scriptorium" in arguments.systems:
        arguments.systems.remove("scriptorium")
        print("No scriptorium binary: the peers alone.\n", file=sys.stderr)

    with tempfile.TemporaryDirectory() as folder:
        sets = make_recordings(arguments, pathlib.Path(folder))
        figures = evaluate(measure(arguments, sets), sets, arguments)
    print(table(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


# --- What is said -----------------------------------------------------------------------------


def sources(root):
    """Real recordings with known words, all in Debian's pocketsphinx-testdata: path -> words."""
    found = {}
    for folder, references in [("librivox", "transcription"), ("cards", "cards.transcription")]:
        for name, words in wer.sphinx_references(root / folder / references).items():
            found[root / folder / f"{name}.wav"] = words
    # Their words stand in goforward.gram, in pocketsphinx's tests, and in the file's own name.
    found[root / "goforward.raw"] = "go forward ten meters"
    found[root / "something.raw"] = "go somewhere and do something"
    found[root / "tidigits" / "dhd.2934z.raw"] = "two nine three four zero"
    return found


def make_recordings(arguments, folder):
    """The sets to transcribe: name -> {wav: words}; `nothing` is half a second of silence."""
    clips, groups = {}, {"librivox": {}, "commands": {}}
    for path, words in sources(arguments.recordings).items():
        samples = read_samples(path)
        wav = folder / f"{path.stem}.wav"
        write_samples(wav, samples)
        clips[wav] = (samples, words)
        groups["librivox" if path.parent.name == "librivox" else "commands"][wav] = words

    # Long: the clips over and over, each time in another order, with pauses as between speakers.
    order, samples, words = random.Random(1), [], []
    least = arguments.minutes * 60 * RATE * 2
    while sum(map(len, samples)) < least:
        for wav in order.sample(sorted(clips), len(clips)):
            pause = bytes(2 * int(RATE * order.uniform(0.4, 1.5)))
            samples += [clips[wav][0], pause]
            words.append(clips[wav][1])
    write_samples(folder / "long.wav", b"".join(samples))
    write_samples(folder / "nothing.wav", bytes(RATE))
    return groups | {
        "long": {folder / "long.wav": " ".join(words)},
        "nothing": {folder / "nothing.wav": ""},
    }


def read_samples(path):
    if path.suffix == ".raw":  # 16 kHz mono, 16 bits, little-endian, as the WAV files are.
        return path.read_bytes()
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2), path
        return file.readframes(file.getnframes())


def write_samples(path, samples):
    with wave.open(str(path), "wb") as file:
        file.setframerate(RATE)
        file.setnchannels(1)
        file.setsampwidth(2)
        file.writeframes(samples)


# --- Running ----------------------------------------------------------------------------------


def measure(arguments, sets):
    """Every run's figures: system, set, seconds and texts. The systems take turns."""
    runs = []
    for number in range(1, arguments.runs + 1):
        for name, recordings in sets.items():
            for system in arguments.systems:
                progress = f"run {number} of {arguments.runs}: {name}, {system}"
                print(f"\r{progress:<70}", end="", file=sys.stderr, flush=True)
                with tempfile.TemporaryDirectory() as out:
                    runs.append({"system": system, "set": name} | run(arguments, system, recordings, out))
    print(f"\r{'':<70}\r", end="", file=sys.stderr, flush=True)
    return runs


def run(arguments, system, recordings, out):
    files = [str(path) for path in recordings]
    if system == "scriptorium":
        command = [arguments.binary, "transcribe", *files, "--out", out, "--format", "json",
                   "--threads", "1", "--model", arguments.model, "--json"]  # fmt: skip
    else:
        command = [sys.executable, __file__, "--peer", system, "--model", arguments.model,
                   "--recordings", out, *files]  # fmt: skip
    with open(pathlib.Path(out) / "log", "w+b") as log:
        begun = time.monotonic()
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        if status:
            log.seek(0)
            sys.exit(f"\n{system} failed:\n{log.read().decode(errors='replace')}")
    texts = {}
    for path in recordings:
        transcript = next(pathlib.Path(out).rglob(f"{path.name}.json"))
        texts[path.name] = wer.transcript_text(transcript)
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": wall, "texts": texts,
            "memory_mb": megabytes(usage.ru_maxrss)}  # fmt: skip


def megabytes(kilobytes):
    """Of 10^6 bytes, as in every table of ours; the kernel counts in 1024."""
    return kilobytes * 1024 / 1e6


def transcribe_with_faster_whisper(arguments):
    """The peer's own process; writes transcripts in the shape that `wer.transcript_text` reads."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    options = dict(SYSTEMS[arguments.peer])
    compute_type = options.pop("compute_type", "int8")
    model = WhisperModel(
        str(arguments.model), device="cpu", compute_type=compute_type, cpu_threads=1
    )
    if "batch_size" in options:
        model = BatchedInferencePipeline(model)
    for file in map(pathlib.Path, arguments.files):
        segments, _ = model.transcribe(str(file), beam_size=1, language="en", **options)
        transcript = {"segments": [{"text": segment.text} for segment in segments]}
        (arguments.recordings / f"{file.name}.json").write_text(json.dumps(transcript))


# --- Figures ----------------------------------------------------------------------------------


def evaluate(runs, sets, arguments):
    """Medians over the runs, per set and system."""
    figures = {
        "model": arguments.model.name,
        "cpu": cpu_name(),
        "load_average": os.getloadavg(),
        "runs": arguments.runs,
        "sets": {},
    }

    def median(system, name, what):
        return statistics.median(r[what] for r in runs if (r["system"], r["set"]) == (system, name))

    for name, recordings in sets.items():
        if name == "nothing":
            continue
        audio = sum(len(read_samples(path)) / 2 / RATE for path in recordings)
        rows = {}
        for system in arguments.systems:
            texts = next(r["texts"] for r in runs if (r["system"], r["set"]) == (system, name))
            wrong = total = 0
            for path, words in recordings.items():
                expected = wer.normalise(words)
                total += len(expected)
                wrong += wer.errors(expected, wer.normalise(texts[path.name]))
            row = {"words": total, "wrong": wrong, "wer": wrong / total, "texts": texts}
            row["memory_mb"] = median(system, name, "memory_mb")
            for what in ("cpu", "wall"):
                whole, start = median(system, name, what), median(system, "nothing", what)
                row[what] = {
                    "seconds": whole,
                    "start_up_seconds": start,
                    "speed_with_start_up": audio / whole,
                    "speed": audio / max(whole - start, 1e-3),
                }
            rows[system] = row
        figures["sets"][name] = {"audio_seconds": audio, "systems": rows}
    return figures


def table(figures):
    lines = [
        f"{figures['model']}, int8 unless it says otherwise, beam 1, one thread, {figures['cpu']}; medians of "
        f"{figures['runs']} runs; load average {figures['load_average'][0]:.1f} "
        "(speeds are to be trusted only when it is near 1)",
        "",
        f"{'':26}{'':>14}{'seconds of audio per CPU second':>34}{'per wall second':>18}{'':>9}",
        f"{'set / system':26}{'word errors':>14}{'':>6}{'without':>9}{'with start':>11}"
        f"{'ratio':>8}{'with start':>18}{'MB':>9}",
    ]
    for name, group in figures["sets"].items():
        lines.append(f"\n{name}, {group['audio_seconds']:.0f} s")
        ours = group["systems"].get("scriptorium")
        for system, row in group["systems"].items():
            cpu, wall = row["cpu"], row["wall"]
            ratio = f"{ours['cpu']['speed'] / cpu['speed']:.2f}" if ours else "-"
            lines.append(
                f"  {system:24}{row['wrong']:>5}/{row['words']} {100 * row['wer']:4.1f} %"
                f"{cpu['speed']:>14.1f}{cpu['speed_with_start_up']:>11.1f}{ratio:>8}"
                f"{wall['speed_with_start_up']:>18.1f}{row['memory_mb']:>9.0f}"
            )
    lines.append("\nratio: scriptorium's speed over this system's, start-up left out, CPU time")
    return "\n".join(lines)


def cpu_name():
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    match = re.search(r"model name\s*:\s*(.*)", text)
    return match[1] if match else os.uname().machine


if __name__ == "__main__":
    main()
