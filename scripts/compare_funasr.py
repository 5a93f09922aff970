#!/usr/bin/env python3
"""Scriptorium beside funasr_onnx: agreement of each stage, and speed, one thread each.

Both read the same model files at int8. Agreement is looked at stage by stage: features (largest
difference), voice activity (segments in milliseconds), tokens (of all tokens of the peer, the share
that stands in ours in the same order). Speeds are those of whole processes, CPU time from the kernel
(wait4), less what a run on half a second of silence takes: starting and loading. The systems take
turns.
"""

import argparse
import difflib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import compare

SYSTEMS = ("scriptorium", "funasr_onnx")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    for name in ("binary", "stages", "vad", "small", "large", "recordings"):
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path, help="write the figures here")
    parser.add_argument("--peer", choices=("stages", "transcribe"), help=argparse.SUPPRESS)
    parser.add_argument("--model", type=pathlib.Path, help=argparse.SUPPRESS)
    parser.add_argument("files", nargs="*", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return peer(arguments)

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        sets = make_recordings(arguments, folder)
        figures = {
            "cpu": compare.cpu_name(),
            "agreement": {name: agreement(arguments, *of) for name, of in sets.items()},
            "speed": speed(arguments, sets, folder),
            "load_average": os.getloadavg(),
            "runs": arguments.runs,
        }
    print(table(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def make_recordings(arguments, folder):
    """name -> (model directory, wavs)"""
    import soundfile

    small, clips = [], []
    for path in sorted((arguments.small / "audio").glob("*.flac")):
        samples, _ = soundfile.read(path, dtype="int16")
        compare.write_samples(folder / f"{path.stem}.wav", samples.tobytes())
        small.append(folder / f"{path.stem}.wav")
    for path in sorted((arguments.recordings / "librivox").glob("*.wav")):
        compare.write_samples(folder / path.name, compare.read_samples(path))
        clips.append(folder / path.name)
    samples = [compare.read_samples(path) + bytes(compare.RATE) for path in clips]
    minutes = folder / "minutes.wav"
    compare.write_samples(minutes, b"".join(samples * 5))
    return {
        "trained words": (arguments.small / "model", small),
        "large, LibriVox": (arguments.large, clips),
        "large, minutes": (arguments.large, [minutes]),
    }


# --- The peer's own process -------------------------------------------------------------------


class FunasrOnnx:
    """The peer as its README uses it, one thread."""

    def __init__(self, vad, model):
        import logging

        logging.disable(logging.CRITICAL)
        from funasr_onnx import Fsmn_vad, Paraformer

        self.vad = Fsmn_vad(str(vad), batch_size=1, intra_op_num_threads=1)
        self.model = Paraformer(str(model), batch_size=1, quantize=True, intra_op_num_threads=1)
        self.ids = {token: id for id, token in enumerate(self.model.converter.token_list)}

    def segments(self, samples):
        """[start, end] of what is spoken, in milliseconds."""
        segments = self.vad(samples)[0]
        return segments[0] if segments and isinstance(segments[0][0], list) else segments

    def transcribe(self, samples):
        pieces = [self.model(piece) for piece in cut(samples, self.segments(samples))]
        return " ".join(result["preds"][0] for results in pieces for result in results)

    def tokens(self, piece):
        features, frames = self.model.extract_feat([piece])
        try:
            scores, count = self.model.infer(features, frames)[:2]
            return [self.ids[token] for token in self.model.decode_one(scores[0], int(count[0]))]
        except Exception:  # "input wav is silence or noise"
            return []

    def features(self, samples):
        """[frames, 560], stacked and normalized."""
        return self.model.extract_feat([samples])[0][0]


def cut(samples, segments):
    return [samples[start * 16 : min(end * 16, len(samples))] for start, end in segments]


def read_floats(file):
    import numpy as np

    return np.frombuffer(compare.read_samples(pathlib.Path(file)), "<i2").astype(np.float32) / 32768


def peer(arguments):
    system = FunasrOnnx(arguments.vad, arguments.model)
    results = []
    for samples in map(read_floats, arguments.files):
        if arguments.peer == "transcribe":
            results.append(system.transcribe(samples))
            continue
        segments = system.segments(samples)
        tokens = [system.tokens(piece) for piece in cut(samples, segments)]
        features = system.features(samples).tolist()
        results.append({"segments": segments, "tokens": tokens, "features": features})
    print(json.dumps(results))


# --- Agreement --------------------------------------------------------------------------------


def agreement(arguments, model, files):
    files = [str(file) for file in files]
    ours = json.loads(output([arguments.stages, arguments.vad, model, *files]))
    theirs = json.loads(output(peer_command(arguments, "stages", model, files)))
    largest, equal, segments, found, tokens = 0.0, 0, 0, 0, 0
    for mine, other in zip(ours, theirs, strict=True):
        for a, b in zip(mine["features"], other["features"], strict=True):
            largest = max(largest, max(abs(x - y) for x, y in zip(a, b, strict=True)))
        segments += len(other["segments"])
        equal += len({tuple(s) for s in mine["segments"]} & {tuple(s) for s in other["segments"]})
        mine, other = sum(mine["tokens"], []), sum(other["tokens"], [])
        tokens += len(other)
        blocks = difflib.SequenceMatcher(None, mine, other, autojunk=False).get_matching_blocks()
        found += sum(block.size for block in blocks)
    return {"recordings": len(files), "largest_feature_difference": largest,
            "segments": segments, "segments_equal": equal,
            "tokens": tokens, "tokens_agreed": found}  # fmt: skip


def output(command):
    return subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE).stdout


def peer_command(arguments, what, model, files):
    names = ("binary", "stages", "vad", "small", "large", "recordings")
    options = [word for name in names for word in (f"--{name}", getattr(arguments, name))]
    return [sys.executable, __file__, *options, "--peer", what, "--model", model, *files]


# --- Speed ------------------------------------------------------------------------------------


def speed(arguments, sets, folder):
    nothing = folder / "nothing.wav"
    compare.write_samples(nothing, bytes(compare.RATE))
    runs = []
    for number in range(1, arguments.runs + 1):
        for name, (model, files) in sets.items():
            for system in SYSTEMS:
                progress = f"run {number} of {arguments.runs}: {name}, {system}"
                print(f"\r{progress:<70}", end="", file=sys.stderr, flush=True)
                whole = run(arguments, system, model, files)
                start = run(arguments, system, model, [nothing])
                runs.append({"set": name, "system": system, "start": start["cpu"]} | whole)
    print(f"\r{'':<70}\r", end="", file=sys.stderr, flush=True)

    figures = {}
    for name, (_, files) in sets.items():
        audio = sum(len(compare.read_samples(file)) / 2 / compare.RATE for file in files)
        figures[name] = {"audio_seconds": audio}
        for system in SYSTEMS:
            of = [r for r in runs if (r["set"], r["system"]) == (name, system)]
            figures[name][system] = {
                "cpu_seconds": statistics.median(r["cpu"] - r["start"] for r in of),
                "start_up_seconds": statistics.median(r["start"] for r in of),
                "memory_mb": statistics.median(r["memory_mb"] for r in of),
            }
    return figures


def run(arguments, system, model, files):
    with tempfile.TemporaryDirectory() as out:
        if system == "scriptorium":
            command = our_command(arguments.binary, model, files, out)
        else:
            command = peer_command(arguments, "transcribe", model, files)
        return timed(command, pathlib.Path(out) / "log")


def our_command(binary, model, files, out):
    return [binary, "transcribe", *files, "--out", out, "--threads", "1",
            "--model", model.resolve(), "--punctuation-model", "none"]  # fmt: skip


class Failed(Exception):
    """A process that ended with an error, and what it said."""


def timed(command, log):
    """Runs a process; its seconds and its peak memory as the kernel counted them."""
    with open(log, "w+b") as file:
        begun = time.monotonic()
        process = subprocess.Popen(list(map(str, command)), stdout=file, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            file.seek(0)
            raise Failed(f"{command[0]} failed:\n{file.read().decode(errors='replace')}")
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": time.monotonic() - begun,
            "memory_mb": compare.megabytes(usage.ru_maxrss)}  # fmt: skip


def table(figures):
    lines = [
        f"int8, one thread, {figures['cpu']}; medians of {figures['runs']} runs; load average "
        f"{figures['load_average'][0]:.1f} (speeds are to be trusted only when it is near 1)",
        "",
        f"{'agreement':20}{'recordings':>11}{'features within':>17}{'VAD segments':>14}{'tokens':>18}",
    ]
    for name, row in figures["agreement"].items():
        share = 100 * row["tokens_agreed"] / max(row["tokens"], 1)
        lines.append(
            f"{name:20}{row['recordings']:>11}{row['largest_feature_difference']:>17.1e}"
            f"{row['segments_equal']:>10} / {row['segments']}"
            f"{row['tokens_agreed']:>8} / {row['tokens']} {share:.0f} %"
        )
    lines += ["", f"{'speed':20}{'audio s':>8}{'CPU s':>9}{'x real time':>13}{'start s':>9}{'MB':>7}"]
    for name, row in figures["speed"].items():
        for system in SYSTEMS:
            of = row[system]
            lines.append(
                f"{name + ', ' + system:32}"[:32] + f"{row['audio_seconds']:>6.0f}"
                f"{of['cpu_seconds']:>9.2f}{row['audio_seconds'] / of['cpu_seconds']:>8.1f}"
                f"{of['start_up_seconds']:>9.2f}{of['memory_mb']:>7.0f}"
            )
        ratio = row["funasr_onnx"]["cpu_seconds"] / row["scriptorium"]["cpu_seconds"]
        lines.append(f"{'':20}ratio of CPU time, theirs to ours: {ratio:.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"\n{failure}")
