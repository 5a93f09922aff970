#!/usr/bin/env python3
"""Scriptorium beside its peers: ratios of CPU time, one thread, the same weights and recordings.

Peer and ours take turns: every pair is measured within seconds, and a ratio is the median of the
pairs' ratios. What a peer computes is timed inside of its process; ours is timed by `scriptorium bench`
(segments) or as a whole process less start-up (recordings). Where the two sides do not do the same, it
is ours that does more: onnxruntime and PyTorch start from features and stop at scores, ours starts from
samples and ends with text; sherpa-onnx is given the segments that ours has to find.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

import bench_report
import compare
from bench_systems import SCRIPTS, Peer, Scriptorium, Unavailable, command, environment

# How often one side runs per turn; a turn counts as their median.
REPEAT = 3
PRECISIONS = {"int8": "model_quant.onnx", "f32": "model.onnx", "bf16": "model.onnx"}


class Bench:
    """The set-up, the inputs and what was measured so far."""

    def __init__(self, arguments, folder):
        self.arguments, self.folder, self.rows, self.skipped = arguments, folder, [], []
        self.cache = arguments.cache
        self.ours = Scriptorium(arguments.binary)
        self.durations = arguments.durations
        self.tokens = {}
        self.peaks = None

    # --- Systems and models ---

    def funasr_python(self):
        return environment(self.cache.parent / "compare-funasr" / "venv", "funasr_onnx")

    def onnxruntimes(self):
        """Interpreters by label: the version that FunASR's users have, and the newest."""
        newest = environment(self.cache / "onnxruntime-newest", "onnxruntime")
        return {"onnxruntime 1.20.1": self.funasr_python(), "onnxruntime, newest": newest}

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

    def pairs(self, work, wanted, peers, ours):
        """Measures `ours()` against each of `peers` (label -> version, callable), in turns."""
        progress(f"{work}: warming up")
        for _, theirs in peers.values():
            theirs()
        mine = self.measured(ours)
        pairs = {label: [] for label in peers}
        for number in range(1, self.arguments.runs + 1):
            for label, (_, theirs) in peers.items():
                progress(f"{work}: pair {number} of {self.arguments.runs}, {label}")
                pairs[label].append((theirs(), ours() if mine is not None else None))
        for label, (version, _) in peers.items():
            self.rows.append(bench_report.row(work, label, version, wanted, pairs[label]))

    def measured(self, ours):
        try:
            return ours()
        except Unavailable as reason:
            self.skip("scriptorium", reason)

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

    def segments(self, name, model, precision, starts, wanted):
        """A network on segments: the peers from features, ours from samples."""
        durations = self.durations if precision != "f32" else [s for s in self.durations if s <= 20]
        files = self.features(durations)
        with self.available(starts) as peers:
            for seconds in durations:
                theirs = {
                    label: (peer.version, lambda peer=peer: self.run(peer, files[seconds]))
                    for label, peer in peers.items()
                }
                wav = self.segment(seconds)
                self.pairs(
                    f"{name} {precision}, {seconds} s", wanted(seconds), theirs,
                    lambda: self.bench(model, precision, wav, seconds)["seconds"],
                )  # fmt: skip
            for peer in peers.values():
                for seconds in durations:
                    said = peer.ask("run", repeat=1, features=str(files[seconds]))
                    self.tokens.setdefault((name, seconds), said["tokens"])

    def run(self, peer, features):
        return peer.seconds(repeat=REPEAT, features=str(features))

    def bench(self, model, precision, wav, seconds):
        said = self.ours.bench(model, precision, wav, seconds, REPEAT)
        self.peaks = self.peaks or said["peaks"]
        return said

    def start_onnxruntimes(self, model):
        return {
            label: lambda python=python: Peer(python, "OnnxRuntime", {"model": model})
            for label, python in self.onnxruntimes().items()
        }


# --- What is compared -------------------------------------------------------------------------


def paraformer_int8(bench):
    model = bench.paraformer()
    starts = bench.start_onnxruntimes(model / "model_quant.onnx")
    bench.segments("Paraformer-large", model, "int8", starts, lambda s: 2.0 if s >= 60 else 1.5)


