#!/usr/bin/env python3
"""Compares who speaks when, by Scriptorium and by its peers, with references: one thread each, the same recordings.

    scripts/compare-speakers.sh [--set dev conversations held eval] [--systems NAME...] [--json FILE]

Sets: `dev`, seven excerpts of 30 s of meetings (AMI), and `conversations`, of real voices with known turns
and excerpts of 2 and 5 s of one person (conversations.py). `eval` (eight more excerpts) and `held` (conversations of other
voices) are for releases: settings chosen after a look at them make them worthless.

The diarization error rate (der.py) is without a collar, and overlapped speech counts. Confusion is what a set of conversations
is for: the edges of its references come from the energy. CPU seconds are those of the process; of Scriptorium, those of the
stage `speakers`, because a transcript needs recognition besides. Words of another: which of the recognized words, in percent, go to
somebody who does not speak then (wder.py). Scriptorium and sherpa-onnx have the same weights. What has
been computed is kept in the cache and not computed again, unless the program or the models have changed.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import wave

import ami
import conversations
import der
import wder
from der import Score, Span

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from bench_systems import ONE_THREAD, Unavailable, error_line, python_environment  # noqa: E402
from compare import cpu_name  # noqa: E402

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parents[1] / "tests/fixtures/speakers"

# The configuration of each variant of Scriptorium; what is not named is the default.
STEP = "SCRIPTORIUM__SPEAKERS__STEP_SECONDS"
SCRIPTORIUM: dict[str, dict[str, str]] = {
    "scriptorium": {},
    "scriptorium, step 1 s": {STEP: "1"},
    "scriptorium, step 2 s": {STEP: "2"},
    "scriptorium, step 5 s": {STEP: "5"},
    "scriptorium, no segmentation network": {"SCRIPTORIUM__MODELS__SPEAKER_SEGMENTATION": "none"},
}
# sherpa-onnx as users have it; with its best threshold on dev of 0.4, 0.5, 0.6 and 0.7; and with embeddings whose negative
# values are 0, as ours.
SHERPA: dict[str, dict] = {
    "sherpa-onnx": {"threshold": 0.5, "rectify": False},
    "sherpa-onnx, threshold 0.7": {"threshold": 0.7, "rectify": False},
    "sherpa-onnx, rectified embeddings": {"threshold": 0.5, "rectify": True},
}
SENKO = "senko"
# 2026-11-24, AMD EPYC, senko 0.2.2 on the CPU with its defaults there (Silero VAD): DER, missed, false alarm, confusion.
SENKO_CITED = {"dev": (32.1, 18.0, 5.0, 9.1), "eval": (59.5, 35.9, 5.8, 17.9)}


@dataclasses.dataclass(frozen=True)
class Recording:
    name: str
    path: pathlib.Path
    seconds: float
    reference: list[Span]
    # Seconds from the start that are scored.
    scored: float


@dataclasses.dataclass
class Row:
    """Results of a system on a set."""

    score: Score = dataclasses.field(default_factory=Score)
    cpu: float = 0.0
    audio: float = 0.0
    # Numbers of speakers of each recording, by the reference and found.
    counts: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    # Words that go to the right and to the wrong speaker, of systems that recognize words.
    words: tuple[int, int] = (0, 0)


# --- Recordings -------------------------------------------------------------------------------------------------------


def recordings(name: str, cache: pathlib.Path) -> dict[str, list[Recording]]:
    """Makes the recordings of a set; one of conversations is two: conversations, and people alone."""
    out = cache / "recordings"
    if name in ("dev", "eval"):
        ami.make(name, out, cache)
        references = der.read_references(FIXTURES / "ami")
        folder, scored = out / f"ami-{name}", ami.SECONDS
        return {name: [recording(folder, each, references[each], scored) for each in (ami.DEV if name == "dev" else ami.EVAL)]}
    part = "dev" if name == "conversations" else "held"
    conversations.make(part, out, cache / "debian")
    references = der.read_references(out / part)
    # The reference ends a little early where a turn did not fit any more.
    every = [recording(out / part, each, turns) for each, turns in sorted(references.items())]
    return {
        name: [each for each in every if each.name.startswith("c")],
        f"{name}, one person for 2 or 5 s": [each for each in every if each.name.startswith("s")],
    }


def recording(folder: pathlib.Path, name: str, reference: list[Span], scored: float | None = None) -> Recording:
    path = folder / f"{name}.wav"
    with wave.open(str(path)) as file:
        seconds = file.getnframes() / file.getframerate()
    return Recording(name, path, seconds, reference, scored or max(turn.end for turn in reference) + 0.5)


# --- Systems ----------------------------------------------------------------------------------------------------------


def scriptorium(label: str, set_: str, given: list[Recording], arguments: argparse.Namespace) -> Row:
    """Transcribes what has no transcript of this configuration yet, which `transcribe` sees for itself."""
    variables = SCRIPTORIUM[label]
    # Another build may find other speakers under the same fingerprint, while both are being developed.
    out = arguments.cache / "out" / digest(arguments.binary) / slug(label) / slug(set_)
    command = [arguments.binary, "transcribe", *(each.path for each in given), "--out", out, "--format", "json",
               "--speakers", "--threads", "1", "--model", arguments.model, "--quiet"]  # fmt: skip
    process = subprocess.run(list(map(str, command)), env=os.environ | variables, capture_output=True, text=True)
    if process.returncode:
        raise Unavailable(f"scriptorium failed: {error_line(process.stderr)}")
    row = Row()
    for each in given:
        path = next(out.rglob(f"{each.name}.wav.json"))
        stages = json.loads(path.read_text("utf-8"))["processing"]["stages"]
        seconds = sum(stage["seconds"] for stage in stages if stage["name"] == "speakers")
        add(row, each, der.read_hypothesis(path), seconds)
        words = wder.score(each.reference, wder.read_words(path))
        row.words = (row.words[0] + words.right, row.words[1] + words.wrong)
    return row


def peer(label: str, set_: str, given: list[Recording], arguments: argparse.Namespace) -> Row:
    """Runs a peer on what has no result yet."""
    kind = "sherpa" if label in SHERPA else "senko"
    python = python_environment(arguments.cache / kind, {"sherpa": "sherpa_onnx", "senko": "senko"}[kind])
    options: dict[str, object] = {}
    if kind == "sherpa":
        models = {"segmentation": arguments.segmentation, "embedding": arguments.embedding}
        options = models | SHERPA[label] | {"cache": arguments.cache / "sherpa-models"}
        label += " " + digest(*models.values())
    out = arguments.cache / "out" / slug(label) / slug(set_)
    out.mkdir(parents=True, exist_ok=True)
    missing = [each for each in given if not (out / f"{each.name}.json").exists()]
    if missing:
        command = [python, "-W", "ignore", HERE / "peers.py", kind, json.dumps(options, default=str)]
        command += [each.path for each in missing]
        variables = os.environ | ONE_THREAD
        with (
            tempfile.TemporaryFile("w+") as log,
            subprocess.Popen(
                list(map(str, command)), env=variables, stdout=subprocess.PIPE, stderr=log, text=True
            ) as process,
        ):
            assert process.stdout is not None
            for each, line in zip(missing, process.stdout):
                part = out / f"{each.name}.part"
                part.write_text(line, "utf-8")
                part.rename(out / f"{each.name}.json")
            if process.wait():
                log.seek(0)
                raise Unavailable(f"{kind} failed: {error_line(log.read())}")
    row = Row()
    for each in given:
        path = out / f"{each.name}.json"
        add(row, each, der.read_hypothesis(path), json.loads(path.read_text("utf-8"))["cpu"])
    return row


def add(row: Row, given: Recording, found: list[Span], cpu: float) -> None:
    score = der.score(given.reference, found, [Span(0.0, given.scored, None)])
    row.score += score
    row.counts.append((score.reference_speakers, score.speakers))
    row.cpu += cpu
    row.audio += given.seconds


def digest(*files: pathlib.Path) -> str:
    found = hashlib.sha256()
    for path in files:
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def slug(label: str) -> str:
    return "".join(c if c.isalnum() or c in ".-" else "-" for c in label)


# --- Table ------------------------------------------------------------------------------------------------------------

HEAD = "| system | DER | missed | false alarm | confusion | right numbers of speakers | wrong ones | words of another | CPU s per hour |"
RULE = "| --- | ---: | ---: | ---: | ---: | ---: | --- | ---: | ---: |"


def line(label: str, row: Row) -> str:
    score = row.score
    wrong = [f"{truth} -> {found}" for truth, found in row.counts if truth != found]
    shown = ", ".join(wrong[:6]) + (f" and {len(wrong) - 6} more" if len(wrong) > 6 else "")
    rates = " | ".join(f"{score.percent(part):.1f}" for part in (score.missed, score.false_alarm, score.confusion))
    right = f"{len(row.counts) - len(wrong)} of {len(row.counts)}"
    words = f"{100 * row.words[1] / sum(row.words):.1f}" if sum(row.words) else ""
    return f"| {label} | **{score.rate:.1f}** | {rates} | {right} | {shown} | {words} | {3600 * row.cpu / row.audio:.0f} |"


def cited(set_: str) -> str:
    rates = " | ".join(f"{rate:.1f}" for rate in SENKO_CITED[set_])
    return f"| {SENKO} 0.2.2, cited, **not measured in this run** | {rates} | | | | |"


def figures(row: Row) -> dict:
    return dataclasses.asdict(row) | {"rate": row.score.rate, "cpu_per_hour": 3600 * row.cpu / row.audio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, required=True, help="a build of scriptorium")
    parser.add_argument("--cache", type=pathlib.Path, required=True, help="folder for recordings and results")
    parser.add_argument("--model", default="whisper-tiny.en", help="the recognizer, which does not matter here")
    parser.add_argument("--segmentation", type=pathlib.Path, required=True, help="the segmentation network, ONNX")
    parser.add_argument("--embedding", type=pathlib.Path, required=True, help="CAM++, ONNX")
    parser.add_argument("--set", nargs="+", choices=["dev", "conversations", "held", "eval", "all"],
                        default=["dev", "conversations"], dest="sets")  # fmt: skip
    names = [*SCRIPTORIUM, *SHERPA, SENKO]
    parser.add_argument("--systems", nargs="+", choices=names, default=names[:-1],
                        help=f"all but {SENKO}, which takes 6 GB to install")  # fmt: skip
    parser.add_argument("--json", type=pathlib.Path, help="file for the figures")
    arguments = parser.parse_args()
    arguments.binary = arguments.binary.resolve()
    sets = ["dev", "conversations", "held", "eval"] if "all" in arguments.sets else arguments.sets
    for name in {"held", "eval"} & set(sets):
        print(f"!! {name} is for evaluation only, once for a release: choose no setting by its figures", file=sys.stderr)
    today = datetime.date.today()
    print(f"{today}, {cpu_name()}, load {os.getloadavg()[0]:.1f}, {arguments.binary}, one thread", flush=True)
    result: dict[str, dict] = {}
    for name in sets:
        for set_, given in recordings(name, arguments.cache).items():
            audio = sum(each.seconds for each in given)
            print(f"\n{set_}: {len(given)} recordings, {audio / 60:.0f} minutes\n\n{HEAD}\n{RULE}", flush=True)
            for label in arguments.systems:
                try:
                    row = (scriptorium if label in SCRIPTORIUM else peer)(label, set_, given, arguments)
                except Unavailable as error:
                    print(f"| {label} | not measured: {error} |", flush=True)
                    continue
                result.setdefault(set_, {})[label] = figures(row)
                print(line(label, row), flush=True)
            if set_ in SENKO_CITED and SENKO not in arguments.systems:
                print(cited(set_), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
