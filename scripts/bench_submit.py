"""Measures `scriptorium submit`, and `status` and `results` of the batch; see bench-submit.sh, which builds
it and calls this."""

import argparse
import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time

from bench_services import Services

BUCKET = "bench-submit"
SERVICES = pathlib.Path(__file__).parent.parent / "tests/services"


@contextlib.contextmanager
def services():
    """Starts RabbitMQ and radosgw, and sets their variables. Each measurement has its own: the broker
    of the tests has 1 GB of memory, and stops publishers when it holds more than a million messages."""
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory) / "run"
        try:
            started = subprocess.run(
                [SERVICES / "start.sh", directory], check=True, stdout=subprocess.PIPE, text=True
            )
            for line in started.stdout.splitlines():
                name, value = line.removeprefix("export ").split("=", 1)
                os.environ[name] = value
            yield directory
        finally:
            subprocess.run([SERVICES / "stop.sh", directory], check=True)


class Bench:
    def __init__(self, binary, services, home):
        self.binary = binary
        self.socket = services / "ceph/run/client.rgw.test.asok"
        self.server = Services()
        self.server.s3("PUT", BUCKET)
        self.environment = self.server.environment("bench", home, home)

    def requests(self):
        """Returns the number of requests that the S3 server has served."""
        command = ["ceph", "--admin-daemon", self.socket, "perf", "dump", "rgw"]
        counters = subprocess.run(command, check=True, capture_output=True).stdout
        return json.loads(counters)["rgw"]["req"]

    def run(self, name, arguments, interrupt_after=None):
        """Submits, and prints a row of the table; returns the id of the batch."""
        _, stderr = self.measure(name, ["submit", *arguments, "--json"], interrupt_after)
        return next(line.split()[1] for line in stderr.splitlines() if line.startswith("batch "))

    def measure(self, name, words, interrupt_after=None):
        """Runs a command and prints a row of the table."""
        requests = self.requests()
        start = time.monotonic()
        command = [self.binary, *words]
        process = subprocess.Popen(
            command, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        peak, cpu, reader = 0, 0.0, []
        said = threading.Thread(target=lambda: reader.extend(process.communicate()))
        said.start()
        while said.is_alive():
            peak = max(peak, high_water_mark(process.pid))
            cpu = max(cpu, cpu_seconds(process.pid))
            if interrupt_after is not None and time.monotonic() - start > interrupt_after:
                process.send_signal(signal.SIGINT)
                interrupt_after = None
            said.join(0.02)
        seconds = time.monotonic() - start
        stdout, stderr = reader
        if process.returncode not in (0, 130):
            raise RuntimeError(f"{command}: exit code {process.returncode}: {stderr}")
        # One report, or a line for each job.
        lines = stdout.count("\n") if stdout.startswith('{"') else 0
        jobs = lines if lines > 1 else json.loads(stdout or "{}").get("jobs", 0)
        print(
            f"| {name} | {jobs} | {seconds:.1f} | {jobs / seconds:.0f} | {cpu:.1f} | "
            f"{peak / 1024:.0f} | {self.requests() - requests} |",
            flush=True,
        )
        return stdout, stderr


def high_water_mark(pid):
    """Returns the peak of resident memory in KiB; 0 if the process is gone."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    lines = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(lines[0].split()[1]) if lines else 0


def cpu_seconds(pid):
    """Returns the CPU time of a process; 0 if it is gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_manifest(path, rows):
    with path.open("w") as file:
        for row in range(rows):
            key = f"calls/2024/{row % 12 + 1:02}/{row % 28 + 1:02}/recording-{row:07}.wav"
            file.write(f'{{"source": "s3://archive/{key}"}}\n')


def submit_prefix(options, home):
    with services() as directory:
        bench = Bench(options.binary, directory, home)
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            paths = (f"{BUCKET}/in/{n % 7}/{n:06}.wav" for n in range(options.objects))
            list(pool.map(lambda path: bench.server.s3("PUT", path, b"x"), paths))
        out = f"s3://{BUCKET}/out/"
        arguments = [f"s3://{BUCKET}/in/", "--out", out]
        bench.run(f"prefix of {options.objects} objects", arguments)


def submit_manifest(options, home):
    manifest = home / "manifest.jsonl"
    write_manifest(manifest, options.rows)
    arguments = ["--manifest", manifest, "--out", f"s3://{BUCKET}/out/"]
    with services() as directory:
        bench = Bench(options.binary, directory, home)
        start = time.monotonic()
        batch = bench.run(f"manifest of {options.rows} rows", arguments)
        half = (time.monotonic() - start) / 2
        bench.measure("`status` of that batch", ["status", batch, "--json"])
        bench.measure("`status --recount`", ["status", batch, "--recount", "--json"])
        bench.measure("`results`", ["results", batch, "--json"])
    with services() as directory:
        bench = Bench(options.binary, directory, home)
        batch = bench.run("the same, interrupted", arguments, interrupt_after=half)
        # The report counts the jobs of both calls.
        bench.run("resumed", ["--resume", batch])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--objects", type=int, default=20_000)
    options = parser.parse_args()
    options.binary = options.binary.resolve()
    print(f"load average at the start: {os.getloadavg()[0]:.1f}")
    print("| command | jobs | seconds | jobs/s | CPU s | peak MiB | requests |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    with tempfile.TemporaryDirectory() as home:
        submit_prefix(options, pathlib.Path(home))
        submit_manifest(options, pathlib.Path(home))


if __name__ == "__main__":
    main()