def paraformer_f32(bench):
    model = bench.paraformer()
    starts = bench.start_onnxruntimes(model / "model.onnx")
    bench.segments("Paraformer-large", model, "f32", starts, lambda _: 1.0)


def paraformer_bf16(bench):
    model = bench.paraformer()

    def start(mode, variables):
        python = environment(bench.cache / "torch", "torch")
        return Peer(python, "Torch", {"model": model / "model.onnx", "mode": mode}, variables)

    starts = {
        "PyTorch, autocast": lambda: start("autocast", {}),
        "PyTorch, fast-math": lambda: start("fast-math", {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}),
    }
    bench.segments("Paraformer-large", model, "bf16", starts, lambda _: 1.5)


def sensevoice_int8(bench):
    model = bench.sensevoice()
    starts = bench.start_onnxruntimes(model / "model_quant.onnx")
    bench.segments("SenseVoiceSmall", model, "int8", starts, lambda _: 1.5)


def recordings(bench):
    """From a file to text: all that either side does, less loading."""
    model = bench.paraformer()

    def sherpa():
        python = environment(bench.cache / "sherpa-onnx", "sherpa_onnx")
        folder = bench.cache / "paraformer-large-sherpa"
        if not (folder / "model.int8.onnx").exists():
            command([python, SCRIPTS / "sherpa_model.py", model, folder], "sherpa_model.py")
        options = {"model": folder / "model.int8.onnx", "tokens": folder / "tokens.txt"}
        return Peer(python, "SherpaOnnx", options)

    nothing = bench.folder / "nothing.wav"
    compare.write_samples(nothing, bytes(compare.RATE))
    starts = {"funasr_onnx": bench.funasr_onnx, "sherpa-onnx": sherpa}
    with bench.available(starts) as peers:
        if "funasr_onnx" not in peers:
            return
        # Many of the short one: a process takes longer to start than to transcribe it.
        for name, wav, copies in [("10 s", bench.segment(10), 20), ("10 min", bench.minutes(10), 1)]:
            segments = peers["funasr_onnx"].ask("segments", wav=str(wav))["segments"]
            inputs = {"funasr_onnx": {"wav": str(wav)},
                      "sherpa-onnx": {"wav": str(wav), "segments": segments}}  # fmt: skip
            theirs = {
                label: (peer.version, lambda peer=peer, given=inputs[label]: peer.seconds(**given))
                for label, peer in peers.items()
            }
            wavs = [wav] + [bench.folder / f"copy-{number}.wav" for number in range(1, copies)]
            for copy in wavs[1:]:
                copy.write_bytes(wav.read_bytes())

            def ours(wavs=wavs):
                whole = bench.ours.transcribe(model, wavs, bench.folder)
                start = bench.ours.transcribe(model, [nothing], bench.folder)
                return (whole - start) / len(wavs)

            bench.pairs(f"wav to text, {name}, Paraformer-large int8", 1.8, theirs, ours)


def whisper(bench):
    """scripts/compare.sh measures this; here its figures are brought into the same table."""
    figures = bench.folder / "whisper.json"
    systems = ["faster-whisper", "faster-whisper, batched"]
    words = [SCRIPTS / "compare.sh", "--runs", bench.arguments.runs, "--json", figures,
             "--systems", "scriptorium", *systems]  # fmt: skip
    progress("Whisper tiny.en: scripts/compare.sh")
    if subprocess.run(list(map(str, words)), stdout=subprocess.DEVNULL).returncode:
        raise Unavailable("scripts/compare.sh failed")
    said = json.loads(figures.read_text(encoding="utf-8"))
    for name, group in said["sets"].items():
        ours = group["systems"]["scriptorium"]["cpu"]
        for system in systems:
            theirs = group["systems"][system]["cpu"]
            pair = [one["seconds"] - one["start_up_seconds"] for one in (theirs, ours)]
            label = "faster-whisper, greedy" if system == "faster-whisper" else system
            work = f"wav to text, Whisper tiny.en int8, {name}, {group['audio_seconds']:.0f} s"
            bench.rows.append(bench_report.row(work, label, "1.2.1", 1.5, [pair]))


