#!/usr/bin/env python3
"""Compares builds by peak memory and CPU time on a long recording, for example other allocators.

    scripts/bench_memory.py --binary target/release/scriptorium [--binary OTHER] --model DIR

Builds one recording of --minutes from the clips of pocketsphinx-testdata in random order, with
pauses of 0.4 to 4 s, so that segments and windows have all lengths. Transcribes it with each binary
and each number of threads; the runs of the binaries alternate. CPU time and peak resident memory
are those of the kernel.
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
    parser.add_argument("--binary", type=pathlib.Path, action="append", required=True,
                        help="a build of scriptorium; may be given several times")  # fmt: skip
    parser.add_argument("--model", type=pathlib.Path, required=True,
                        help="the directory of a recognizer model")  # fmt: skip
    parser.add_argument("--recordings", type=pathlib.Path,
                        default=pathlib.Path("/usr/share/pocketsphinx/test/data"),
                        help="the directory of pocketsphinx-testdata")  # fmt: skip
    parser.add_argument("--minutes", type=float, default=180, help="length of the recording")
    parser.add_argument("--threads", type=lambda text: text.split(","), default=["1", "2"],
                        help="numbers of threads, separated by commas")  # fmt: skip
    parser.add_argument("--runs", type=int, default=3, help="runs per binary and number of threads")
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
                    usage = compare_funasr.timed(command, folder / "log")
                    runs.setdefault((binary, threads), []).append(usage)
                    print(f"run {number}, {threads} threads, {binary}: {usage}", flush=True)
    print(table(runs, arguments))


def recording(arguments):
    """Returns the PCM bytes of the whole recording: 16 kHz, mono, 16 bits."""
    rng, samples = random.Random(1), []
    clips = [compare.read_samples(path) for path in sorted(compare.sources(arguments.recordings))]
    length, min_length = 0, arguments.minutes * 60 * compare.RATE * 2
    while length < min_length:
        for clip in rng.sample(clips, len(clips)):
            pause = bytes(2 * int(compare.RATE * rng.uniform(0.4, 4)))
            samples += [clip, pause]
            length += len(clip) + len(pause)
    return b"".join(samples)


def table(runs, arguments):
    """Formats the medians as a Markdown table."""
    lines = [
        f"{arguments.minutes:.0f} minutes, {compare.cpu_name()}, medians of {arguments.runs} runs, "
        f"load average {os.getloadavg()[0]:.1f}",
        "",
        "| binary | threads | CPU s | wall s | peak MB, median | smallest to largest |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for (binary, threads), usages in runs.items():
        peaks = [usage["memory_mb"] for usage in usages]
        lines.append(
            f"| {binary} | {threads} | {statistics.median(usage['cpu'] for usage in usages):.1f} "
            f"| {statistics.median(usage['wall'] for usage in usages):.1f} "
            f"| {statistics.median(peaks):.0f} | {min(peaks):.0f} to {max(peaks):.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
