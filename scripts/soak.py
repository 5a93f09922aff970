#!/usr/bin/env python3
"""Runs a worker on mixed work for a long time, and checks that its memory stays flat.

    eval "$(tests/services/start.sh DIR)"
    cargo build --release
    scripts/soak.py --binary target/release/scriptorium --models DIR --minutes 60 --plot soak.svg

Batches of short and long recordings in many formats, with broken and empty ones among them, are
submitted one after the other. Every few seconds, the resident size, the open files and the threads of
the worker are noted. Each batch must end with as many transcripts and failures as its recordings call
for. After the warm-up, the median resident size of the last quarter of the time may exceed that of
the first by --tolerance percent; else the exit code is 1.
"""

import argparse
import collections
import json
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
import wave

from bench_services import Services

BUCKET = "scriptorium-bench"
ROOT = pathlib.Path(__file__).resolve().parent.parent
SPEECH = ROOT / "tests/fixtures/speech"
AUDIO = ROOT / "tests/fixtures/audio"

Sample = collections.namedtuple("Sample", "seconds megabytes files threads")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=ROOT / "target/release/scriptorium")
    parser.add_argument("--models", required=True, help="directory of the pulled models")
    parser.add_argument("--model", default="whisper-tiny.en")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--warm-up", type=float, default=10, help="minutes")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tolerance", type=float, default=5, help="percent")
    parser.add_argument("--plot", type=pathlib.Path, help="file for a plot (SVG)")
    return parser.parse_args()


def long_recording(path, seconds):
    """Writes the sentence of the tests, repeated."""
    with wave.open(str(SPEECH / "sentence.wav")) as sentence:
        parameters, frames = sentence.getparams(), sentence.readframes(sentence.getnframes())
    with wave.open(str(path), "wb") as recording:
        recording.setparams(parameters)
        for _ in range(round(seconds * parameters.framerate / parameters.nframes)):
            recording.writeframes(frames)
    return path.read_bytes()


def recordings(directory):
    """Returns the names and bytes of good recordings and of bad ones."""
    files = [*SPEECH.glob("sentence*.*"), *AUDIO.glob("*.*")]
    good = {
        file.name: file.read_bytes()
        for file in files
        if file.suffix not in {".md", ".sh"} and not file.name.startswith("silent-video")
    }
    for seconds in [60, 300, 1200]:
        good[f"long-{seconds}.wav"] = long_recording(directory / "long.wav", seconds)
    whole = good["sentence.mp3"]
    bad = {"empty.wav": b"", "text.mp3": b"not a recording\n" * 500, "noise.m4a": bytes(reversed(whole))}
    return good, bad


class Worker:
    def __init__(self, arguments, environment):
        command = [arguments.binary, "worker", "--threads", str(arguments.threads)]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
        self.started = time.monotonic()
        self.folder = pathlib.Path(f"/proc/{self.process.pid}")

    def sample(self):
        lines = (line.split(":", 1) for line in (self.folder / "status").read_text().splitlines())
        status = {name: value.split() for name, value in lines}
        files = sum(1 for _ in (self.folder / "fd").iterdir())
        megabytes = int(status["VmRSS"][0]) * 1024 / 1e6
        return Sample(time.monotonic() - self.started, megabytes, files, int(status["Threads"][0]))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait()


