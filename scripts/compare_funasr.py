#!/usr/bin/env python3
"""Compares Scriptorium with funasr_onnx: agreement of each stage, and speed, one thread each.

Both read the same int8 model files. Agreement is measured per stage: features (largest difference),
voice activity (equal segments in milliseconds), tokens (the share of the peer's tokens that
Scriptorium also writes, in the same order). Speeds are those of whole processes: CPU time from the
kernel (wait4), minus the time of a run on half a second of silence, which is start-up and loading.
The runs of the systems alternate.
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
    for name, text in [
        ("binary", "a build of scriptorium"),
        ("stages", "a build of the example funasr_stages"),
        ("vad", "the directory of FSMN-VAD"),
        ("small", "tests/fixtures/words: a small trained Paraformer and its recordings"),
        ("large", "the directory of Paraformer-large"),
        ("recordings", "the directory of pocketsphinx-testdata"),
    ]:
        parser.add_argument(f"--{name}", type=pathlib.Path, required=True, help=text)
    parser.add_argument("--runs", type=int, default=3, help="runs per system and set of recordings")
    parser.add_argument("--json", type=pathlib.Path, help="file for the figures")
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
            "agreement": {
                name: agreement(arguments, model, files) for name, (model, files) in sets.items()
            },
            "speed": speed(arguments, sets, folder),
            "load_average": os.getloadavg(),
            "runs": arguments.runs,
        }
    print(table(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def make_recordings(arguments, folder):
    """Writes the recordings and returns the sets: name -> (model directory, wavs)."""
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
    """The peer, used as in its README, with one thread."""

    def __init__(self, vad, model):
        import logging

        logging.disable(logging.CRITICAL)
        from funasr_onnx import Fsmn_vad, Paraformer

        self.vad = Fsmn_vad(str(vad), batch_size=1, intra_op_num_threads=1)
        self.model = Paraformer(str(model), batch_size=1, quantize=True, intra_op_num_threads=1)
        self.ids = {token: id for id, token in enumerate(self.model.converter.token_list)}

    def segments(self, samples):
        """Returns [start, end] of each segment of speech in milliseconds."""
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
        """Returns the features [frames, 560], stacked and normalized."""
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
    our_stages = json.loads(output([arguments.stages, arguments.vad, model, *files]))
    peer_stages = json.loads(output(peer_command(arguments, "stages", model, files)))
    max_difference, equal_segments, segments, equal_tokens, tokens = 0.0, 0, 0, 0, 0
    for ours, theirs in zip(our_stages, peer_stages, strict=True):
        for a, b in zip(ours["features"], theirs["features"], strict=True):
            difference = max(abs(x - y) for x, y in zip(a, b, strict=True))
            max_difference = max(max_difference, difference)
        segments += len(theirs["segments"])
        our_segments = {tuple(segment) for segment in ours["segments"]}
        equal_segments += len(our_segments & {tuple(segment) for segment in theirs["segments"]})
        our_tokens, peer_tokens = sum(ours["tokens"], []), sum(theirs["tokens"], [])
        tokens += len(peer_tokens)
        matcher = difflib.SequenceMatcher(None, our_tokens, peer_tokens, autojunk=False)
        equal_tokens += sum(block.size for block in matcher.get_matching_blocks())
    return {"recordings": len(files), "largest_feature_difference": max_difference,
            "segments": segments, "segments_equal": equal_segments,
            "tokens": tokens, "tokens_agreed": equal_tokens}  # fmt: skip


def output(command):
    return subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE).stdout


def peer_command(arguments, action, model, files):
    names = ("binary", "stages", "vad", "small", "large", "recordings")
    options = [word for name in names for word in (f"--{name}", getattr(arguments, name))]
    return [sys.executable, __file__, *options, "--peer", action, "--model", model, *files]


# --- Speed ------------------------------------------------------------------------------------


def speed(arguments, sets, folder):
    silence = folder / "nothing.wav"
    compare.write_samples(silence, bytes(compare.RATE))
    runs = []
    for number in range(1, arguments.runs + 1):
        for name, (model, files) in sets.items():
            for system in SYSTEMS:
                progress = f"run {number} of {arguments.runs}: {name}, {system}"
                print(f"\r{progress:<70}", end="", file=sys.stderr, flush=True)
                whole = run(arguments, system, model, files)
                start_up = run(arguments, system, model, [silence])
                runs.append({"set": name, "system": system, "start_up": start_up["cpu"]} | whole)
    print(f"\r{'':<70}\r", end="", file=sys.stderr, flush=True)

    figures = {}
    for name, (_, files) in sets.items():
        audio = sum(len(compare.read_samples(file)) / 2 / compare.RATE for file in files)
        figures[name] = {"audio_seconds": audio}
        for system in SYSTEMS:
            matching = [r for r in runs if (r["set"], r["system"]) == (name, system)]
            figures[name][system] = {
                "cpu_seconds": statistics.median(r["cpu"] - r["start_up"] for r in matching),
                "start_up_seconds": statistics.median(r["start_up"] for r in matching),
                "memory_mb": statistics.median(r["memory_mb"] for r in matching),
            }
    return figures


def run(arguments, system, model, files):
    with tempfile.TemporaryDirectory() as out:
        if system == "scriptorium":
            command = scriptorium_command(arguments.binary, model, files, out)
        else:
            command = peer_command(arguments, "transcribe", model, files)
        return timed(command, pathlib.Path(out) / "log")


def scriptorium_command(binary, model, files, out):
    return [binary, "transcribe", *files, "--out", out, "--threads", "1",
            "--model", model.resolve(), "--punctuation-model", "none"]  # fmt: skip


class Failed(Exception):
    """A process ended with an error; the message has its output."""


def timed(command, log):
    """Runs a process and returns its seconds and peak memory."""
    with open(log, "w+b") as file:
        start = time.monotonic()
        process = subprocess.Popen(list(map(str, command)), stdout=file, stderr=file)
        status, usage, peak = compare.wait(process)
        if status:
            file.seek(0)
            raise Failed(f"{command[0]} failed:\n{file.read().decode(errors='replace')}")
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": time.monotonic() - start,
            "memory_mb": peak}  # fmt: skip


def table(figures):
    """Formats the figures as text."""
    lines = [
        f"int8, one thread, {figures['cpu']}; medians of {figures['runs']} runs; load average "
        f"{figures['load_average'][0]:.1f} (speeds are reliable only if it is near 1)",
        "",
        f"{'agreement':20}{'recordings':>11}{'features within':>17}{'VAD segments':>14}"
        f"{'tokens':>18}",
    ]
    for name, row in figures["agreement"].items():
        share = 100 * row["tokens_agreed"] / max(row["tokens"], 1)
        lines.append(
            f"{name:20}{row['recordings']:>11}{row['largest_feature_difference']:>17.1e}"
            f"{row['segments_equal']:>10} / {row['segments']}"
            f"{row['tokens_agreed']:>8} / {row['tokens']} {share:.0f} %"
        )
    lines += [
        "",
        f"{'speed':20}{'audio s':>8}{'CPU s':>9}{'x real time':>13}{'start s':>9}{'MB':>7}",
    ]
    for name, row in figures["speed"].items():
        for system in SYSTEMS:
            medians = row[system]
            speed = row["audio_seconds"] / medians["cpu_seconds"]
            lines.append(
                f"{name + ', ' + system:32}"[:32] + f"{row['audio_seconds']:>6.0f}"
                f"{medians['cpu_seconds']:>9.2f}{speed:>8.1f}"
                f"{medians['start_up_seconds']:>9.2f}{medians['memory_mb']:>7.0f}"
            )
        ratio = row["funasr_onnx"]["cpu_seconds"] / row["scriptorium"]["cpu_seconds"]
        lines.append(f"{'':20}CPU time of funasr_onnx over Scriptorium's: {ratio:.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"\n{failure}")
