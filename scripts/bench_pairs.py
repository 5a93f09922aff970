"""Inputs of the comparison, and the pairs that are measured on them."""

import contextlib
import random
import sys

import bench_report
import compare
from bench_systems import SCRIPTS, Peer, Scriptorium, Unavailable, command, environment

# How often one side runs per turn; a turn counts as their median.
REPEAT = 3


class Bench:
    """The set-up, the inputs and what was measured so far."""

    def __init__(self, arguments, folder):
        self.arguments, self.folder, self.rows, self.skipped = arguments, folder, [], []
        self.cache = arguments.cache
        self.ours = Scriptorium(arguments.binary)
        self.durations = arguments.durations
        # What `scriptorium bench` said, turn by turn; how many tokens each side wrote.
        self.turns, self.tokens, self.warming = [], {}, False

    # --- Systems and models ---

    def funasr_python(self):
        return environment(self.cache.parent / "compare-funasr" / "venv", "funasr_onnx")

    def onnxruntimes(self, model):
        """Two to start: the version that FunASR's users have, and the newest."""

        def newest():
            python = environment(self.cache / "onnxruntime-newest", "onnxruntime")
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
        return self.inflated("inflate_paraformer.py", fixture, out)

    def sensevoice(self):
        fixtures = SCRIPTS.parent / "tests" / "fixtures"
        return self.inflated("inflate_sensevoice.py", fixtures, self.cache / "sensevoice-small")

    def inflated(self, script, source, out):
        if not (out / "model_quant.onnx").exists():
            print(f"Making {out} (a minute, and 1.2 GB)", file=sys.stderr)
            command([self.funasr_python(), SCRIPTS / script, source, out], script)
        return out

    # --- Inputs ---

    def segment(self, seconds):
        """Real speech of that length, clip after clip without a pause."""
        wav = self.folder / f"segment-{seconds}.wav"
        if not wav.exists():
            samples = b"".join(clips(self.arguments.recordings))
            count = 2 * compare.RATE * seconds
            compare.write_samples(wav, (samples * (count // len(samples) + 1))[:count])
        return wav

    def minutes(self, minutes):
        """Real speech with pauses as between speakers, exactly so long."""
        wav = self.folder / f"minutes-{minutes}.wav"
        if not wav.exists():
            order, samples, count = random.Random(1), b"", 2 * compare.RATE * 60 * minutes
            spoken = clips(self.arguments.recordings)
            while len(samples) < count:
                for clip in order.sample(spoken, len(spoken)):
                    samples += clip + bytes(2 * int(compare.RATE * order.uniform(0.4, 1.5)))
            compare.write_samples(wav, samples[:count])
        return wav

    def features(self, durations):
        """The peers' inputs, as funasr_onnx computes them from the same samples."""
        files = {seconds: self.folder / f"features-{seconds}.npy" for seconds in durations}
        missing = {s: file for s, file in files.items() if not file.exists()}
        if missing:
            with self.funasr_onnx() as peer:
                for seconds, file in missing.items():
                    peer.ask("features", wav=str(self.segment(seconds)), out=str(file))
        return files

    def funasr_onnx(self):
        options = {"vad": self.arguments.vad, "model": self.paraformer()}
        return Peer(self.funasr_python(), "FunasrOnnx", options)

    # --- Pairs ---

    def pairs(self, work, wanted, peers, ours, warm=True):
        """Measures `ours()` against each of `peers` (label -> version, callable), in turns."""
        if warm:
            progress(f"{work}: warming up")
            for _, theirs in peers.values():
                theirs()
            self.warming = True
            self.measured(work, ours)
            self.warming = False
        pairs = {label: [] for label in peers}
        for number in range(1, self.arguments.runs + 1):
            for label, (_, theirs) in peers.items():
                progress(f"{work}: pair {number} of {self.arguments.runs}, {label}")
                pairs[label].append((theirs(), self.measured(work, ours)))
        for label, (version, _) in peers.items():
            self.rows.append(bench_report.row(work, label, version, wanted, pairs[label]))

    def measured(self, work, ours):
        try:
            return ours()
        except Unavailable as reason:
            self.skip(f"Scriptorium at {work}", reason)

    def skip(self, what, reason):
        line = f"{what} left out: {reason}"
        if line not in self.skipped:
            print(f"\n{line}", file=sys.stderr)
            self.skipped.append(line)

    @contextlib.contextmanager
    def available(self, starts):
        """The peers of `starts` (label -> function) that can be had, as label -> peer."""
        with contextlib.ExitStack() as stack:
            peers = {}
            for label, start in starts.items():
                try:
                    progress(f"loading {label}")
                    peers[label] = stack.enter_context(start())
                except Unavailable as reason:
                    self.skip(label, reason)
            yield peers

    def segments(self, name, model, precision, starts, wanted, longest=60):
        """A network on segments of at most `longest` seconds: the peers from features, ours from
        samples."""
        # A minute in f32 takes seconds, and says no more than 20 seconds do.
        longest = min(longest, 20) if precision == "f32" else longest
        durations = [seconds for seconds in self.durations if seconds <= longest]
        files = self.features(durations)
        with self.available(starts) as peers:
            for seconds in durations:
                work = f"{name} {precision}, {seconds} s"
                given = {"features": str(files[seconds]), "repeat": REPEAT}
                theirs = {
                    label: (peer.version, lambda peer=peer, given=given: peer.seconds(**given))
                    for label, peer in peers.items()
                }

                def ours(work=work, seconds=seconds):
                    said = self.bench(work, model, precision, seconds)
                    self.tokens.setdefault(work, {})["scriptorium"] = said["tokens"]
                    return said["cpu_seconds"]

                self.pairs(work, wanted(seconds), theirs, ours)
                for label, peer in peers.items():
                    self.tokens.setdefault(work, {})[label] = peer.said["tokens"]

    def bench(self, work, model, precision, seconds):
        """One turn of ours; `work` is what it is measured for."""
        said = self.ours.bench(model, precision, self.segment(seconds), seconds, REPEAT)
        self.turns.append({"work": work, "warm_up": self.warming} | said)
        return said


def clips(recordings):
    return [compare.read_samples(path) for path in sorted((recordings / "librivox").glob("*.wav"))]


def progress(text):
    print(f"\r{text:<78}"[:79], end="", file=sys.stderr, flush=True)
