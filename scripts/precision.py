#!/usr/bin/env python3
"""Compares int8 and bf16 with f32: word errors, changed tokens, time and memory, in the same build.

    scripts/precision.py --whisper DIR [--seven] [--words DIR] [--paraformer DIR] [--sensevoice DIR]

Whisper and the small trained Paraformer (--words) are compared by word errors. One near-tie between two
words decides four of the 108 words of Whisper's recordings, so they say little about precisions: --seven
hears each recording seven ways (as it is, quieter, noisy, over the telephone, faster, slower, and
compressed) and compares 756 words; it needs ffmpeg. The Paraformer's f32
file is not in the repository; make it with tests/fixtures/words/scripts. The full-size models have
random weights here (scripts/inflate_paraformer.py). Their tokens mean nothing, and the number of
changed tokens only shows how small the margins of random weights are; their time and memory are
those of a trained model. Every run is a process of its own that runs the example
crates/speech/examples/precision.rs. The script builds the example in release mode first, unless
--binary names a build.
"""

import argparse
import array
import json
import math
import os
import pathlib
import random
import subprocess
import tempfile

import compare
import wer

PRECISIONS = ["f32", "bf16", "int8"]
# Ways to hear a recording: name -> arguments of ffmpeg. They change which words are doubtful, not what is said.
WAYS = {
    "as it is": [],
    "quieter": ["-af", "volume=-12dB"],
    "noisy": None,
    "telephone": ["-af", "highpass=f=300,lowpass=f=3400,aresample=8000,aresample=16000"],
    "faster": ["-af", "atempo=1.08"],
    "slower": ["-af", "atempo=0.92"],
    "compressed": ["-c:a", "libopus", "-b:a", "12k"],
}
# Signal-to-noise ratio of `noisy`.
NOISE_DB = 20
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
    parser.add_argument("--whisper", type=pathlib.Path, action="append", default=[],
                        help="the directory of a Whisper model; may be repeated")  # fmt: skip
    parser.add_argument("--seven", action="store_true",
                        help="let Whisper hear each recording seven ways")  # fmt: skip
    for name, text in [
        ("words", "the directory of the small trained Paraformer, with its f32 file"),
        ("paraformer", "the directory of Paraformer-large"),
        ("sensevoice", "the directory of SenseVoiceSmall"),
    ]:
        parser.add_argument(f"--{name}", type=pathlib.Path, help=text)
    parser.add_argument("--json", type=pathlib.Path, help="file for the figures")
    arguments = parser.parse_args()
    binary = arguments.binary or build()

    models = [(directory.name, "whisper", directory) for directory in arguments.whisper]
    for name, family in [
        ("words", "paraformer"),
        ("paraformer", "paraformer"),
        ("sensevoice", "sensevoice"),
    ]:
        if directory := getattr(arguments, name):
            models.append((name, family, directory))
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, family, directory in models:
            recordings = recordings_of(name, family, arguments, pathlib.Path(folder))
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


def recordings_of(name, family, arguments, folder):
    """Returns the recordings as path -> reference text, or None where the text is unknown."""
    if name == "words":
        expected = json.loads((FIXTURES / "words" / "expected.json").read_text(encoding="utf-8"))
        clips = {clip: result["text"] for clip, result in expected.items() if clip != "long"}
        clips["long"] = " ".join(segment["text"] for segment in expected["long"]["segments"])
        return {FIXTURES / "words" / "audio" / f"{clip}.flac": text for clip, text in clips.items()}
    if family != "whisper":
        return {FIXTURES / "frontend" / "speech_10s.wav": None}
    texts = {}
    for path, words in compare.sources(arguments.recordings).items():
        wav = folder / f"{path.stem}.wav"
        compare.write_samples(wav, compare.read_samples(path))
        for file in heard(wav) if arguments.seven else [wav]:
            texts[file] = words
    return texts


def heard(wav):
    """Writes the recording as it sounds in each of the ways, and returns the files."""
    files = []
    for number, (way, options) in enumerate(WAYS.items()):
        file = wav.with_name(f"{wav.stem}-{number}.wav")
        if options is None:
            compare.write_samples(file, noisy(compare.read_samples(wav)))
        elif way == "compressed":
            opus = file.with_suffix(".opus")
            ffmpeg(wav, *options, opus)
            ffmpeg(opus, "-ar", "16000", file)
        else:
            ffmpeg(wav, *options, file)
        files.append(file)
    return files


def ffmpeg(source, *options):
    command = ["ffmpeg", "-y", "-loglevel", "error", "-i", source, *options]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def noisy(samples):
    """Adds white noise, the same on every run."""
    values = array.array("h", samples)
    power = sum(value * value for value in values) / len(values)
    deviation = math.sqrt(power / 10 ** (NOISE_DB / 10))
    rng = random.Random(1)
    mixed = (round(value + rng.gauss(0, deviation)) for value in values)
    return array.array("h", (max(-32768, min(32767, value)) for value in mixed)).tobytes()


def run(binary, family, directory, precision, recordings):
    command = [binary, family, directory, precision, *recordings]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def evaluate(run, f32_run, recordings):
    """Compares a run with the f32 run and with the reference texts."""
    wrong = total = changed = tokens = more = fewer = 0
    differences = []
    for result, f32_result, words in zip(run["heard"], f32_run["heard"], recordings.values()):
        changed += wer.errors(f32_result["tokens"], result["tokens"])
        tokens += len(f32_result["tokens"])
        if result["tokens"] == f32_result["tokens"]:
            pairs = zip(result["log_probabilities"], f32_result["log_probabilities"])
            differences += [a - b for a, b in pairs]
        if words is not None:
            words = wer.normalize(words)
            of_this, of_f32 = (wer.errors(words, wer.normalize(r["text"])) for r in (result, f32_result))
            wrong += of_this
            total += len(words)
            more += of_this > of_f32
            fewer += of_this < of_f32
    squares = sum(difference**2 for difference in differences)
    return {
        "word_errors": [wrong, total] if total else None,
        # Recordings with more and with fewer errors than in f32.
        "more_and_fewer": [more, fewer] if total else None,
        "agreement": 1 - changed / tokens if tokens else None,
        "rms": math.sqrt(squares / len(differences)) if differences else None,
        "most": max(map(abs, differences), default=None),
    } | {key: run[key] for key in ["load_seconds", "seconds", "resident", "peak_of_load", "peak"]}


def table(figures):
    """Formats the figures as a Markdown table."""
    lines = [
        "| model | precision | word errors | recordings with more, fewer than f32 | tokens as in f32 |"
        " log-probability of words: RMS, max |"
        " load, CPU s | memory loaded, peak, MB | recognition, CPU s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for model, precisions in figures.items():
        for precision, row in precisions.items():
            errors = others = "-"
            if row["word_errors"]:
                wrong, total = row["word_errors"]
                errors = f"{wrong} of {total} ({100 * wrong / total:.1f} %)"
                if precision != "f32":
                    others = "{}, {}".format(*row["more_and_fewer"])
            agreement = "-" if row["agreement"] is None else f"{100 * row['agreement']:.1f} %"
            difference = "-"
            if row["rms"] is not None:
                difference = f"{row['rms']:.4f}, {row['most']:.4f}"
            lines.append(
                f"| {model} | {precision} | {errors} | {others} | {agreement} | {difference} |"
                f" {row['load_seconds']:.2f} | {row['resident']}, {row['peak']} |"
                f" {row['seconds']:.2f} |"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
