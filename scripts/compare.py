#!/usr/bin/env python3
"""Compares Scriptorium with faster-whisper: word error rate and speed, one thread each.

Both read the same CTranslate2 weights, with beam 1 and in int8 unless stated otherwise. Small
differences in word errors are chance: rounding decides between two words of nearly equal
probability, and one such word in the clips is more than a percent. Every run is a process of its
own; its CPU and wall time come from the kernel (wait4), the same way for both systems. The start-up
of a run (starting the process, loading the model) is the time of a run on half a second of silence;
the table shows speeds with and without it. The runs of the systems alternate, so that other load on
the machine affects all of them.
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
    # Without quantization, to show how many of the errors come from int8.
    "faster-whisper, float32": {"compute_type": "float32"},
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--binary", type=pathlib.Path, help="a build of scriptorium")
    parser.add_argument("--model", type=pathlib.Path, required=True, help="a model directory")
    parser.add_argument("--recordings", type=pathlib.Path, required=True,
                        help="the directory of pocketsphinx-testdata")  # fmt: skip
    parser.add_argument("--runs", type=int, default=3, help="runs per system and set of recordings")
    parser.add_argument("--minutes", type=float, default=10,
                        help="minimum length of the long recording")  # fmt: skip
    parser.add_argument("--systems", nargs="*", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--json", type=pathlib.Path, help="file for the figures")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return transcribe_with_faster_whisper(arguments)
    if not (arguments.binary and arguments.binary.exists()) and "scriptorium" in arguments.systems:
        arguments.systems.remove("scriptorium")
        print("The scriptorium binary is missing: measuring the peers only.\n", file=sys.stderr)

    with tempfile.TemporaryDirectory() as folder:
        sets = make_recordings(arguments, pathlib.Path(folder))
        figures = evaluate(measure(arguments, sets), sets, arguments)
    print(table(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


# --- Recordings -------------------------------------------------------------------------------


def sources(root):
    """Returns the recordings with known words in Debian's pocketsphinx-testdata: path -> words."""
    texts = {}
    for folder, references in [("librivox", "transcription"), ("cards", "cards.transcription")]:
        for name, words in wer.sphinx_references(root / folder / references).items():
            texts[root / folder / f"{name}.wav"] = words
    # The words come from goforward.gram, from pocketsphinx's tests and from the file's own name.
    texts[root / "goforward.raw"] = "go forward ten meters"
    texts[root / "something.raw"] = "go somewhere and do something"
    texts[root / "tidigits" / "dhd.2934z.raw"] = "two nine three four zero"
    return texts


def make_recordings(arguments, folder):
    """Writes the sets of recordings: name -> {wav: words}; `nothing` is 0.5 s of silence."""
    clips, groups = {}, {"librivox": {}, "commands": {}}
    for path, words in sources(arguments.recordings).items():
        samples = read_samples(path)
        wav = folder / f"{path.stem}.wav"
        write_samples(wav, samples)
        clips[wav] = (samples, words)
        groups["librivox" if path.parent.name == "librivox" else "commands"][wav] = words

    # Long: the clips repeated, each time in a different order, with pauses as between speakers.
    rng, samples, words = random.Random(1), [], []
    min_length = arguments.minutes * 60 * RATE * 2
    while sum(map(len, samples)) < min_length:
        for wav in rng.sample(sorted(clips), len(clips)):
            pause = bytes(2 * int(RATE * rng.uniform(0.4, 1.5)))
            samples += [clips[wav][0], pause]
            words.append(clips[wav][1])
    write_samples(folder / "long.wav", b"".join(samples))
    write_samples(folder / "nothing.wav", bytes(RATE))
    return groups | {
        "long": {folder / "long.wav": " ".join(words)},
        "nothing": {folder / "nothing.wav": ""},
    }


