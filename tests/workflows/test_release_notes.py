"""Tests of scripts/release_notes.py."""

import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from release_notes import Mistake, notes

CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.0] - 2026-12-01

### Added

- A thing.

## [1.1.0] - 2026-11-01

- Older.
"""


class Notes(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = Path(directory.name)
        self.write("Cargo.toml", '[workspace.package]\nversion = "1.2.0"\n')
        self.write("CHANGELOG.md", CHANGELOG)
        self.write("helm/scriptorium/Chart.yaml", 'version: 1.2.0\nappVersion: "1.2.0"\n')

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text, encoding="utf-8")

    def refuses(self, reason: str, version: str = "1.2.0") -> None:
        with self.assertRaisesRegex(Mistake, reason):
            notes(version, self.root)

    def test_prints_the_section_of_the_version(self) -> None:
        self.assertEqual(notes("1.2.0", self.root), "### Added\n\n- A thing.")

    def test_refuses_versions_that_differ(self) -> None:
        self.refuses("Cargo.toml has the version 1.2.0, not 1.3.0", "1.3.0")
        self.write("helm/scriptorium/Chart.yaml", 'version: 1.2.0\nappVersion: "1.1.0"\n')
        self.refuses("appVersion 1.1.0, not 1.2.0")

    def test_refuses_a_changelog_that_is_not_ready(self) -> None:
        self.write("CHANGELOG.md", CHANGELOG.replace("[1.2.0] - 2026-12-01", "[1.2.0]"))
        self.refuses("no date")
        self.write("CHANGELOG.md", CHANGELOG.replace("## [Unreleased]", "## [Unreleased]\n\n- Another thing."))
        self.refuses("Unreleased")
        self.write("CHANGELOG.md", CHANGELOG.replace("1.2.0", "1.2.1"))
        self.refuses("no section")
        self.write("CHANGELOG.md", CHANGELOG.replace("### Added\n\n- A thing.\n", ""))
        self.refuses("empty")
