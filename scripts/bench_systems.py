"""The two sides of a comparison: peers, each in a process that stays, and Scriptorium."""

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
# What a batch worker gives a recording. Libraries read these at start.
ONE_THREAD = {
    name: "1"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
}


class Unavailable(Exception):
    """A system that cannot be measured here, and why."""


def command(words, what):
    """Runs a step of the set-up; its output only matters when it fails."""
    process = subprocess.run(list(map(str, words)), text=True, capture_output=True)
    if process.returncode:
        raise Unavailable(f"{what} failed: {complaint(process.stderr or process.stdout)}")
    return process.stdout


def complaint(output):
    """The line that says what was wrong: the last one with an error in it, or the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no output"]
    return next((line for line in reversed(lines) if "error" in line.lower()), lines[-1])


def environment(folder, name):
    """The interpreter of the virtual environment in `folder` with scripts/requirements/NAME.txt."""
    python, wanted = folder / "bin" / "python", SCRIPTS / "requirements" / f"{name}.txt"
    # Without what they say they need: the parts that are used import without it.
    bare = SCRIPTS / "requirements" / f"{name}-bare.txt"
    text = "".join(path.read_text(encoding="utf-8") for path in (wanted, bare) if path.exists())
    stamp = folder / "installed.txt"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == text:
        return python
    print(f"Setting up {name} in {folder}", file=sys.stderr)
    if not python.exists():
        command([sys.executable, "-m", "venv", folder], "python3 -m venv")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command([*pip, "-r", wanted], f"pip install {name}")
    if bare.exists():
        command([*pip, "--no-deps", "-r", bare], f"pip install {name}")
    stamp.write_text(text, encoding="utf-8")
    return python


class Peer:
    """One peer in its own process (bench_serve.py), loaded and waiting."""

    def __init__(self, python, kind, options, variables=None):
        options = {name: str(value) for name, value in options.items()}
        self.kind = kind
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [python, "-W", "ignore", SCRIPTS / "bench_serve.py", kind, json.dumps(options)],
            env=os.environ | ONE_THREAD | (variables or {}),
            text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
        )  # fmt: skip
        self.loaded = self.answer()
        self.version = self.loaded["version"]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise Unavailable(f"{self.kind} ended: {complaint(self.log.read())}")
        return json.loads(line)

    def ask(self, what, **request):
        with contextlib.suppress(BrokenPipeError):  # it has ended, and `answer` says of what
            self.process.stdin.write(json.dumps({"do": what} | request) + "\n")
            self.process.stdin.flush()
        return self.answer()

    def seconds(self, repeat=1, **inputs):
        """CPU seconds of one run, the median of `repeat`."""
        self.said = self.ask("run", repeat=repeat, **inputs)
        return statistics.median(time["cpu"] for time in self.said["times"])

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
    """Ours: `scriptorium bench` for segments, `scriptorium transcribe` for whole recordings."""

    def __init__(self, binary):
        self.binary = binary
        if not binary.exists():
            raise Unavailable(f"{binary} is missing: run `cargo build --release -p cli`")

    def bench(self, model, precision, wav, seconds, repeat):
        """One process: loads the model, then runs the segment, one thread."""
        words = [self.binary, "bench", "--model", model.resolve(), "--precision", precision,
                 "--audio", wav, "--durations", str(seconds), "--threads", "1",
                 "--runs", str(repeat), "--json"]  # fmt: skip
        return read_bench(json.loads(command(words, "scriptorium bench")))

    def transcribe(self, model, wavs, folder):
        """CPU seconds of a whole process that transcribes `wavs`."""
        out = folder / "ours"
        words = compare_funasr.our_command(self.binary, model, wavs, out)
        # With --out, what is up to date is skipped.
        command(["rm", "-rf", out], "rm")
        try:
            return compare_funasr.timed(words, folder / "log")["cpu"]
        except compare_funasr.Failed as failure:
            raise Unavailable(complaint(str(failure))) from failure


def read_bench(said):
    """What this comparison needs of `scriptorium bench --json`, one duration, one thread."""
    segment, memory = said["segments"][0], said["memory"]
    peaks = said["machine"]["peak"]
    return {
        "cpu_seconds": segment["cpu_ms"] / 1e3,
        "tokens": segment["tokens"],
        "peaks": {kind: rate["products_per_second"] / 1e9 for kind, rate in peaks.items()},
        "load_seconds": said["load"]["cpu_seconds"],
        "resident_mb": megabytes(memory["after_load_bytes"]),
        "load_peak_mb": megabytes(memory["load_peak_bytes"]),
        "peak_mb": megabytes(segment["peak_bytes"]),
    }


def megabytes(bytes):
    """10^6 bytes, as in every table of ours; None where the system does not tell."""
    return bytes and bytes / 1e6