def run(arguments, directory):
    services, seed = Services(), random.Random(arguments.seed)
    services.s3("PUT", BUCKET)
    prefix = f"soak-{uuid.uuid4().hex[:8]}"
    environment = services.environment(prefix, directory, arguments.models)
    environment["SCRIPTORIUM__MODELS__RECOGNIZER"] = arguments.model
    good, bad = recordings(directory)
    for name, body in [*good.items(), *bad.items()]:
        services.s3("PUT", f"{BUCKET}/{prefix}/in/{name}", body)

    def command(*words):
        ran = subprocess.run([arguments.binary, *words, "--json"], env=environment, check=False,
                             capture_output=True)
        return json.loads(ran.stdout)

    worker, samples, totals = Worker(arguments, environment), [], collections.Counter()
    try:
        while samples == [] or samples[-1].seconds < 60 * arguments.minutes:
            chosen = seed.sample(sorted(good), 25), seed.sample(sorted(bad), seed.randint(0, 2))
            paths = [f"s3://{BUCKET}/{prefix}/in/{name}" for names in chosen for name in names]
            batch = command("submit", *paths, "--out", f"s3://{BUCKET}/{prefix}/{uuid.uuid4().hex}/")
            expected = {"done": len(chosen[0]), "failed": len(chosen[1])}
            while True:
                time.sleep(5)
                samples.append(worker.sample())
                status = command("status", batch["batch"])
                if {name: status[name] for name in expected} == expected:
                    break
                if status["done"] > expected["done"] or status["failed"] > expected["failed"]:
                    raise SystemExit(f"{batch['batch']}: {status}, expected {expected}")
            totals.update(expected, batches=1)
    finally:
        code = worker.stop()
    print(f"{totals['batches']} batches, {totals['done']} transcripts, {totals['failed']} failures, "
          f"exit code of the worker {code}")
    return samples


def plot(samples, path, title):
    """Draws the resident size over time."""
    width, height, left, bottom, top = 760, 300, 60, 40, 30
    last, most = samples[-1].seconds, 1.15 * max(sample.megabytes for sample in samples)
    x = lambda seconds: left + (width - left - 20) * seconds / last  # noqa: E731
    y = lambda value: height - bottom - (height - bottom - top) * value / most  # noqa: E731
    points = " ".join(f"{x(sample.seconds):.1f},{y(sample.megabytes):.1f}" for sample in samples)
    step = 100 if most > 250 else 50
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{left}" y="18">{title}</text>',
    ]
    for value in range(0, int(most), step):
        lines.append(f'<path d="M{left} {y(value):.1f}H{width - 20}" stroke="#ddd"/>')
        lines.append(f'<text x="{left - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value} MB</text>')
    for minutes in range(0, int(last / 60) + 1, 10 if last > 1800 else 2):
        place = f'x="{x(60 * minutes):.1f}" y="{height - bottom + 18}"'
        lines.append(f'<text {place} text-anchor="middle">{minutes} min</text>')
    lines.append(f'<polyline points="{points}" fill="none" stroke="#2060a0" stroke-width="1.5"/>')
    path.write_text("\n".join([*lines, "</svg>\n"]))


def main():
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as directory:
        samples = run(arguments, pathlib.Path(directory))
    steady = [sample for sample in samples if sample.seconds >= 60 * arguments.warm_up]
    if len(steady) < 8:
        sys.exit("the run was shorter than the warm-up")
    quarter = len(steady) // 4
    first, end = steady[:quarter], steady[-quarter:]
    print("\n| | resident, MB | open files | threads |\n| --- | ---: | ---: | ---: |")
    for name, part in [("first quarter after the warm-up", first), ("last quarter", end)]:
        columns = zip(*part, strict=True)
        _, megabytes, files, threads = [statistics.median(column) for column in columns]
        print(f"| {name}, median | {megabytes:.0f} | {files:.0f} | {threads:.0f} |")
    print(f"| peak | {max(s.megabytes for s in samples):.0f} | {max(s.files for s in samples)} "
          f"| {max(s.threads for s in samples)} |")
    if arguments.plot:
        title = f"Resident size of a worker, {arguments.model}, {arguments.threads} threads"
        plot(samples, arguments.plot, title)
    before, after = (statistics.median(s.megabytes for s in part) for part in (first, end))
    growth = 100 * (after / before - 1)
    print(f"\ngrowth: {growth:+.1f} %")
    sys.exit(growth > arguments.tolerance)


if __name__ == "__main__":
    main()
