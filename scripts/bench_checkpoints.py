#!/usr/bin/env python3
"""Measures what checkpoints cost, and what a killed worker loses with and without them.

    eval "$(tests/services/start.sh DIR)"
    cargo build --release
    scripts/bench_checkpoints.py --binary target/release/scriptorium --models DIR

Overhead: one worker with one thread transcribes a long recording from S3 to S3 with each value of
`worker.checkpoint_seconds`, one after the other, in several rounds. CPU time is that of the worker's
process, wall time from the transcript. Loss: a worker is ended with SIGKILL, or with SIGTERM, some time
after its first window; another one completes the job. A window is lost if both have computed it.
"""

import argparse
import contextlib
import json
import os
import pathlib
import signal
import statistics
import subprocess
import tempfile
import time
import uuid
import wave

from bench_services import Services

BUCKET = "scriptorium-bench"
ROOT = pathlib.Path(__file__).resolve().parent.parent


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=ROOT / "target/release/scriptorium")
    parser.add_argument("--models", required=True, help="directory of the pulled models")
    parser.add_argument("--model", default="whisper-tiny.en")
    parser.add_argument("--minutes", type=float, default=20, help="length of the recording")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", default="0,30,5,1", help="values of worker.checkpoint_seconds")
    parser.add_argument("--kill-after", type=float, default=40, help="seconds after the first window")
    parser.add_argument("--kill-seconds", default="0,30,5", help="as --seconds, for the loss")
    parser.add_argument("--drain-seconds", type=int, default=0,
                        help="worker.drain_seconds: how long a job may go on after SIGTERM")
    return parser.parse_args()


def numbers(text):
    return [int(number) for number in text.split(",") if number]


class Bench:
    """Runs jobs, each with queues and a prefix of its own."""

    def __init__(self, arguments, directory):
        self.arguments, self.directory = arguments, directory
        self.services = Services()
        self.services.s3("PUT", BUCKET)
        self.name = f"checkpoints-{uuid.uuid4().hex[:8]}"
        recording = directory / "long.wav"
        write_recording(recording, arguments.minutes * 60)
        self.source = f"{self.name}/long.wav"
        self.services.s3("PUT", f"{BUCKET}/{self.source}", recording.read_bytes())

    def environment(self, seconds, prefix):
        return {
            **self.services.environment(prefix, self.directory, self.arguments.models),
            "SCRIPTORIUM__MODELS__RECOGNIZER": self.arguments.model,
            "SCRIPTORIUM__WORKER__CHECKPOINT_SECONDS": str(seconds),
            "SCRIPTORIUM__WORKER__DRAIN_SECONDS": str(self.arguments.drain_seconds),
            "SCRIPTORIUM__LOG__LEVEL": "info,worker=debug,speech::pipeline=trace",
        }

    def submit(self, environment, prefix):
        command = [self.arguments.binary, "submit", f"s3://{BUCKET}/{self.source}"]
        command += ["--out", f"s3://{BUCKET}/{prefix}/", "--json"]
        ran = subprocess.run(command, env=environment, check=True, capture_output=True)
        return json.loads(ran.stdout)["batch"]

    def worker(self, environment, log):
        command = [self.arguments.binary, "worker", "--threads", "1"]
        with open(log, "ab") as stderr:
            return subprocess.Popen(command, env=environment, stderr=stderr)

    def transcript(self, prefix):
        return json.loads(self.services.s3("GET", f"{BUCKET}/{prefix}/long.wav.json"))

    def overhead(self, seconds):
        """Transcribes the recording once. Returns CPU and wall seconds, and the checkpoints."""
        prefix = f"{self.name}-{uuid.uuid4().hex[:8]}"
        log = self.directory / prefix
        environment = self.environment(seconds, prefix)
        batch = self.submit(environment, prefix)
        worker = self.worker(environment, log)
        wait = [self.arguments.binary, "status", batch, "--wait", "--json"]
        subprocess.run(wait, env=environment, check=True, capture_output=True)
        worker.send_signal(signal.SIGTERM)
        _, _, usage = os.wait4(worker.pid, 0)
        wall = self.transcript(prefix)["processing"]["wall_seconds"]
        return usage.ru_utime + usage.ru_stime, wall, events(log, "wrote a checkpoint")

    def loss(self, seconds, signal_number):
        """Ends a worker with a signal. Returns the seconds until it has exited, the windows and seconds of
        audio that it had computed, and those of them that were computed again."""
        prefix = f"{self.name}-{uuid.uuid4().hex[:8]}"
        logs = [self.directory / f"{prefix}-{number}" for number in range(2)]
        environment = self.environment(seconds, prefix)
        batch = self.submit(environment, prefix)
        victim = self.worker(environment, logs[0])
        while not events(logs[0], "window computed"):
            time.sleep(0.1)
        time.sleep(self.arguments.kill_after)
        start = time.monotonic()
        victim.send_signal(signal_number)
        victim.wait()
        exited = time.monotonic() - start
        heir = self.worker(environment, logs[1])
        wait = [self.arguments.binary, "status", batch, "--wait", "--json"]
        subprocess.run(wait, env=environment, check=True, capture_output=True)
        heir.send_signal(signal.SIGTERM)
        heir.wait()
        computed, again = (
            {window["end"]: window["audio_seconds"] for window in events(log, "window computed")}
            for log in logs
        )
        lost = {end: audio for end, audio in computed.items() if end in again}
        return exited, len(computed), sum(computed.values()), len(lost), sum(lost.values())


