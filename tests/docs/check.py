"""Runs the blocks of commands of the documentation, as tests/docs/blocks.toml says.

Every block of the pages is either run, or listed there with the reason why it is not. See tests/docs/run.sh.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import blocks
from blocks import Block

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests/docs"
# A block that takes longer hangs.
TIMEOUT_SECONDS = 300
KEYS = {"page", "begins", "not_run", "replace", "setup", "expect"}


class Failed(Exception):
    """A block, or an entry of the list, is wrong."""


def entry_of(block: Block, entries: list[dict]) -> dict:
    """Returns the entry of a block. Raises Failed unless there is exactly one."""
    fitting = [e for e in entries if e["page"] == block.page and block.script.startswith(e["begins"])]
    if len(fitting) == 1:
        return fitting[0]
    begin = block.script.splitlines()[0] if block.script else ""
    if fitting:
        raise Failed(f"{block.place}: {len(fitting)} entries of tests/docs/blocks.toml fit this block: {begin}")
    raise Failed(
        f"{block.place}: tests/docs/blocks.toml does not say how to run this block, or why it cannot be run: {begin}"
    )


def matched(found: list[Block], entries: list[dict]) -> list[tuple[Block, dict]]:
    """Returns each block with its entry. Raises Failed with all that does not fit."""
    wrong, pairs = [], []
    for entry in entries:
        if unknown := entry.keys() - KEYS:
            wrong.append(f"blocks.toml: {entry['begins']}: unknown keys: {', '.join(sorted(unknown))}")
    for block in found:
        try:
            pairs.append((block, entry_of(block, entries)))
        except Failed as failed:
            wrong.append(str(failed))
    used = [id(entry) for _, entry in pairs]
    for entry in entries:
        if id(entry) not in used:
            wrong.append(f"blocks.toml: there is no block in {entry['page']} that begins with: {entry['begins']}")
    if wrong:
        raise Failed("\n".join(wrong))
    return pairs


def run(block: Block, entry: dict, folder: Path, environment: dict[str, str]) -> None:
    """Runs a block in a folder. Raises Failed if a command fails or an expected text is missing."""
    script = block.script
    for old, new in entry.get("replace", []):
        if old not in script:
            raise Failed(f"{block.place}: blocks.toml replaces `{old}`, which is not in the block")
        script = script.replace(old, new)
    script = f". '{HERE}/prelude.sh'\n{entry.get('setup', '')}\n{script}"
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status: int | None = process.wait(TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            status = None
        end_group(process)
        output.seek(0)
        printed = output.read()
    if status is None:
        raise Failed(f"{block.place}: not done after {TIMEOUT_SECONDS} s:\n{script}\n{printed}")
    if status != 0:
        raise Failed(f"{block.place}: exit status {status}:\n{script}\n{printed}")
    for text in entry.get("expect", []):
        if text not in printed:
            raise Failed(f"{block.place}: `{text}` is not in what it prints:\n{script}\n{printed}")


def end_group(process: subprocess.Popen) -> None:
    """Ends what a block has left in the background, such as a worker."""
    for sign in [signal.SIGTERM, signal.SIGKILL]:
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        process.poll()
        for _ in range(50):
            time.sleep(0.1)
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return


def prepared(folder: Path, program: Path) -> dict[str, str]:
    """Fills a folder with the recordings that the pages name, and returns the environment of the commands."""
    speech = ROOT / "tests/fixtures/speech"
    for name, source in {
        "interview.mp3": "sentence.mp3",
        "talk.mp3": "sentence.mp3",
        "recordings/a.wav": "sentence.wav",
        "recordings/b.flac": "sentence.flac",
        "videos/talk.mp4": "sentence.mp4",
    }.items():
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(speech / source, target)
    (folder / "calls.csv").write_text("source,language\ns3://archive/calls/b.wav,en\n")
    programs = folder / "bin"
    programs.mkdir()
    (programs / "scriptorium").symlink_to(program)
    given = os.environ
    return {
        "PATH": f"{programs}:{given['PATH']}",
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "FIXTURES": str(speech),
        "AMQP_URL": given["SCRIPTORIUM_TEST_AMQP_URL"],
        "S3_CREDENTIALS": f"{given['SCRIPTORIUM_TEST_S3_ACCESS_KEY']}:{given['SCRIPTORIUM_TEST_S3_SECRET_KEY']}",
        "SCRIPTORIUM__QUEUE__URL": given["SCRIPTORIUM_TEST_AMQP_URL"],
        "SCRIPTORIUM__QUEUE__PREFIX": f"docs-{os.getpid()}",
        "SCRIPTORIUM__MODELS__DIRECTORY": given["SCRIPTORIUM_TEST_MODELS"],
        "SCRIPTORIUM__MODELS__RECOGNIZER": "whisper-tiny.en",
        "SCRIPTORIUM__STORE__S3__ENDPOINT": given["SCRIPTORIUM_TEST_S3_ENDPOINT"],
        "SCRIPTORIUM__STORE__S3__FORCE_PATH_STYLE": "true",
        "SCRIPTORIUM__STORE__S3__ACCESS_KEY": given["SCRIPTORIUM_TEST_S3_ACCESS_KEY"],
        "SCRIPTORIUM__STORE__S3__SECRET_KEY": given["SCRIPTORIUM_TEST_S3_SECRET_KEY"],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--list", action="store_true", help="only compare the list with the pages; needs nothing")
    parser.add_argument("--program", type=Path, help="the program `scriptorium`")
    arguments = parser.parse_args()
    listed = tomllib.loads((HERE / "blocks.toml").read_text())
    found = blocks.of_pages(ROOT, listed["pages"])
    try:
        pairs = matched(found, listed["block"])
    except Failed as failed:
        print(failed, file=sys.stderr)
        return 1
    to_run = [(block, entry) for block, entry in pairs if "not_run" not in entry]
    print(f"{len(found)} blocks of commands: {len(to_run)} to run, the others are listed with the reason")
    if arguments.list:
        return 0
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = prepared(folder, arguments.program.resolve())
        for block, entry in to_run:
            start = time.monotonic()
            try:
                run(block, entry, folder, environment)
                print(f"-- {block.place}: {time.monotonic() - start:.1f} s", flush=True)
            except Failed as failed:
                failures += 1
                print(failed, file=sys.stderr, flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
