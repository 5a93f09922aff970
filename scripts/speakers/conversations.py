#!/usr/bin/env python3
"""Makes conversations of real voices whose turns are known.

    conversations.py OUT [--cache DIRECTORY]   (needs numpy, ffmpeg, apt-get and dpkg-deb)

Writes NAME.wav and NAME.rttm to OUT/dev and OUT/held: conversations of one to five people, from 28 s to 10 minutes, half of
the turns shorter than 3 s, 15 % of them begun before the one before has ended; and excerpts of 2 and 5 s of one person. What
is made depends on nothing but this file and its sources. Existing files stay.

`dev` is to tune on: three readers of LibriSpeech (tests/fixtures/speakers/conversations) and two announcers of Asterisk.
`held` has other voices, all of them as over the telephone (8 kHz): five announcers of Asterisk, from Debian packages. These
speak four languages between them, which makes it easier to tell them apart than colleagues in a meeting.

The edges of the references come from the energy: who breathes or pauses for less than 0.25 s keeps talking. So 6 to 14 % of
missed speech and false alarms are the reference's own. What counts here are confusion and the numbers of speakers.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import random
import subprocess
import sys
import wave

import numpy as np
from der import Span, read_references

RATE = 16_000
FIXTURES = pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/speakers/conversations"
# Root mean square of every voice, before each conversation's own gains.
LEVEL = 0.05
# Seconds of each voice that are used at most: the longest prompts.
MATERIAL = 240
# Numbers of speakers and seconds.
CONVERSATIONS = [(2, 600), (3, 600), (4, 600), (5, 600), (2, 60), (3, 60), (4, 60), (1, 120), (2, 28), (2, 29)]  # fmt: skip
# Of each voice, for each of 2 and 5 s.
SOLOS = 4


@dataclasses.dataclass(frozen=True)
class Announcer:
    name: str
    package: str
    suffix: str


# The Spanish prompts of asterisk-core-sounds-es are left out: by her voice, the speaker may be that of the English ones.
DEV = [
    Announcer("allison", "asterisk-core-sounds-en-g722", ".g722"),
    Announcer("june", "asterisk-core-sounds-fr-g722", ".g722"),
]
HELD = [
    Announcer("maxim", "asterisk-core-sounds-ru-g722", ".g722"),
    Announcer("carlo", "asterisk-core-sounds-it-g722", ".g722"),
    Announcer("july", "asterisk-prompt-es-co", ".gsm"),
    Announcer("armelle", "asterisk-prompt-fr-armelle", ".gsm"),
    Announcer("paola", "asterisk-prompt-it-menardi-wav", ".wav"),
]

Samples = np.ndarray

# --- Voices -----------------------------------------------------------------------------------------------------------


def decode(path: pathlib.Path, telephone: bool = False) -> Samples:
    demuxer = ["-f", "g722"] if path.suffix == ".g722" else []
    band = ["-af", "aresample=8000,aresample=16000"] if telephone else []
    command = ["ffmpeg", "-v", "error", "-nostdin", *demuxer, "-i", path, *band, "-ac", "1", "-ar", str(RATE), "-f", "s16le", "-"]  # fmt: skip
    pcm = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return np.frombuffer(pcm, "<i2").astype(np.float32) / 32768


def unpack(package: str, cache: pathlib.Path) -> pathlib.Path:
    """Fetches and unpacks a Debian package, once; returns the folder."""
    folder = cache / package
    if not folder.exists():
        print(f"Fetching {package}", file=sys.stderr)
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-qq", package], cwd=cache, check=True)
        (archive,) = cache.glob(f"{package}_*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, f"{folder}.part"], check=True)
        archive.unlink()
        pathlib.Path(f"{folder}.part").rename(folder)
    return folder


def announcer(voice: Announcer, cache: pathlib.Path, telephone: bool) -> list[Samples]:
    """Returns the longest prompts of an announcer."""
    # Links to other prompts would be the same speech twice.
    files = [path for path in unpack(voice.package, cache).rglob(f"*{voice.suffix}") if not path.is_symlink()]
    files.sort(key=lambda path: (-path.stat().st_size, path.name))
    prompts, seconds = [], 0.0
    while files and seconds < MATERIAL:
        prompts.append(decode(files.pop(0), telephone))
        seconds += len(prompts[-1]) / RATE
    return prompts


def readers() -> dict[str, list[Samples]]:
    """Returns what each reader says alone in the conversations among the fixtures."""
    said: dict[str, list[Samples]] = {}
    for name, turns in read_references(FIXTURES).items():
        samples = decode(FIXTURES / f"{name}.flac")
        for turn in turns:
            others = [other for other in turns if other.speaker != turn.speaker]
            if not any(other.start < turn.end and turn.start < other.end for other in others):
                said.setdefault(str(turn.speaker), []).append(samples[int(turn.start * RATE) : int(turn.end * RATE)])
    return said


def stretches(samples: Samples, least: float = 0.4, gap: float = 0.25) -> list[Samples]:
    """Cuts speech from silence: frames of 10 ms above 5 % of the loud level, with the pauses below `gap` seconds."""
    count = len(samples) // 160
    energy = np.sqrt((samples[: count * 160].reshape(count, 160) ** 2).mean(1))
    loud = np.flatnonzero(energy > 0.05 * np.percentile(energy, 95)) if count else np.array([], int)
    if not len(loud):
        return []
    breaks = np.flatnonzero(np.diff(loud) > gap * 100)
    starts, ends = loud[np.r_[0, breaks + 1]], loud[np.r_[breaks, len(loud) - 1]] + 1
    found = [samples[start * 160 : end * 160] for start, end in zip(starts, ends)]
    return [stretch for stretch in found if len(stretch) >= least * RATE]


def voices(part: str, cache: pathlib.Path) -> dict[str, list[Samples]]:
    """Returns the stretches of speech of each voice, all of one level."""
    said = readers() if part == "dev" else {}
    for voice in DEV if part == "dev" else HELD:
        said[voice.name] = announcer(voice, cache, part == "held")
    cut = {name: [stretch for prompt in prompts for stretch in stretches(prompt)] for name, prompts in said.items()}
    for name, found in cut.items():
        level = np.sqrt(np.concatenate(found).astype(np.float64).var())
        cut[name] = [(stretch * (LEVEL / level)).astype(np.float32) for stretch in found]
    return cut


# --- Conversations ----------------------------------------------------------------------------------------------------


def conversation(
    speakers: dict[str, list[Samples]], seconds: float, rng: random.Random, overlap: float = 0.15, noise: float = 0.0015
) -> tuple[Samples, list[Span]]:
    """Lets `speakers` talk for `seconds`, with steady noise; also returns the true turns."""
    mix = np.random.default_rng(rng.randrange(2**32)).normal(0, noise, int(seconds * RATE)).astype(np.float32)
    names, turns = sorted(speakers), []
    gains = {name: 10 ** (rng.uniform(-6, 3) / 20) for name in names}
    begin, before = 0.3, None
    while True:
        speaker = rng.choice([name for name in names if name != before] or names)
        wanted = rng.uniform(0.5, 3) if rng.random() < 0.5 else rng.uniform(3, 10)
        spoken, at = 0.0, begin
        while spoken < wanted:
            stretch = rng.choice(speakers[speaker])
            length = min(len(stretch), int((wanted - spoken) * RATE) + 800)
            offset, start = rng.randrange(len(stretch) - length + 1), int(at * RATE)
            if start + length >= len(mix):
                return mix, turns
            mix[start : start + length] += gains[speaker] * stretch[offset : offset + length]
            turns.append(Span(at, at + length / RATE, speaker))
            spoken, at = spoken + length / RATE, at + length / RATE + rng.uniform(0.05, 0.25)
        before, last = speaker, turns[-1]
        begin = last.end + (-rng.uniform(0.2, 1) if rng.random() < overlap else rng.uniform(0.1, 0.9))
        begin = max(begin, last.start + 0.2)


def solo(stretches: list[Samples], seconds: float, rng: random.Random) -> tuple[Samples, list[Span]]:
    """Lets one person talk for `seconds`, with pauses of 0.1 s."""
    pause, said = np.zeros(RATE // 10, np.float32), []
    while sum(map(len, said)) < seconds * RATE:
        said += [rng.choice(stretches), pause]
    return np.concatenate(said)[: int(seconds * RATE)], [Span(0.0, seconds, "one")]


def write(path: pathlib.Path, samples: Samples) -> None:
    """Writes a WAV file; under its name only when it is complete."""
    part = path.with_suffix(".part")
    with wave.open(str(part), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes())
    part.rename(path)


def rttm(name: str, turns: list[Span]) -> str:
    line = "SPEAKER {} 1 {:.3f} {:.3f} <NA> <NA> {} <NA> <NA>\n"
    return "".join(line.format(name, turn.start, turn.end - turn.start, turn.speaker) for turn in turns)


def make(part: str, out: pathlib.Path, cache: pathlib.Path) -> None:
    """Makes what is missing of a part."""
    folder = out / part
    folder.mkdir(parents=True, exist_ok=True)
    count = len(DEV) + 3 if part == "dev" else len(HELD)
    names = [f"c{people}-{seconds}" for people, seconds in CONVERSATIONS]
    names += [f"s{seconds}-{number:02}" for seconds in (2, 5) for number in range(SOLOS * count)]
    if all((folder / f"{name}.wav").exists() for name in names):
        return
    print(f"Making {len(names)} recordings in {folder}", file=sys.stderr)
    said = voices(part, cache)
    for name in names:
        # A generator of its own: a recording does not depend on which others exist.
        rng = random.Random(f"{part} {name}")
        people, number = (int(text) for text in name[1:].split("-"))
        if name.startswith("c"):
            speakers = {voice: said[voice] for voice in rng.sample(sorted(said), people)}
            samples, turns = conversation(speakers, number, rng)
        else:
            samples, turns = solo(said[sorted(said)[number % count]], people, rng)
        (folder / f"{name}.rttm").write_text(rttm(name, turns), "utf-8")
        # Last: it says that there are both.
        write(folder / f"{name}.wav", samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--cache", type=pathlib.Path, help="folder for Debian packages (OUT/debian)")
    parser.add_argument("--parts", nargs="*", choices=["dev", "held"], default=["dev", "held"])
    arguments = parser.parse_args()
    for part in arguments.parts:
        make(part, arguments.out, arguments.cache or arguments.out / "debian")


if __name__ == "__main__":
    main()
