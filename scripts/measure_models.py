#!/usr/bin/env python3
"""Measures recognizers for `scriptorium models list`: wrong words, speed and memory.

    scripts/measure_models.py --binary BINARY MODEL...

Words are those of Debian's pocketsphinx-testdata, English read and spoken by several people, each recording
heard seven ways (see scripts/precision.py; needs ffmpeg): 756 words. Speed is that of a recording of ten
minutes, the same clips in random order with pauses, on one thread: seconds of audio per core-second. Memory is
the most that the process had resident meanwhile. Everything is as `scriptorium transcribe` does it by default.
The output is for crates/models/catalogue.toml. Take a release build, and a machine with nothing else to do: the
program prints the load average.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

import compare
import precision
import wer


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a name or a directory")
    parser.add_argument("--binary", type=pathlib.Path, required=True, help="a build of scriptorium")
    parser.add_argument("--recordings", type=pathlib.Path,
                        default=pathlib.Path("/usr/share/pocketsphinx/test/data"),
                        help="the directory of pocketsphinx-testdata")  # fmt: skip
    parser.add_argument("--runs", type=int, default=3, help="runs of the long recording")
    arguments = parser.parse_args()

    version = subprocess.run([arguments.binary, "--version"], check=True, capture_output=True, text=True)
    print(version.stdout.strip())
    print(f"{compare.cpu_name()}, load average {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        clips = {
            heard: words
            for path, words in compare.sources(arguments.recordings).items()
            for heard in precision.heard(copy(path, folder))
        }
        arguments.minutes = 10
        (folder / "long").mkdir()
        [long] = compare.make_recordings(arguments, folder / "long")["long"]
        for model in arguments.models:
            wrong, total = words(arguments.binary, model, clips)
            speeds, memories = zip(*(speed(arguments.binary, model, long) for _ in range(arguments.runs)))
            print(
                f"{model}: {wrong} of {total} words wrong\n"
                f"measured = {{ wrong_words_percent = {100 * wrong / total:.1f}, "
                f"audio_seconds_per_core_second = {statistics.median(speeds):.1f}, "
                f"memory_mb = {statistics.median(memories):.0f} }}",
                flush=True,
            )


def copy(path, folder):
    """Writes a recording as a WAV file."""
    wav = folder / f"{path.stem}.wav"
    compare.write_samples(wav, compare.read_samples(path))
    return wav


def words(binary, model, clips):
    """Returns how many words are wrong, and how many there are."""
    with tempfile.TemporaryDirectory() as out:
        transcribe(binary, model, clips, out)
        wrong = total = 0
        for path, text in clips.items():
            expected = wer.normalize(text)
            heard = wer.transcript_text(next(pathlib.Path(out).rglob(f"{path.name}.json")))
            wrong += wer.errors(expected, wer.normalize(heard))
            total += len(expected)
    return wrong, total


def speed(binary, model, recording):
    """Returns the seconds of audio per core-second, and the peak of the memory in megabytes."""
    with tempfile.TemporaryDirectory() as out:
        summary, memory = transcribe(binary, model, [recording], out)
    return summary["audio_seconds_per_core_second"], memory


def transcribe(binary, model, recordings, out):
    """Returns the summary of a run on one thread, and the peak of its memory in megabytes."""
    command = [binary, "transcribe", *recordings, "--out", out, "--format", "json", "--threads", "1",
               "--model", model, "--json"]  # fmt: skip
    with tempfile.TemporaryFile() as log, tempfile.TemporaryFile() as result:
        process = subprocess.Popen(list(map(str, command)), stdout=result, stderr=log)
        status, _, memory = compare.wait(process)
        if status:
            log.seek(0)
            raise SystemExit(f"{model} failed:\n{log.read().decode(errors='replace')}")
        result.seek(0)
        return json.load(result), memory


if __name__ == "__main__":
    main()
