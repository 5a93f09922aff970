#!/usr/bin/env python3
"""Counts the recordings about which an English-only model warns that they are in another language.

    scripts/foreign_speech.py --binary target/release/scriptorium --pocketsphinx DIR [--model NAME]

All recordings are real speech, from Debian packages that it fetches into a temporary folder
(`apt-get download`): Asterisk's prompts in five languages, and the words of KTuberling in 15. English is
heard in eight ways, the other languages as they are, over the telephone and in noise. Needs ffmpeg, and
the model in the library of models. Fails if a recording in English gives a warning, other than in noise of
5 dB, or if fewer than nine of ten others do. (Phrases are too short for that: they are only counted.)
"""

import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import wave

PROMPTS = ["en", "es", "fr", "it", "ru"]
WORDS = ["en", "de", "el", "da", "fr", "lt", "uk", "gl", "ca", "ru", "sl", "wa", "nl", "sv", "pt"]
RATE = 16_000
# Seconds between two prompts or words, and at least of each recording.
GAP = 0.7
LENGTH = 40
# A phrase: seconds of a prompt that is a recording of its own.
PHRASE = 2.5


def noise(decibels):
    """Returns ffmpeg's options for pink noise, so many decibels below the speech."""
    return [
        "-filter_complex",
        "anoisesrc=color=pink:sample_rate=16000:amplitude=1:seed=3[noise];"
        "[0:a]loudnorm=I=-20,aresample=16000[speech];"
        f"[noise]loudnorm=I={-20 - decibels},aresample=16000[quiet];"
        "[speech][quiet]amix=inputs=2:duration=first:normalize=0",
    ]


WAYS: dict[str, list[str]] = {
    "as it is": [],
    "telephone": ["-af", "highpass=f=300,lowpass=f=3400,aresample=8000,aresample=16000"],
    "noise, 20 dB": noise(20),
    "noise, 10 dB": noise(10),
    "noise, 5 dB": noise(5),
    "1.2 times as fast": ["-af", "atempo=1.2"],
    "echo": ["-af", "aecho=0.8:0.7:40|70|110:0.5|0.4|0.3"],
    "35 dB quieter": ["-af", "volume=-35dB"],
}
WAYS_OF_OTHERS = ["as it is", "telephone", "noise, 10 dB"]
HARD = "noise, 5 dB"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0])
    parser.add_argument("--binary", type=pathlib.Path, required=True, help="a build of scriptorium")
    parser.add_argument("--pocketsphinx", type=pathlib.Path, required=True,
                        help="the recordings of Debian's pocketsphinx-testdata")  # fmt: skip
    parser.add_argument("--model", default="whisper-tiny.en")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        recordings = make_recordings(folder, arguments.pocketsphinx)
        warnings = transcribe(arguments, folder, recordings)
    rows: dict[tuple[str, str, str], list[bool]] = collections.defaultdict(list)
    for path, group in recordings.items():
        if path.name in warnings:
            rows[group].append(warnings[path.name])
    print("| language | recordings | way | with text | with a warning |")
    print("| --- | --- | --- | --- | --- |")
    for (language, kind, way), found in rows.items():
        print(f"| {language} | {kind} | {way} | {len(found)} | {sum(found)} |")
    english = [found for (language, _, way), found in rows.items()
               if language == "English" and way != HARD]  # fmt: skip
    others = [found for (language, kind, _), found in rows.items()
              if language != "English" and kind != "phrases"]  # fmt: skip
    false = sum(map(sum, english))
    noticed, total = sum(map(sum, others)), sum(map(len, others))
    print(f"\n{false} false warnings; {noticed} of {total} recordings in other languages noticed")
    if false or noticed < 0.9 * total:
        sys.exit("the limit of the warning does not separate English from other languages")


