#!/usr/bin/env python3
"""Prints the licences of all crates that the released program contains, with their texts.

Crates that only tests, build scripts or macros use are left out, as are those of other platforms. `cargo deny`
decides which licences are allowed. A crate that brings no text has at least an SPDX expression, or this fails.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

TARGETS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]
PROGRAM = "cli"
NAMES = re.compile(r"(licen[cs]e|copying|notice|copyright|unlicense)", re.IGNORECASE)
SEPARATOR = "\n" + "=" * 100 + "\n"


def metadata(target: str) -> dict:
    command = ["cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={target}"]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def linked_packages(target: str) -> dict[str, dict]:
    """Returns the packages that are linked into the program, by id."""
    graph = metadata(target)
    packages = {package["id"]: package for package in graph["packages"]}
    nodes = {node["id"]: node for node in graph["resolve"]["nodes"]}
    todo = [id for id, package in packages.items() if package["name"] == PROGRAM and package["source"] is None]
    seen: dict[str, dict] = {}
    while todo:
        id = todo.pop()
        macro = any("proc-macro" in target["kind"] for target in packages[id]["targets"])
        if id in seen or macro:
            continue
        seen[id] = packages[id]
        for dependency in nodes[id]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    return {id: package for id, package in seen.items() if package["source"] is not None}


def texts(package: dict) -> list[str]:
    directory = Path(package["manifest_path"]).parent
    # Crates that build a library in C have its sources in a folder, with licences of their own.
    candidates = [*directory.glob("*"), *(directory.glob("*/*") if package["links"] else [])]
    files = sorted(file for file in candidates if file.is_file() and NAMES.search(file.name))
    if package.get("license_file"):
        files.append(directory / package["license_file"])
    return list(dict.fromkeys(file.read_text(encoding="utf-8", errors="replace").strip() for file in files))


def main() -> int:
    packages: dict[str, dict] = {}
    for target in TARGETS:
        packages |= linked_packages(target)
    ordered = sorted(packages.values(), key=lambda package: (package["name"], package["version"]))

    without_text = []
    print("Scriptorium contains these crates, under the licences that stand beside them:\n")
    for package in ordered:
        licence = package["license"] or f"see {package['license_file']}"
        print(f"{package['name']} {package['version']}: {licence}; {package['repository'] or 'https://crates.io'}")
    by_text: dict[str, list[str]] = {}
    for package in ordered:
        name = f"{package['name']} {package['version']}"
        found = texts(package)
        if not found and not package["license"]:
            print(f"error: {name} states no licence", file=sys.stderr)
            return 1
        if not found:
            without_text.append((name, package["license"]))
        for text in found:
            by_text.setdefault(text, []).append(name)
    for text, names in by_text.items():
        print(SEPARATOR + ", ".join(names) + SEPARATOR + "\n" + text)
    if without_text:
        print(SEPARATOR + "Crates that bring no text of their own; the licences are those of the list above:\n")
        for name, licence in without_text:
            print(f"{name}: {licence}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