def read_samples(path):
    if path.suffix == ".raw":  # 16 kHz, mono, 16 bits, little-endian, like the WAV files.
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
    """Returns the figures of every run: system, set, seconds and texts. Systems alternate."""
    runs = []
    for number in range(1, arguments.runs + 1):
        for name, recordings in sets.items():
            for system in arguments.systems:
                progress = f"run {number} of {arguments.runs}: {name}, {system}"
                print(f"\r{progress:<70}", end="", file=sys.stderr, flush=True)
                with tempfile.TemporaryDirectory() as out:
                    runs.append(
                        {"system": system, "set": name} | run(arguments, system, recordings, out)
                    )
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
        start = time.monotonic()
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log)
        status, usage, peak = wait(process)
        wall = time.monotonic() - start
        if status:
            log.seek(0)
            sys.exit(f"\n{system} failed:\n{log.read().decode(errors='replace')}")
    texts = {}
    for path in recordings:
        transcript = next(pathlib.Path(out).rglob(f"{path.name}.json"))
        texts[path.name] = wer.transcript_text(transcript)
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": wall, "texts": texts,
            "memory_mb": peak}  # fmt: skip


def wait(process):
    """Waits for a process; returns its status, its usage by the kernel, and its peak memory in MB.

    The kernel's own count of the peak (ru_maxrss) begins with the peak of the process that started
    it, which is this one. So the peak is read from /proc until the process ends.
    """
    peak = 0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            return status, usage, megabytes(peak)
        peak = max(peak, peak_kilobytes(process.pid))
        time.sleep(0.01)


def peak_kilobytes(pid):
    """Returns the peak resident memory of a process; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
            return next((int(line.split()[1]) for line in status if line.startswith("VmHWM")), 0)
    except OSError:
        return 0


def megabytes(kilobytes):
    """Converts to units of 10^6 bytes, as in all our tables; the kernel counts in 1024 bytes."""
    return kilobytes * 1024 / 1e6


def transcribe_with_faster_whisper(arguments):
    """Transcribes in the peer's own process; writes the format that `wer.transcript_text` reads."""
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
    """Returns the medians over the runs, per set and system."""
    figures = {
        "model": arguments.model.name,
        "cpu": cpu_name(),
        "load_average": os.getloadavg(),
        "runs": arguments.runs,
        "sets": {},
    }

    def median(system, name, key):
        return statistics.median(r[key] for r in runs if (r["system"], r["set"]) == (system, name))

    for name, recordings in sets.items():
        if name == "nothing":
            continue
        audio = sum(len(read_samples(path)) / 2 / RATE for path in recordings)
        rows = {}
        for system in arguments.systems:
            texts = next(r["texts"] for r in runs if (r["system"], r["set"]) == (system, name))
            wrong = total = 0
            for path, words in recordings.items():
                expected = wer.normalize(words)
                total += len(expected)
                wrong += wer.errors(expected, wer.normalize(texts[path.name]))
            row = {"words": total, "wrong": wrong, "wer": wrong / total, "texts": texts}
            row["memory_mb"] = median(system, name, "memory_mb")
            for clock in ("cpu", "wall"):
                whole, start_up = median(system, name, clock), median(system, "nothing", clock)
                row[clock] = {
                    "seconds": whole,
                    "start_up_seconds": start_up,
                    "speed_with_start_up": audio / whole,
                    "speed": audio / max(whole - start_up, 1e-3),
                }
            rows[system] = row
        figures["sets"][name] = {"audio_seconds": audio, "systems": rows}
    return figures


def table(figures):
    """Formats the figures as text."""
    lines = [
        f"{figures['model']}, int8 unless stated otherwise, beam 1, one thread, {figures['cpu']}; "
        f"medians of {figures['runs']} runs; load average {figures['load_average'][0]:.1f} "
        "(speeds are reliable only if it is near 1)",
        "",
        f"{'':26}{'':>14}{'seconds of audio per CPU second':>34}{'per wall second':>18}{'':>9}",
        f"{'set / system':26}{'word errors':>14}{'':>6}{'speed':>9}{'+start-up':>11}"
        f"{'ratio':>8}{'+start-up':>18}{'MB':>9}",
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
    lines += [
        "",
        "speed: without start-up; +start-up: with it",
        "ratio: Scriptorium's speed over this system's, in CPU time without start-up",
    ]
    return "\n".join(lines)


def cpu_name():
    text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    match = re.search(r"model name\s*:\s*(.*)", text)
    return match[1] if match else os.uname().machine


if __name__ == "__main__":
    main()