def memory(bench):
    """Loading Paraformer-large int8, and what is resident after it and after 10 s of speech."""
    model = bench.paraformer()
    features, wav = bench.features([10])[10], bench.segment(10)
    pairs = {}
    for number in range(1, bench.arguments.runs + 1):
        for label, start in bench.start_onnxruntimes(model / "model_quant.onnx").items():
            progress(f"loading: pair {number} of {bench.arguments.runs}, {label}")
            with start() as peer:
                said = peer.ask("run", repeat=1, features=str(features))
            theirs = {"load time": peer.loaded["load"]["cpu"],
                      "resident after load": peer.loaded["resident_mb"],
                      "resident after 10 s": said["resident_mb"]}  # fmt: skip
            said = bench.measured(lambda: bench.bench(model, "int8", wav, 10))
            ours = said and {"load time": said["load_seconds"],
                             "resident after load": said["resident_mb"],
                             "resident after 10 s": said["peak_mb"]}  # fmt: skip
            pairs.setdefault((label, peer.version), []).append((theirs, ours))
    wanted = {"load time": "at most 1 s", "resident after load": "at most 350 MB"}
    for (label, version), turns in pairs.items():
        for what in turns[0][0]:
            of = [(theirs[what], ours and ours[what]) for theirs, ours in turns]
            unit = "s" if what == "load time" else "MB"
            work = f"{what}, Paraformer-large int8"
            bench.rows.append(bench_report.row(work, label, version, wanted.get(what), of, unit))


SECTIONS = {
    "paraformer-int8": paraformer_int8,
    "paraformer-f32": paraformer_f32,
    "paraformer-bf16": paraformer_bf16,
    "sensevoice-int8": sensevoice_int8,
    "recordings": recordings,
    "whisper": whisper,
    "memory": memory,
}


def clips(recordings):
    return [compare.read_samples(path) for path in sorted((recordings / "librivox").glob("*.wav"))]


def progress(text):
    print(f"\r{text:<78}"[:79], end="", file=sys.stderr, flush=True)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    words = lambda text: text.split(",")  # noqa: E731
    for name in ("binary", "vad", "recordings", "cache"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--only", type=words, default=list(SECTIONS), metavar="SECTIONS",
                        help=f"some of {','.join(SECTIONS)}")  # fmt: skip
    parser.add_argument("--durations", type=lambda text: [int(s) for s in words(text)],
                        default=[5, 10, 20, 60], help="of segments, in seconds")  # fmt: skip
    parser.add_argument("--runs", type=int, default=5, help="pairs per row")
    parser.add_argument("--paraformer", type=pathlib.Path, help="a model directory, int8 and float")
    parser.add_argument("--json", type=pathlib.Path, help="[default: peers.json in the cache]")
    parser.add_argument("--markdown", type=pathlib.Path, help="[default: peers.md in the cache]")
    arguments = parser.parse_args()
    if unknown := set(arguments.only) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    return arguments


def main():
    arguments = parse()
    load = os.getloadavg()[0]
    if load > 0.7:
        print(f"Load average {load:.1f}: this machine is busy; ratios are safer than times, and both "
              "are safer on an idle one.", file=sys.stderr)  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        try:
            bench = Bench(arguments, pathlib.Path(folder))
        except Unavailable as reason:
            sys.exit(str(reason))
        for name in arguments.only:
            try:
                SECTIONS[name](bench)
            except Unavailable as reason:
                bench.skip(name, reason)
        progress("")
        figures = {
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "cpu": compare.cpu_name(),
            "load_average": {"before": load, "after": os.getloadavg()[0]},
            "runs": arguments.runs,
            "peaks_gmac_per_second": bench.peaks,
            "rows": bench.rows + bench_report.floor(bench.rows, bench.tokens, bench.peaks),
            "left_out": bench.skipped,
        }
    report = bench_report.markdown(figures)
    print(f"\r{report}")
    for path, text in [(arguments.json or arguments.cache / "peers.json", json.dumps(figures, indent=2)),
                       (arguments.markdown or arguments.cache / "peers.md", report)]:  # fmt: skip
        path.write_text(text + "\n", encoding="utf-8")


def commit():
    words = ["git", "-C", str(SCRIPTS), "describe", "--always", "--dirty"]
    return subprocess.run(words, text=True, capture_output=True).stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