def write_recording(path, seconds):
    """Writes the sentence of the tests, repeated."""
    with wave.open(str(ROOT / "tests/fixtures/speech/sentence.wav")) as sentence:
        parameters, frames = sentence.getparams(), sentence.readframes(sentence.getnframes())
    repeats = round(seconds * parameters.framerate / parameters.nframes)
    with wave.open(str(path), "wb") as recording:
        recording.setparams(parameters)
        for _ in range(repeats):
            recording.writeframes(frames)


def events(log, message):
    with contextlib.suppress(FileNotFoundError), open(log, encoding="utf-8") as lines:
        parsed = [json.loads(line) for line in lines if line.endswith("}\n")]
        return [event for event in parsed if event.get("message") == message]
    return []


def report_overhead(bench, rounds, values):
    rows = {seconds: [] for seconds in values}
    for number in range(rounds):
        for seconds in values:
            row = bench.overhead(seconds)
            rows[seconds].append(row)
            print(f"round {number + 1}, checkpoint_seconds {seconds}: CPU {row[0]:.2f} s, "
                  f"wall {row[1]:.2f} s, {len(row[2])} checkpoints", flush=True)
    base = rows[values[0]]
    print(f"\n| checkpoint_seconds | checkpoints | kB per window | ms per checkpoint | CPU s | wall s "
          f"| CPU against {values[0]}, by round |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | --- |")
    for seconds, of_value in rows.items():
        cpu, wall, written = zip(*of_value, strict=True)
        count = statistics.median(len(of_run) for of_run in written)
        every = [event for of_run in written for event in of_run]
        windows = sum(event["windows"] for event in every)
        size = sum(event["bytes"] for event in every) / windows / 1000 if windows else 0
        time_of_one = statistics.median([event["milliseconds"] for event in every] or [0])
        pairs = zip(cpu, base, strict=True)
        ratios = ", ".join(f"{100 * (one / other[0] - 1):+.1f} %" for one, other in pairs)
        print(f"| {seconds} | {count:.0f} | {size:.1f} | {time_of_one:.0f} "
              f"| {statistics.median(cpu):.2f} | {statistics.median(wall):.2f} | {ratios} |")


def report_loss(bench, values):
    print("\n| signal | checkpoint_seconds | to exit, s | windows computed | their audio, s "
          "| windows computed again | their audio, s |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for number in [signal.SIGKILL, signal.SIGTERM]:
        for seconds in values:
            exited, computed, audio, again, lost = bench.loss(seconds, number)
            print(f"| {number.name} | {seconds} | {exited:.2f} | {computed} | {audio:.0f} "
                  f"| {again} | {lost:.0f} |", flush=True)


def main():
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(arguments, pathlib.Path(directory))
        if arguments.rounds:
            report_overhead(bench, arguments.rounds, numbers(arguments.seconds))
        if numbers(arguments.kill_seconds):
            report_loss(bench, numbers(arguments.kill_seconds))


if __name__ == "__main__":
    main()
