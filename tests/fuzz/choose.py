#!/usr/bin/env python3
"""Chooses the inputs of a corpus: those that together reach most of the code, within limits.

Usage: choose.py CONTROL_FILE DIRECTORY

CONTROL_FILE is what libFuzzer writes when it merges with -set_cover_merge=1: the names of all inputs, and what each one reaches.
Seeds, which have names of their own, stay in DIRECTORY. Inputs named by their SHA-1, as libFuzzer does,
are replaced by those that are chosen.
"""

import pathlib
import re
import sys

MAX_FILES = 40
MAX_BYTES = 24 << 10
MAX_BYTES_OF_ONE = 4 << 10


def is_seed(path):
    return not re.fullmatch(r"[0-9a-f]{40}", path.name)


def read(control_file):
    """Returns the edges that each input reaches, by path."""
    lines = iter(control_file.read_text().splitlines())
    count = int(next(lines))
    next(lines)
    paths = [pathlib.Path(next(lines)) for _ in range(count)]
    reached = {}
    for line in lines:
        kind, index, *edges = line.split()
        if kind == "FT":
            reached[paths[int(index)]] = set(edges)
    return reached


def main():
    directory = pathlib.Path(sys.argv[2])
    reached = read(pathlib.Path(sys.argv[1]))
    done = set().union(*(edges for path, edges in reached.items() if is_seed(path)))
    chosen, left = [], MAX_BYTES
    candidates = {path: edges for path, edges in reached.items() if not is_seed(path)}
    sizes = {path: path.stat().st_size for path in candidates}
    candidates = {path: edges for path, edges in candidates.items() if sizes[path] <= MAX_BYTES_OF_ONE}
    while len(chosen) < MAX_FILES and candidates:
        best = max(candidates, key=lambda path: len(candidates[path] - done) / (sizes[path] + 100))
        new = candidates.pop(best) - done
        if not new:
            break
        if sizes[best] <= left:
            chosen.append((best, best.read_bytes()))
            done |= new
            left -= sizes[best]
    for path in directory.iterdir():
        if not is_seed(path):
            path.unlink()
    for path, content in chosen:
        (directory / path.name).write_bytes(content)
    everything = set().union(*reached.values())
    print(f"{len(chosen)} inputs besides the seeds; {len(done)} of {len(everything)} edges")


if __name__ == "__main__":
    main()
