#!/usr/bin/env python3
"""Scriptorium beside its peers: ratios of CPU time, one thread, the same weights and recordings.

Peer and ours take turns: every pair is measured within seconds, and a ratio is the median of the
pairs' ratios. What a peer computes is timed inside of its process; ours is timed by `scriptorium bench`
(segments) or as a whole process less start-up (recordings). Where the two sides do not do the same, it
is ours that does more: onnxruntime and PyTorch start from features and stop at scores, ours starts from
samples and ends with text; sherpa-onnx is given the segments that ours has to find.
"""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import bench_report
import compare
from bench_pairs import Bench, progress
from bench_systems import SCRIPTS, Peer, Unavailable, command, environment

# --- What is compared -------------------------------------------------------------------------


def paraformer_int8(bench):
    model = bench.paraformer()
    starts = bench.onnxruntimes(model / "model_quant.onnx")
    bench.segments("Paraformer-large", model, "int8", starts, lambda s: 2.0 if s >= 60 else 1.5)


def paraformer_f32(bench):
    model = bench.paraformer()
    starts = bench.onnxruntimes(model / "model.onnx")
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
    starts = bench.onnxruntimes(model / "model_quant.onnx")
    # It takes no segments longer than that.
    bench.segments("SenseVoiceSmall", model, "int8", starts, lambda _: 1.5, longest=30)


def sherpa_model(python, model, folder):
    """sherpa-onnx's directory made of `model`: made anew when another model was the last."""
    script, stamp = SCRIPTS / "sherpa_model.py", folder / "made-of.txt"
    digest = hashlib.sha256()
    for file in (script, *(model / name for name in ("model_quant.onnx", "tokens.json", "am.mvn"))):
        with open(file, "rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    wanted = digest.hexdigest()
    if not (stamp.exists() and stamp.read_text(encoding="ascii") == wanted):
        stamp.unlink(missing_ok=True)
        command([python, script, model, folder], script.name)
        stamp.write_text(wanted, encoding="ascii")
    return folder


def recordings(bench):
    """From a file to text: all that either side does, less loading."""
    model = bench.paraformer()

    def sherpa():
        python = environment(bench.cache / "sherpa-onnx", "sherpa_onnx")
        folder = sherpa_model(python, model, bench.cache / "paraformer-large-sherpa")
        options = {"model": folder / "model.int8.onnx", "tokens": folder / "tokens.txt"}
        return Peer(python, "SherpaOnnx", options)

    nothing = bench.folder / "nothing.wav"
    compare.write_samples(nothing, bytes(compare.RATE))
    starts = {"funasr_onnx": bench.funasr_onnx, "sherpa-onnx": sherpa}
    with bench.available(starts) as peers:
        if "funasr_onnx" not in peers:
            return
        # Many of the short one: a process takes longer to start than to transcribe it.
        for name, wav, copies in [
            ("10 s", bench.segment(10), 20),
            ("10 min", bench.minutes(10), 1),
        ]:
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

            work = f"wav to text, {name}, Paraformer-large int8"
            bench.pairs(work, 1.8, theirs, ours, warm=copies > 1)


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
    python = bench.cache.parent / "compare" / "venv" / "bin" / "python"
    ask = "import importlib.metadata as m; print(m.version('faster-whisper'))"
    version = command([python, "-c", ask], "faster-whisper").strip()
    for name, group in said["sets"].items():
        ours = group["systems"]["scriptorium"]["cpu"]
        for system in systems:
            theirs = group["systems"][system]["cpu"]
            pair = [one["seconds"] - one["start_up_seconds"] for one in (theirs, ours)]
            label = "faster-whisper, greedy" if system == "faster-whisper" else system
            work = f"wav to text, Whisper tiny.en int8, {name}, {group['audio_seconds']:.0f} s"
            row = bench_report.row(work, label, version, 1.5, [pair])
            # What both took is known only as medians over the turns: one ratio, without a spread.
            bench.rows.append(row | {"ratios": None, "pairs": [], "medians_of_turns": [pair]})


def memory(bench):
    """Loading Paraformer-large int8, and what is resident after it and after 10 s of speech."""
    model = bench.paraformer()
    features = bench.features([10])[10]
    pairs = {}
    for number in range(1, bench.arguments.runs + 1):
        for label, start in bench.onnxruntimes(model / "model_quant.onnx").items():
            progress(f"loading: pair {number} of {bench.arguments.runs}, {label}")
            with bench.available({label: start}) as started:
                if label not in started:
                    continue
                peer = started[label]
                said = peer.ask("run", repeat=1, features=str(features))
            theirs = {
                "load time": peer.loaded["load"]["cpu"],
                "peak memory of loading": peer.loaded["peak_mb"],
                "resident after load": peer.loaded["resident_mb"],
                "peak memory of 10 s": said["peak_mb"],
            }
            said = bench.measured("loading", lambda: bench.bench("loading", model, "int8", 10))
            ours = said and {
                "load time": said["load_seconds"],
                "peak memory of loading": said["load_peak_mb"],
                "resident after load": said["resident_mb"],
                "peak memory of 10 s": said["peak_mb"],
            }
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
    other = "partial.{} if any of the options above is given".format
    for name, suffix in (("json", "json"), ("markdown", "md")):
        text = f"[default: peers.{suffix} in the cache, or {other(suffix)}]"
        parser.add_argument(f"--{name}", type=pathlib.Path, help=text)
    arguments = parser.parse_args()
    # What takes less than all of it is not kept as the last whole measurement.
    settings = ("only", "durations", "runs", "paraformer")
    whole = all(getattr(arguments, name) == parser.get_default(name) for name in settings)
    name = "peers" if whole else "partial"
    arguments.json = arguments.json or arguments.cache / f"{name}.json"
    arguments.markdown = arguments.markdown or arguments.cache / f"{name}.md"
    if unknown := set(arguments.only) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    return arguments


def main():
    arguments = parse()
    started, load = datetime.datetime.now(datetime.UTC), os.getloadavg()[0]
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
            # After each, so that who stops it has what was measured until then.
            report = save(bench, started, load)
    progress("")
    print(f"\r{report}")


def save(bench, started, load):
    """Writes the figures and the table, and returns the table."""
    figures = {
        "date": started.isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": compare.cpu_name(),
        "load_average": {"before": load, "after": os.getloadavg()[0]},
        "runs": bench.arguments.runs,
        "turns": bench.turns,
        "tokens": bench.tokens,
        "rows": bench.rows + bench_report.floor(bench.turns),
        "left_out": bench.skipped,
    }
    report = bench_report.markdown(figures)
    content = json.dumps(figures, indent=2) + "\n"
    bench.arguments.json.write_text(content, encoding="utf-8")
    bench.arguments.markdown.write_text(report + "\n", encoding="utf-8")
    return report


def commit():
    words = ["git", "-C", str(SCRIPTS), "describe", "--always", "--dirty"]
    return subprocess.run(words, text=True, capture_output=True).stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
