#!/usr/bin/env python3
"""Measures how long a worker takes from its start until `/readyz` says that it leases jobs.

Once with its program and its models in the page cache, as on a node that has run a worker before, and once
without, as on a new node; in turns, so that other load affects both. Needs the services of
`tests/services/start.sh`:

    eval "$(tests/services/start.sh DIR)"
    scripts/bench_startup.py --binary target/release/scriptorium --models .cache/models
"""

import argparse
import os
import pathlib
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid

from bench_services import Services


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--models", type=pathlib.Path, required=True, help="directory of the pulled models")
    parser.add_argument("--model", action="append", help="default: whisper-tiny.en; may be repeated")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args()


def forget(path):
    """Drops the files below a path from the page cache."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    for file in files:
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=1) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def seconds_until_ready(arguments, model, environment):
    port = free_port()
    environment = {**environment, "SCRIPTORIUM__TELEMETRY__LISTEN": f"127.0.0.1:{port}",
                   "SCRIPTORIUM__MODELS__RECOGNIZER": model}
    command = [arguments.binary, "worker", "--threads", str(arguments.threads)]
    began = time.monotonic()
    worker = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        while not is_ready(port):
            if worker.poll() is not None or time.monotonic() - began > 300:
                raise SystemExit(f"{model}: the worker does not become ready")
            time.sleep(0.005)
        return time.monotonic() - began
    finally:
        worker.terminate()
        worker.wait()


def main():
    arguments = parse_arguments()
    services = Services()
    print("| model | page cache | seconds, median | smallest to largest |\n| --- | --- | ---: | ---: |")
    with tempfile.TemporaryDirectory() as home:
        environment = services.environment(f"startup-{uuid.uuid4().hex[:8]}", home, arguments.models)
        for model in arguments.model or ["whisper-tiny.en"]:
            seconds_until_ready(arguments, model, environment)  # declares the queues
            times = {"warm": [], "cold": []}
            for _ in range(arguments.runs):
                times["warm"].append(seconds_until_ready(arguments, model, environment))
                for path in (arguments.models, arguments.binary):
                    forget(path)
                times["cold"].append(seconds_until_ready(arguments, model, environment))
            for state, taken in times.items():
                print(f"| {model} | {state} | {statistics.median(taken):.2f} | "
                      f"{min(taken):.2f} to {max(taken):.2f} |")


if __name__ == "__main__":
    main()
