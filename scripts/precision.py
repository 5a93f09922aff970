#!/usr/bin/env python3
"""Compares int8 and bf16 with f32: word errors, changed tokens, time and memory, in the same build.

    scripts/precision.py --whisper DIR [--words DIR] [--paraformer DIR] [--sensevoice DIR]

Whisper and the small trained Paraformer (--words) are compared by word errors. The Paraformer's f32
file is not in the repository; make it with tests/fixtures/words/scripts. The full-size models have
random weights here (scripts/inflate_paraformer.py). Their tokens mean nothing, and the number of
changed tokens only shows how small the margins of random weights are; their time and memory are
those of a trained model. Every run is a process of its own that runs the example
crates/speech/examples/precision.rs. The script builds the example in release mode first, unless
--binary names a build.
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
    parser.add_argument("--binary", type=pathlib.Path,
                        help="a build of the example `precision` [default: build it]")  # fmt: skip
    parser.add_argument("--recordings", type=pathlib.Path,
                        default=pathlib.Path("/usr/share/pocketsphinx/test/data"),
                        help="the directory of pocketsphinx-testdata")  # fmt: skip
    for name, text in [
        ("whisper", "the directory of a Whisper model"),
        ("words", "the directory of the small trained Paraformer, with its f32 file"),
        ("paraformer", "the directory of Paraformer-large"),
        ("sensevoice", "the directory of SenseVoiceSmall"),
    ]:
        parser.add_argument(f"--{name}", type=pathlib.Path, help=text)
    parser.add_argument("--json", type=pathlib.Path, help="file for the figures")
    arguments = parser.parse_args()
    binary = arguments.binary or build()

    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, family in [
            ("whisper", "whisper"),
            ("words", "paraformer"),
            ("paraformer", "paraformer"),
            ("sensevoice", "sensevoice"),
        ]:
            if directory := getattr(arguments, name):
                recordings = recordings_of(name, arguments, pathlib.Path(folder))
                runs = {p: run(binary, family, directory, p, recordings) for p in PRECISIONS}
                if any((directory / file).exists() for file in QUANTIZED):
                    out = pathlib.Path(folder) / f"{name}-f32"
                    unquantized = link_without_quantized(directory, out)
                    runs["int8, quantized when loaded"] = run(
                        binary, family, unquantized, "int8", recordings
                    )
                figures[name] = {
                    precision: evaluate(result, runs["f32"], recordings)
                    for precision, result in runs.items()
                }
    print(table(figures))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def build():
    """Builds the example in release mode and returns its path."""
    subprocess.run(
        ["cargo", "build", "--release", "--locked", "-p", "speech", "--example", "precision"],
        cwd=ROOT, check=True,
    )  # fmt: skip
    # Relative paths are relative to cargo's working directory.
    target = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
    return target / "release" / "examples" / "precision"


def link_without_quantized(directory, out):
    """Makes a directory of links to the model's files, without its quantized files."""
    out.mkdir()
    for file in directory.iterdir():
        if file.name not in QUANTIZED:
            (out / file.name).symlink_to(file.resolve())
    return out


def recordings_of(name, arguments, folder):
    """Returns the recordings as path -> reference text, or None where the text is unknown."""
    if name == "words":
        expected = json.loads((FIXTURES / "words" / "expected.json").read_text(encoding="utf-8"))
        clips = {clip: result["text"] for clip, result in expected.items() if clip != "long"}
        clips["long"] = " ".join(segment["text"] for segment in expected["long"]["segments"])
        return {FIXTURES / "words" / "audio" / f"{clip}.flac": text for clip, text in clips.items()}
    if name != "whisper":
        return {FIXTURES / "frontend" / "speech_10s.wav": None}
    texts = {}
    for path, words in compare.sources(arguments.recordings).items():
        wav = folder / f"{path.stem}.wav"
        compare.write_samples(wav, compare.read_samples(path))
        texts[wav] = words
    return texts


def run(binary, family, directory, precision, recordings):
    command = [binary, family, directory, precision, *recordings]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def evaluate(run, f32_run, recordings):
    """Compares a run with the f32 run and with the reference texts."""
    wrong = total = changed = tokens = 0
    differences = []
    for result, f32_result, words in zip(run["heard"], f32_run["heard"], recordings.values()):
        changed += wer.errors(f32_result["tokens"], result["tokens"])
        tokens += len(f32_result["tokens"])
        if result["tokens"] == f32_result["tokens"]:
            pairs = zip(result["log_probabilities"], f32_result["log_probabilities"])
            differences += [a - b for a, b in pairs]
        if words is not None:
            words = wer.normalize(words)
            wrong += wer.errors(words, wer.normalize(result["text"]))
            total += len(words)
    squares = sum(difference**2 for difference in differences)
    return {
        "word_errors": [wrong, total] if total else None,
        "agreement": 1 - changed / tokens if tokens else None,
        "rms": math.sqrt(squares / len(differences)) if differences else None,
        "most": max(map(abs, differences), default=None),
    } | {key: run[key] for key in ["load_seconds", "seconds", "resident", "peak_of_load", "peak"]}


def table(figures):
    """Formats the figures as a Markdown table."""
    lines = [
        "| model | precision | word errors | tokens as in f32 |"
        " log-probability of words: RMS, max |"
        " load, CPU s | memory loaded, peak, MB | recognition, CPU s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for model, precisions in figures.items():
        for precision, row in precisions.items():
            errors = "-"
            if row["word_errors"]:
                wrong, total = row["word_errors"]
                errors = f"{wrong} of {total} ({100 * wrong / total:.1f} %)"
            agreement = "-" if row["agreement"] is None else f"{100 * row['agreement']:.1f} %"
            difference = "-"
            if row["rms"] is not None:
                difference = f"{row['rms']:.4f}, {row['most']:.4f}"
            lines.append(
                f"| {model} | {precision} | {errors} | {agreement} | {difference} |"
                f" {row['load_seconds']:.2f} | {row['resident']}, {row['peak']} |"
                f" {row['seconds']:.2f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
