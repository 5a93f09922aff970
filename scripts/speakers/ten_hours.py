#!/usr/bin/env python3
"""Finds the speakers of a recording of ten hours, and prints what that takes and how right it is.

    scripts/speakers/ten_hours.sh [--hours N] [--threads N]

The recording is made of blocks of ten minutes (conversations.py), each with two to five of five voices, and with gains and
noise of its own. A sixth voice, a guest, is in one of the blocks only.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import time
import wave

import conversations
import der
import numpy as np
from conversations import RATE
from der import Span

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from bench_systems import error_line  # noqa: E402
from compare import cpu_name, wait  # noqa: E402

BLOCK = 600


def make(path: pathlib.Path, hours: float, cache: pathlib.Path) -> None:
    """Writes the recording block by block, and its reference."""
    print(f"Making {path}", file=sys.stderr)
    people = conversations.voices("dev", cache)
    guest = {"guest": conversations.voices("held", cache)["carlo"]}
    rng, lines = random.Random("ten hours"), []
    count = max(1, round(hours * 3600 / BLOCK))
    part = path.with_suffix(".part")
    with wave.open(str(part), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        for block in range(count):
            here = rng.sample(sorted(people), rng.randint(2, len(people)))
            speakers = {name: people[name] for name in here} | (guest if block == count // 2 else {})
            noise = 10 ** rng.uniform(-3.3, -2.3)
            samples, turns = conversations.conversation(speakers, BLOCK, rng, noise=noise)
            file.writeframes(np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes())
            moved = [Span(turn.start + BLOCK * block, turn.end + BLOCK * block, turn.speaker) for turn in turns]
            lines.append(conversations.rttm(path.stem, moved))
    path.with_suffix(".rttm").write_text("".join(lines), "utf-8")
    part.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, required=True, help="a build of scriptorium")
    parser.add_argument("--cache", type=pathlib.Path, required=True, help="folder for the recording")
    parser.add_argument("--model", default="whisper-tiny.en", help="the recognizer")
    parser.add_argument("--hours", type=float, default=10)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    arguments.binary = arguments.binary.resolve()
    path = arguments.cache / f"hours-{arguments.hours:g}.wav"
    if not path.exists():
        make(path, arguments.hours, arguments.cache / "debian")
    for label, options in {"with speakers": ["--speakers"], "without": []}.items():
        out = arguments.cache / "ten-hours" / label.replace(" ", "-")
        command = [arguments.binary, "transcribe", path, "--out", out, "--format", "json", "--overwrite", "--quiet",
                   "--model", arguments.model, "--threads", arguments.threads, *options]  # fmt: skip
        start = time.monotonic()
        with subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
            status, usage, peak = wait(process)
            if status:
                assert process.stderr is not None
                sys.exit(f"scriptorium failed: {error_line(process.stderr.read().decode(errors='replace'))}")
        wall, cpu = time.monotonic() - start, usage.ru_utime + usage.ru_stime
        transcript = next(out.rglob(f"{path.name}.json"))
        content = json.loads(transcript.read_text("utf-8"))
        duration = content["source"]["duration"]
        stages = ", ".join(f"{stage['name']} {stage['seconds']:.0f} s" for stage in content["processing"]["stages"])
        print(f"\n{label}: {duration / 3600:.2f} h on {arguments.threads} threads, {cpu_name()}, load {os.getloadavg()[0]:.1f}")
        print(f"peak of the process {peak:.0f} MB, wall {wall:.0f} s, CPU {cpu:.0f} s: {stages}")
        if options:
            reference = der.read_references(path.with_suffix(".rttm"))[path.stem]
            found = der.read_hypothesis(transcript)
            score = der.score(reference, found, [Span(0.0, duration, None)])
            print(
                f"{len(found)} turns, {score.speakers} speakers of {score.reference_speakers}; DER {score.rate:.1f} %: missed "
                f"{score.percent(score.missed):.1f}, false alarm {score.percent(score.false_alarm):.1f}, confusion "
                f"{score.percent(score.confusion):.1f}"
            )


if __name__ == "__main__":
    main()
