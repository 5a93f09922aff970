#!/usr/bin/env python3
"""Peak memory and CPU time of long recordings: compares builds, for example with other allocators.

    scripts/bench_memory.py --binary target/release/scriptorium [--binary OTHER] --model DIR

Builds one recording of --minutes from the clips of pocketsphinx-testdata in random order, with pauses of
0.4 to 4 s, so that segments and windows have all lengths, and transcribes it with each binary and each number of
threads. The binaries take turns. CPU time and peak resident memory come from the kernel (wait4).
"""

import argparse
import os
import pathlib
import random
import statistics
import tempfile

import compare
import compare_funasr


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--binary", type=pathlib.Path, action="append", required=True)
    parser.add_argument("--model", type=pathlib.Path, required=True, help="a recognizer's directory")
    parser.add_argument(
        "--recordings", type=pathlib.Path, default=pathlib.Path("/usr/share/pocketsphinx/test/data")
    )
    parser.add_argument("--minutes", type=float, default=180)
    parser.add_argument("--threads", type=lambda text: text.split(","), default=["1", "2"])
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()

    runs = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        wav = folder / "long.wav"
        compare.write_samples(wav, recording(arguments))
        for number in range(1, arguments.runs + 1):
            for threads in arguments.threads:
                for binary in arguments.binary:
                    out = folder / f"{number}-{threads}-{len(runs)}"
                    command = [binary, "transcribe", wav, "--out", out, "--threads", threads,
                               "--model", arguments.model]  # fmt: skip
                    found = compare_funasr.timed(command, folder / "log")
                    runs.setdefault((binary, threads), []).append(found)
                    print(f"run {number}, {threads} threads, {binary}: {found}", flush=True)
    print(table(runs, arguments))


def recording(arguments):
    """PCM of the whole recording, 16 kHz, mono, 16 bits."""
    order, samples = random.Random(1), []
    clips = [compare.read_samples(path) for path in sorted(compare.sources(arguments.recordings))]
    length, least = 0, arguments.minutes * 60 * compare.RATE * 2
    while length < least:
        for clip in order.sample(clips, len(clips)):
            pause = bytes(2 * int(compare.RATE * order.uniform(0.4, 4)))
            samples += [clip, pause]
            length += len(clip) + len(pause)
    return b"".join(samples)


def table(runs, arguments):
    lines = [
        f"{arguments.minutes:.0f} minutes, {compare.cpu_name()}, medians of {arguments.runs} runs, "
        f"load average {os.getloadavg()[0]:.1f}",
        "",
        "| binary | threads | CPU s | wall s | peak MB, median | smallest to largest |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for (binary, threads), found in runs.items():
        peaks = [run["memory_mb"] for run in found]
        lines.append(
            f"| {binary} | {threads} | {statistics.median(run['cpu'] for run in found):.1f} "
            f"| {statistics.median(run['wall'] for run in found):.1f} "
            f"| {statistics.median(peaks):.0f} | {min(peaks):.0f} to {max(peaks):.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
