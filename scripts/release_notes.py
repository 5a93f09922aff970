#!/usr/bin/env python3
"""Prints the notes of a release: its section of CHANGELOG.md. RELEASING.md says when it runs.

Usage: release_notes.py VERSION

Fails if a version that is stated anywhere else differs, if CHANGELOG.md has no section of the version with a date,
or if changes are left that have not been moved there.
"""

import argparse
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEADING = re.compile(r"^## \[(?P<name>[^]]+)\](?: - (?P<date>\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)


class Mistake(Exception):
    """The sources do not fit the version."""


def sections(changelog: str) -> dict[str, tuple[str | None, str]]:
    """Returns the date and the text of each version."""
    headings = list(HEADING.finditer(changelog))
    ends = [heading.start() for heading in headings[1:]] + [len(changelog)]
    return {
        heading["name"]: (heading["date"], changelog[heading.end() : end].strip())
        for heading, end in zip(headings, ends, strict=True)
    }


def notes(version: str, root: Path = ROOT) -> str:
    cargo = tomllib.loads((root / "Cargo.toml").read_text(encoding="utf-8"))["workspace"]["package"]["version"]
    if cargo != version:
        raise Mistake(f"Cargo.toml has the version {cargo}, not {version}")
    chart = root / "helm/scriptorium/Chart.yaml"
    if chart.exists():
        for key in ["version", "appVersion"]:
            found = re.search(rf'^{key}: *"?([^"\s]+)"?', chart.read_text(encoding="utf-8"), re.MULTILINE)
            if found is None or found[1] != version:
                raise Mistake(f"{chart.relative_to(root)} has the {key} {found and found[1]}, not {version}")

    found = sections((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    if version not in found:
        raise Mistake(f"CHANGELOG.md has no section [{version}]")
    date, text = found[version]
    if date is None:
        raise Mistake(f"the section [{version}] of CHANGELOG.md has no date: `## [{version}] - YYYY-MM-DD`")
    if not text:
        raise Mistake(f"the section [{version}] of CHANGELOG.md is empty")
    left = found.get("Unreleased", (None, ""))[1]
    if re.search(r"^- ", left, re.MULTILINE):
        raise Mistake(f"CHANGELOG.md has changes that are Unreleased: move them to [{version}]")
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description="Print the notes of a release.")
    parser.add_argument("version")
    arguments = parser.parse_args()
    try:
        print(notes(arguments.version))
    except Mistake as mistake:
        print(f"error: {mistake}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
