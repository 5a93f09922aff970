#!/usr/bin/env python3
"""What precision costs and what it changes: int8 and bf16 beside f32, in the same build.

    scripts/precision.py --whisper DIR [--words DIR] [--paraformer DIR] [--sensevoice DIR]

Whisper and the trained words Paraformer (whose file of floats is not in the repository; make it with
tests/fixtures/words/scripts) are judged by their word errors. The full-size models have random
weights here (scripts/inflate_paraformer.py): their tokens mean nothing, and how many of them change
says how small the margins of random weights are; time and memory are what a trained model takes.
Every run is a process of its own. The program that runs (crates/speech/examples/precision.rs) is built
first, in release mode, unless --binary names one.
"""

import argparse
import json
import math
import os
import pathlib
import subprocess
import tempfile

import compare
import wer

PRECISIONS = ["f32", "bf16", "int8"]
QUANTIZED = ["model_quant.onnx", "model.int8.onnx", "model_eb_quant.onnx"]
ROOT = pathlib.Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--binary", type=pathlib.Path, help="a build of the example `precision`")
    parser.add_argument(
        "--recordings", type=pathlib.Path, default=pathlib.Path("/usr/share/pocketsphinx/test/data")
    )
    for family in ["whisper", "words", "paraformer", "sensevoice"]:
        parser.add_argument(f"--{family}", type=pathlib.Path, help="a model directory")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures here")
    arguments = parser.parse_args()
    binary = arguments.binary or build()

    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, family in [("whisper", "whisper"), ("words", "paraformer"),
                             ("paraformer", "paraformer"), ("sensevoice", "sensevoice")]:
            if directory := getattr(arguments, name):
                recordings = recordings_of(name, arguments, pathlib.Path(folder))
                runs = {p: run(binary, family, directory, p, recordings) for p in PRECISIONS}
                if any((directory / file).exists() for file in QUANTIZED):
                    floats = floats_of(directory, pathlib.Path(folder) / f"{name}-floats")
                    quantized_now = run(binary, family, floats, "int8", recordings)
                    runs["int8, quantized when loaded"] = quantized_now
                figures[name] = {p: judge(of, runs["f32"], recordings) for p, of in runs.items()}
    print(table(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def build():
    """Builds the example in release mode and returns its path."""
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "-p", "speech", "--example", "precision"],
        cwd=ROOT, check=True,
    )  # fmt: skip
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return target / "release" / "examples" / "precision"


def floats_of(directory, out):
    """The same model without its quantized files."""
    out.mkdir()
    for file in directory.iterdir():
        if file.name not in QUANTIZED:
            (out / file.name).symlink_to(file.resolve())
    return out


def recordings_of(name, arguments, folder):
    """Path -> words, or None where nobody knows them."""
    if name == "words":
        expected = json.loads((FIXTURES / "words" / "expected.json").read_text(encoding="utf-8"))
        clips = {clip: said["text"] for clip, said in expected.items() if clip != "long"}
        clips["long"] = " ".join(segment["text"] for segment in expected["long"]["segments"])
        return {FIXTURES / "words" / "audio" / f"{clip}.flac": text for clip, text in clips.items()}
    if name != "whisper":
        return {FIXTURES / "frontend" / "speech_10s.wav": None}
    found = {}
    for path, words in compare.sources(arguments.recordings).items():
        wav = folder / f"{path.stem}.wav"
        compare.write_samples(wav, compare.read_samples(path))
        found[wav] = words
    return found


def run(binary, family, directory, precision, recordings):
    command = [binary, family, directory, precision, *recordings]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def judge(run, exact, recordings):
    wrong = total = changed = tokens = 0
    differences = []
    for heard, reference, words in zip(run["heard"], exact["heard"], recordings.values()):
        changed += wer.errors(reference["tokens"], heard["tokens"])
        tokens += len(reference["tokens"])
        if heard["tokens"] == reference["tokens"]:
            pairs = zip(heard["log_probabilities"], reference["log_probabilities"])
            differences += [a - b for a, b in pairs]
        if words is not None:
            words = wer.normalise(words)
            wrong += wer.errors(words, wer.normalise(heard["text"]))
            total += len(words)
    squares = sum(difference**2 for difference in differences)
    return {
        "word_errors": [wrong, total] if total else None,
        "agreement": 1 - changed / tokens if tokens else None,
        "rms": math.sqrt(squares / len(differences)) if differences else None,
        "most": max(map(abs, differences), default=None),
    } | {key: run[key] for key in ["load_seconds", "seconds", "resident", "peak_of_load", "peak"]}


def table(figures):
    lines = [
        "| model | precision | word errors | tokens as in f32 | log-probability of words: RMS, most |"
        " load, CPU s | memory loaded, peak, MB | recognition, CPU s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for model, precisions in figures.items():
        for precision, found in precisions.items():
            errors = "-"
            if found["word_errors"]:
                wrong, total = found["word_errors"]
                errors = f"{wrong} of {total} ({100 * wrong / total:.1f} %)"
            agreement = "-" if found["agreement"] is None else f"{100 * found['agreement']:.1f} %"
            difference = "-"
            if found["rms"] is not None:
                difference = f"{found['rms']:.4f}, {found['most']:.4f}"
            lines.append(
                f"| {model} | {precision} | {errors} | {agreement} | {difference} |"
                f" {found['load_seconds']:.2f} | {found['resident']}, {found['peak']} |"
                f" {found['seconds']:.2f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