def make_recordings(
    folder: pathlib.Path, pocketsphinx: pathlib.Path
) -> dict[pathlib.Path, tuple[str, str, str]]:
    """Returns the recordings with their group: language, kind and way of hearing."""
    packages = [f"asterisk-core-sounds-{language}-g722" for language in PROMPTS]
    fetch([*packages, "ktuberling-data"], folder)
    (folder / "recordings").mkdir()
    recordings: dict[pathlib.Path, tuple[str, str, str]] = {}

    def add(name: str, samples: bytes, language: str, kind: str) -> None:
        plain = folder / f"{name}.wav"
        write(plain, samples)
        for number, way in enumerate(WAYS if language == "en" else WAYS_OF_OTHERS):
            if kind == "phrases" and way != "as it is":
                continue
            path = folder / "recordings" / f"{name}-{number}.wav"
            ffmpeg("-i", str(plain), *WAYS[way], "-ac", "1", "-ar", str(RATE), str(path))
            recordings[path] = ("English" if language == "en" else "others", kind, way)

    for language in PROMPTS:
        files = files_of(folder / f"asterisk-core-sounds-{language}-g722", "*.g722")
        # 8000 bytes are one second.
        files = [file for file in files if file.stat().st_size > 8000 * PHRASE]
        for number, samples in enumerate(joined(files)):
            add(f"{language}-prompts-{number}", samples, language, "prompts")
        for file in files[-40:]:
            add(f"{language}-phrase-{file.stem}", decode(file), language, "phrases")
    for language in WORDS:
        files = files_of(folder / "ktuberling-data/usr/share/ktuberling/sounds" / language, "*.*")
        for number, samples in enumerate(joined(files)):
            add(f"{language}-words-{number}", samples, language, "words")
    for file in sorted((pocketsphinx / "librivox").glob("*.wav")):
        add(f"en-librivox-{file.stem}", decode(file), "en", "LibriVox")
    return recordings


def fetch(packages: list[str], folder: pathlib.Path) -> None:
    """Fetches Debian packages and unpacks each into a folder of its name."""
    subprocess.run(["apt-get", "download", "-qq", *packages], cwd=folder, check=True)
    for package in packages:
        (archive,) = folder.glob(f"{package}_*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, folder / package], check=True)
        archive.unlink()


def files_of(folder: pathlib.Path, pattern: str) -> list[pathlib.Path]:
    """Returns the files below a folder, in an order that looks random and is always the same."""
    suffixes = {".g722", ".wav", ".ogg"}
    files = sorted(path for path in folder.rglob(pattern) if path.suffix in suffixes)
    random.Random(1).shuffle(files)
    return files


def joined(files: list[pathlib.Path]) -> list[bytes]:
    """Joins files to at most three recordings."""
    recordings: list[bytes] = []
    samples = b""
    for file in files:
        samples += decode(file) + bytes(2 * int(RATE * GAP))
        if len(samples) > 2 * RATE * LENGTH:
            recordings.append(samples)
            samples = b""
        if len(recordings) == 3:
            return recordings
    return [*recordings, samples] if len(samples) > RATE * LENGTH / 2 else recordings


def decode(path: pathlib.Path) -> bytes:
    demuxer = ["-f", "g722"] if path.suffix == ".g722" else []
    return ffmpeg(*demuxer, "-i", str(path), "-ac", "1", "-ar", str(RATE), "-f", "s16le", "-")


def ffmpeg(*options: str) -> bytes:
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *options]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def write(path: pathlib.Path, samples: bytes) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples)


def transcribe(
    arguments: argparse.Namespace,
    folder: pathlib.Path,
    recordings: dict[pathlib.Path, tuple[str, str, str]],
) -> dict[str, bool]:
    """Returns the names of the recordings with text, and whether there is a warning."""
    command = [arguments.binary, "transcribe", folder / "recordings", "--out", folder / "out",
               "--model", arguments.model]  # fmt: skip
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    warnings = {}
    for path in recordings:
        transcript = json.loads((folder / "out" / f"{path.name}.json").read_text(encoding="utf-8"))
        if transcript["segments"]:
            said = transcript["source"].get("warnings", [])
            warnings[path.name] = any("does not sound like" in warning for warning in said)
    return warnings


if __name__ == "__main__":
    main()
