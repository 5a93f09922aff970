"""Inputs of bench_peers.py, and the measurement of pairs of runs on them."""

import contextlib
import random
import sys

import bench_report
import compare
from bench_systems import SCRIPTS, Peer, Scriptorium, Unavailable, command, python_environment

# Runs per measurement of one side; a measurement is their median.
REPEAT = 3


class Bench:
    """The installed systems, the inputs, and the results so far."""

    def __init__(self, arguments, folder):
        self.arguments, self.folder, self.rows, self.skipped = arguments, folder, [], []
        self.cache = arguments.cache
        self.scriptorium = Scriptorium(arguments.binary)
        self.durations = arguments.durations
        # Every result of `scriptorium bench`, and the number of tokens that each side wrote.
        self.bench_results, self.tokens, self.warming_up = [], {}, False

    # --- Systems and models ---

    def funasr_python(self):
        folder = self.cache.parent / "compare-funasr" / "venv"
        return python_environment(folder, "funasr_onnx")

    def onnxruntimes(self, model):
        """Returns functions that start onnxruntime: the version that FunASR's users have, and the
        newest."""

        def newest():
            python = python_environment(self.cache / "onnxruntime-newest", "onnxruntime")
            return Peer(python, "OnnxRuntime", {"model": model})

        return {
            "onnxruntime 1.20.1": lambda: Peer(
                self.funasr_python(), "OnnxRuntime", {"model": model}
            ),
            "onnxruntime, newest": newest,
        }

    def paraformer(self):
        if self.arguments.paraformer:
            return self.arguments.paraformer
        fixture = SCRIPTS.parent / "tests" / "fixtures" / "funasr-large"
        out = self.cache.parent / "compare-funasr" / "paraformer-large"
        return self.inflate("inflate_paraformer.py", fixture, out)

    def sensevoice(self):
        fixtures = SCRIPTS.parent / "tests" / "fixtures"
        return self.inflate("inflate_sensevoice.py", fixtures, self.cache / "sensevoice-small")

    def inflate(self, script, source, out):
        """Makes the model in `out` with `script` unless it exists, and returns `out`."""
        if not (out / "model_quant.onnx").exists():
            print(f"Making {out} (takes a minute and 1.2 GB)", file=sys.stderr)
            command([self.funasr_python(), SCRIPTS / script, source, out], script)
        return out

    # --- Inputs ---

    def segment(self, seconds):
        """Returns a WAV of this length: recorded speech, clips joined without pauses."""
        wav = self.folder / f"segment-{seconds}.wav"
        if not wav.exists():
            samples = b"".join(clips(self.arguments.recordings))
            count = 2 * compare.RATE * seconds
            compare.write_samples(wav, (samples * (count // len(samples) + 1))[:count])
        return wav

    def recording(self, minutes):
        """Returns a WAV of exactly this length: recorded speech with pauses as between speakers."""
        wav = self.folder / f"minutes-{minutes}.wav"
        if not wav.exists():
            rng, samples, count = random.Random(1), b"", 2 * compare.RATE * 60 * minutes
            speech = clips(self.arguments.recordings)
            while len(samples) < count:
                for clip in rng.sample(speech, len(speech)):
                    samples += clip + bytes(2 * int(compare.RATE * rng.uniform(0.4, 1.5)))
            compare.write_samples(wav, samples[:count])
        return wav

    def features(self, durations):
        """Returns the features that funasr_onnx computes of each segment, as the peers' input."""
        files = {seconds: self.folder / f"features-{seconds}.npy" for seconds in durations}
        missing = {s: file for s, file in files.items() if not file.exists()}
        if missing:
            with self.funasr_onnx() as peer:
                for seconds, file in missing.items():
                    peer.request("features", wav=str(self.segment(seconds)), out=str(file))
        return files

    def funasr_onnx(self):
        options = {"vad": self.arguments.vad, "model": self.paraformer()}
        return Peer(self.funasr_python(), "FunasrOnnx", options)

    # --- Pairs ---

    def measure_pairs(self, work, goal, peers, run_scriptorium, warm_up=True):
        """Measures pairs: one run of a peer, then `run_scriptorium`, for each peer alternately.

        `peers` maps labels to (version, function that runs the peer). Each function returns CPU
        seconds.
        """
        if warm_up:
            progress(f"{work}: warming up")
            for _, run_peer in peers.values():
                run_peer()
            self.warming_up = True
            self.try_scriptorium(work, run_scriptorium)
            self.warming_up = False
        pairs = {label: [] for label in peers}
        for number in range(1, self.arguments.runs + 1):
            for label, (_, run_peer) in peers.items():
                progress(f"{work}: pair {number} of {self.arguments.runs}, {label}")
                pairs[label].append((run_peer(), self.try_scriptorium(work, run_scriptorium)))
        for label, (version, _) in peers.items():
            self.rows.append(bench_report.row(work, label, version, goal, pairs[label]))

    def try_scriptorium(self, work, run_scriptorium):
        """Returns the result of `run_scriptorium`, or None and a note in the report if it fails."""
        try:
            return run_scriptorium()
        except Unavailable as reason:
            self.skip(f"Scriptorium at {work}", reason)

    def skip(self, what, reason):
        """Notes in the report that `what` was not measured."""
        line = f"{what} left out: {reason}"
        if line not in self.skipped:
            print(f"\n{line}", file=sys.stderr)
            self.skipped.append(line)

    @contextlib.contextmanager
    def available(self, starts):
        """Starts the peers of `starts` (label -> function); yields label -> peer for those that
        started."""
        with contextlib.ExitStack() as stack:
            peers = {}
            for label, start in starts.items():
                try:
                    progress(f"loading {label}")
                    peers[label] = stack.enter_context(start())
                except Unavailable as reason:
                    self.skip(label, reason)
            yield peers

    def compare_segments(self, name, model, precision, starts, goal, max_seconds=60):
        """Compares a network on segments of at most `max_seconds`.

        The peers start from features, Scriptorium from samples. `goal` maps the length of a segment
        to the ratio that we want to reach.
        """
        # A minute in f32 takes seconds to compute and shows nothing that 20 seconds do not show.
        max_seconds = min(max_seconds, 20) if precision == "f32" else max_seconds
        durations = [seconds for seconds in self.durations if seconds <= max_seconds]
        files = self.features(durations)
        with self.available(starts) as peers:
            for seconds in durations:
                work = f"{name} {precision}, {seconds} s"
                inputs = {"features": str(files[seconds]), "repeat": REPEAT}
                run_peers = {
                    label: (peer.version, lambda peer=peer, given=inputs: peer.cpu_seconds(**given))
                    for label, peer in peers.items()
                }

                def run_scriptorium(work=work, seconds=seconds):
                    result = self.bench(work, model, precision, seconds)
                    self.tokens.setdefault(work, {})["scriptorium"] = result["tokens"]
                    return result["cpu_seconds"]

                self.measure_pairs(work, goal(seconds), run_peers, run_scriptorium)
                for label, peer in peers.items():
                    self.tokens.setdefault(work, {})[label] = peer.last_run["tokens"]

    def bench(self, work, model, precision, seconds):
        """Runs `scriptorium bench` once and records the result under `work`."""
        segment = self.segment(seconds)
        result = self.scriptorium.bench(model, precision, segment, seconds, REPEAT)
        self.bench_results.append({"work": work, "warm_up": self.warming_up} | result)
        return result


def clips(recordings):
    return [compare.read_samples(path) for path in sorted((recordings / "librivox").glob("*.wav"))]


def progress(text):
    print(f"\r{text:<78}"[:79], end="", file=sys.stderr, flush=True)
