#!/usr/bin/env python3
"""Compares Scriptorium's CPU time with its peers': one thread, the same weights and recordings.

Runs of a peer and of Scriptorium alternate: the two runs of a pair are seconds apart, and a ratio
is the median of the pairs' ratios. A peer's computation is timed inside its process; Scriptorium's
is timed by `scriptorium bench` (segments) or as a whole process minus start-up (recordings). Where
the work differs, Scriptorium does more: onnxruntime and PyTorch start from features and stop at
scores, Scriptorium starts from samples and ends with text; sherpa-onnx is given the segments that
Scriptorium has to find.
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
from bench_parakeet import parakeet
from bench_segmentation import segmentation
from bench_speaker_encoder import speaker_encoder
from bench_systems import SCRIPTS, Peer, Unavailable, command, python_environment

# --- Comparisons ------------------------------------------------------------------------------


def paraformer_int8(bench):
    model = bench.paraformer()
    starts = bench.onnxruntimes(model / "model_quant.onnx")
    goal = lambda seconds: 2.0 if seconds >= 60 else 1.5  # noqa: E731
    bench.compare_segments("Paraformer-large", model, "int8", starts, goal)


def paraformer_f32(bench):
    model = bench.paraformer()
    starts = bench.onnxruntimes(model / "model.onnx")
    bench.compare_segments("Paraformer-large", model, "f32", starts, lambda _: 1.0)


def paraformer_bf16(bench):
    model = bench.paraformer()

    def start(mode, variables):
        python = python_environment(bench.cache / "torch", "torch")
        return Peer(python, "Torch", {"model": model / "model.onnx", "mode": mode}, variables)

    starts = {
        "PyTorch, autocast": lambda: start("autocast", {}),
        "PyTorch, fast-math": lambda: start("fast-math", {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16"}),
    }
    bench.compare_segments("Paraformer-large", model, "bf16", starts, lambda _: 1.5)


def sensevoice_int8(bench):
    model = bench.sensevoice()
    starts = bench.onnxruntimes(model / "model_quant.onnx")
    # The model accepts at most 30 s.
    bench.compare_segments("SenseVoiceSmall", model, "int8", starts, lambda _: 1.5, max_seconds=30)


def sherpa_model(python, model, folder):
    """Makes sherpa-onnx's model directory in `folder`, unless it was made from the same `model`."""
    script, stamp = SCRIPTS / "sherpa_model.py", folder / "made-of.txt"
    digest = hashlib.sha256()
    for file in (script, *(model / name for name in ("model_quant.onnx", "tokens.json", "am.mvn"))):
        with open(file, "rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    source = digest.hexdigest()
    if not (stamp.exists() and stamp.read_text(encoding="ascii") == source):
        stamp.unlink(missing_ok=True)
        command([python, script, model, folder], script.name)
        stamp.write_text(source, encoding="ascii")
    return folder


def recordings(bench):
    """Compares transcription from a file to text: all work of either side except loading."""
    model = bench.paraformer()

    def sherpa():
        python = python_environment(bench.cache / "sherpa-onnx", "sherpa_onnx")
        folder = sherpa_model(python, model, bench.cache / "paraformer-large-sherpa")
        options = {"model": folder / "model.int8.onnx", "tokens": folder / "tokens.txt"}
        return Peer(python, "SherpaOnnx", options)

    silence = bench.folder / "nothing.wav"
    compare.write_samples(silence, bytes(compare.RATE))
    starts = {"funasr_onnx": bench.funasr_onnx, "sherpa-onnx": sherpa}
    with bench.available(starts) as peers:
        if "funasr_onnx" not in peers:
            return
        # Copies of the short one, because a process takes longer to start than to transcribe it.
        for name, wav, copies in [
            ("10 s", bench.segment(10), 20),
            ("10 min", bench.recording(10), 1),
        ]:
            segments = peers["funasr_onnx"].request("segments", wav=str(wav))["segments"]
            inputs = {"funasr_onnx": {"wav": str(wav)},
                      "sherpa-onnx": {"wav": str(wav), "segments": segments}}  # fmt: skip
            run_peers = {
                label: (
                    peer.version,
                    lambda peer=peer, given=inputs[label]: peer.cpu_seconds(**given),
                )
                for label, peer in peers.items()
            }
            wavs = [wav] + [bench.folder / f"copy-{number}.wav" for number in range(1, copies)]
            for copy in wavs[1:]:
                copy.write_bytes(wav.read_bytes())

            def run_scriptorium(wavs=wavs):
                whole = bench.scriptorium.transcribe(model, wavs, bench.folder)
                start_up = bench.scriptorium.transcribe(model, [silence], bench.folder)
                return (whole - start_up) / len(wavs)

            work = f"wav to text, {name}, Paraformer-large int8"
            bench.measure_pairs(work, 1.8, run_peers, run_scriptorium, warm_up=copies > 1)


def whisper(bench):
    """Runs scripts/compare.sh and adds its figures to the table."""
    figures = bench.folder / "whisper.json"
    systems = ["faster-whisper", "faster-whisper, batched"]
    words = [SCRIPTS / "compare.sh", "--runs", bench.arguments.runs, "--json", figures,
             "--systems", "scriptorium", *systems]  # fmt: skip
    progress("Whisper tiny.en: scripts/compare.sh")
    if subprocess.run(list(map(str, words)), stdout=subprocess.DEVNULL).returncode:
        raise Unavailable("scripts/compare.sh failed")
    report = json.loads(figures.read_text(encoding="utf-8"))
    python = bench.cache.parent / "compare" / "venv" / "bin" / "python"
    code = "import importlib.metadata as m; print(m.version('faster-whisper'))"
    version = command([python, "-c", code], "faster-whisper").strip()
    for name, group in report["sets"].items():
        ours = group["systems"]["scriptorium"]["cpu"]
        for system in systems:
            theirs = group["systems"][system]["cpu"]
            pair = [side["seconds"] - side["start_up_seconds"] for side in (theirs, ours)]
            label = "faster-whisper, greedy" if system == "faster-whisper" else system
            work = f"wav to text, Whisper tiny.en int8, {name}, {group['audio_seconds']:.0f} s"
            row = bench_report.row(work, label, version, 1.5, [pair])
            # compare.py reports only medians over its runs, so there is one ratio without a range.
            bench.rows.append(row | {"ratios": None, "pairs": [], "medians_of_turns": [pair]})


def memory(bench):
    """Compares loading Paraformer-large int8: time, memory after it and after 10 s of speech."""
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
                run = peer.request("run", repeat=1, features=str(features))
            theirs = {
                "load time": peer.load_report["load"]["cpu"],
                "peak memory of loading": peer.load_report["peak_mb"],
                "resident after load": peer.load_report["resident_mb"],
                "peak memory of 10 s": run["peak_mb"],
            }
            result = bench.try_scriptorium(
                "loading", lambda: bench.bench("loading", model, "int8", 10)
            )
            ours = result and {
                "load time": result["load_seconds"],
                "peak memory of loading": result["load_peak_mb"],
                "resident after load": result["resident_mb"],
                "peak memory of 10 s": result["peak_mb"],
            }
            pairs.setdefault((label, peer.version), []).append((theirs, ours))
    goals = {"load time": "at most 1 s", "resident after load": "at most 350 MB"}
    for (label, version), measured in pairs.items():
        for figure in measured[0][0]:
            values = [(theirs[figure], ours and ours[figure]) for theirs, ours in measured]
            unit = "s" if figure == "load time" else "MB"
            work = f"{figure}, Paraformer-large int8"
            row = bench_report.row(work, label, version, goals.get(figure), values, unit)
            bench.rows.append(row)


SECTIONS = {
    "paraformer-int8": paraformer_int8,
    "paraformer-f32": paraformer_f32,
    "paraformer-bf16": paraformer_bf16,
    "sensevoice-int8": sensevoice_int8,
    "parakeet": parakeet,
    "segmentation": segmentation,
    "speaker-encoder": speaker_encoder,
    "recordings": recordings,
    "whisper": whisper,
    "memory": memory,
}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    words = lambda text: text.split(",")  # noqa: E731
    for name, text in [
        ("binary", "a release build of scriptorium"),
        ("vad", "the directory of FSMN-VAD"),
        ("recordings", "the directory of pocketsphinx-testdata"),
        ("cache", "a directory for the peers, models and results"),
    ]:
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True, help=text)
    parser.add_argument("--only", type=words, default=list(SECTIONS), metavar="SECTIONS",
                        help=f"some of {','.join(SECTIONS)}")  # fmt: skip
    parser.add_argument("--durations", type=lambda text: [int(s) for s in words(text)],
                        default=[5, 10, 20, 60],
                        help="lengths of the segments in seconds")  # fmt: skip
    parser.add_argument("--runs", type=int, default=5, help="pairs per row")
    parser.add_argument("--paraformer", type=pathlib.Path,
                        help="a Paraformer-large directory with int8 and f32 files")  # fmt: skip
    for name, suffix, text in (("json", "json", "figures"), ("markdown", "md", "table")):
        text = (f"file for the {text} [default: peers.{suffix} in the cache; partial.{suffix} with "
                "--only, --durations, --runs or --paraformer]")  # fmt: skip
        parser.add_argument(f"--{name}", type=pathlib.Path, help=text)
    arguments = parser.parse_args()
    # A partial measurement does not overwrite the last complete one.
    settings = ("only", "durations", "runs", "paraformer")
    complete = all(getattr(arguments, name) == parser.get_default(name) for name in settings)
    name = "peers" if complete else "partial"
    arguments.json = arguments.json or arguments.cache / f"{name}.json"
    arguments.markdown = arguments.markdown or arguments.cache / f"{name}.md"
    if unknown := set(arguments.only) - set(SECTIONS):
        parser.error(f"unknown sections: {', '.join(sorted(unknown))}")
    return arguments


def main():
    arguments = parse()
    started, load = datetime.datetime.now(datetime.UTC), os.getloadavg()[0]
    if load > 0.7:
        print(f"Load average {load:.1f}: this machine is busy. Times are unreliable, ratios less "
              "so; an idle machine gives better figures.", file=sys.stderr)  # fmt: skip
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
            # After each section, so that an interrupted run keeps the results so far.
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
        "turns": bench.bench_results,
        "tokens": bench.tokens,
        "rows": bench.rows + bench_report.arithmetic_floor(bench.bench_results),
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
