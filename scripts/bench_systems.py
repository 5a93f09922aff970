"""The systems that bench_peers.py compares: peers in their own processes, and Scriptorium."""

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import compare_funasr

SCRIPTS = pathlib.Path(__file__).resolve().parent
# One thread, as a batch worker uses for a recording. Libraries read these when they start.
ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
}


class Unavailable(Exception):
    """A system cannot be measured on this machine; the message states the reason."""


def command(words, what):
    """Runs a command and returns its output; if it fails, raises `Unavailable` with the error."""
    process = subprocess.run(list(map(str, words)), text=True, capture_output=True)
    if process.returncode:
        raise Unavailable(f"{what} failed: {error_line(process.stderr or process.stdout)}")
    return process.stdout


def error_line(output):
    """Returns the last line that contains "error", or else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no output"]
    return next((line for line in reversed(lines) if "error" in line.lower()), lines[-1])


def python_environment(folder, name):
    """Installs scripts/requirements/NAME.txt in a virtual environment in `folder`, unless it is
    installed. Returns the environment's interpreter."""
    python, wanted = folder / "bin" / "python", SCRIPTS / "requirements" / f"{name}.txt"
    # Packages to install without their dependencies, which the modules that we import do not need.
    bare = SCRIPTS / "requirements" / f"{name}-bare.txt"
    text = "".join(path.read_text(encoding="utf-8") for path in (wanted, bare) if path.exists())
    stamp = folder / "installed.txt"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == text:
        return python
    print(f"Installing {name} in {folder}", file=sys.stderr)
    if not python.exists():
        command([sys.executable, "-m", "venv", folder], "python3 -m venv")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command([*pip, "-r", wanted], f"pip install {name}")
    if bare.exists():
        command([*pip, "--no-deps", "-r", bare], f"pip install {name}")
    stamp.write_text(text, encoding="utf-8")
    return python


class Peer:
    """A peer in its own process (bench_peer_process.py) with its model loaded."""

    def __init__(self, python, kind, options, variables=None):
        options = {name: str(value) for name, value in options.items()}
        self.kind = kind
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [python, "-W", "ignore", SCRIPTS / "bench_peer_process.py", kind, json.dumps(options)],
            env=os.environ | ONE_THREAD | (variables or {}),
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
        )  # fmt: skip
        self.load_report = self.read_answer()
        self.version = self.load_report["version"]

    def read_answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise Unavailable(f"the process of {self.kind} ended: {error_line(self.log.read())}")
        return json.loads(line)

    def request(self, action, **inputs):
        # If the process has ended, `read_answer` raises an error with its output.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps({"action": action} | inputs) + "\n")
            self.process.stdin.flush()
        return self.read_answer()

    def cpu_seconds(self, repeat=1, **inputs):
        """Returns the CPU seconds of one run, the median of `repeat` runs."""
        self.last_run = self.request("run", repeat=repeat, **inputs)
        return statistics.median(time["cpu"] for time in self.last_run["times"])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Scriptorium:
    """Scriptorium: `scriptorium bench` for segments, `scriptorium transcribe` for recordings."""

    def __init__(self, binary):
        self.binary = binary
        if not binary.exists():
            raise Unavailable(f"{binary} is missing: run `cargo build --release -p cli`")

    def bench(self, model, precision, wav, seconds, repeat):
        """Runs `scriptorium bench` with one thread: loads the model, then runs the segment."""
        words = [self.binary, "bench", "--model", model.resolve(), "--precision", precision,
                 "--audio", wav, "--durations", str(seconds), "--threads", "1",
                 "--runs", str(repeat), "--json"]  # fmt: skip
        return read_bench(json.loads(command(words, "scriptorium bench")))

    def transcribe(self, model, wavs, folder):
        """Returns the CPU seconds of a whole process that transcribes `wavs`."""
        out = folder / "transcripts"
        words = compare_funasr.scriptorium_command(self.binary, model, wavs, out)
        # `scriptorium transcribe --out` skips recordings whose transcripts are up to date.
        command(["rm", "-rf", out], "rm")
        try:
            return compare_funasr.timed(words, folder / "log")["cpu"]
        except compare_funasr.Failed as failure:
            raise Unavailable(error_line(str(failure))) from failure


def read_bench(report):
    """Extracts the figures of one duration with one thread from `scriptorium bench --json`."""
    segment, memory = report["segments"][0], report["memory"]
    peaks = report["machine"]["peak"]
    return {
        "cpu_seconds": segment["cpu_ms"] / 1e3,
        "tokens": segment["tokens"],
        "peaks": {kind: rate["products_per_second"] / 1e9 for kind, rate in peaks.items()},
        "load_seconds": report["load"]["cpu_seconds"],
        "resident_mb": megabytes(memory["after_load_bytes"]),
        "load_peak_mb": megabytes(memory["load_peak_bytes"]),
        "peak_mb": megabytes(segment["peak_bytes"]),
    }


def megabytes(bytes):
    """Converts bytes to units of 10^6 bytes, as in all our tables; None stays None."""
    return bytes and bytes / 1e6
