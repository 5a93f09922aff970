"""What is made from something else: the README's tables, and the schema of the program's configuration."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import program
from helm import CHART, load

README, VALUES, SCHEMA = CHART / "README.md", CHART / "values.yaml", CHART / "values.schema.json"
SCALAR = {"type": ["string", "number", "boolean", "null"]}


def readme(tools: Path) -> tuple[str, list[str]]:
    """Returns the README with the tables made from the comments of values.yaml."""
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory) / "README.md"
        copy.write_text(README.read_text())
        generator = tools / "node_modules/@bitnami/readme-generator-for-helm/bin/index.js"
        command = [str(tools / "node"), str(generator), "--values", str(VALUES), "--readme", str(copy)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode != 0:
            return "", [f"values.yaml: the comments do not fit the values: {result.stdout}{result.stderr}"]
        return copy.read_text(), []


def schema() -> str:
    """Returns the schema with the definition of `config` made from the keys of the program."""
    root: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": {}}
    for key, entry in program.configuration().items():
        place = root
        *sections, leaf = key.split(".")
        for section in sections:
            fresh = {"type": "object", "additionalProperties": False, "properties": {}}
            place = place["properties"].setdefault(section, fresh)
        place["properties"][leaf] = _type(entry["value"])
    # Rules of the bridge are values of their own.
    root["properties"]["bridge"] = {"type": "object"}
    whole = json.loads(SCHEMA.read_text())
    whole["definitions"]["config"] = root
    return json.dumps(whole, indent=2) + "\n"


def _type(default: Any) -> dict[str, Any]:
    if isinstance(default, bool):
        return {"type": ["boolean", "null"]}
    if isinstance(default, int):
        return {"type": ["integer", "null"]}
    if isinstance(default, float):
        return {"type": ["number", "null"]}
    if isinstance(default, list):
        return {"type": ["array", "null"], "items": {"type": ["string", "number"]}}
    return {"type": ["string", "null"]} if isinstance(default, str) else SCALAR


def check(tools: Path) -> list[str]:
    made, problems = readme(tools)
    if not problems and made != README.read_text():
        problems.append("README.md is not up to date with values.yaml: tests/chart/run.sh --update")
    version = program.run("-V", env={}).stdout.split()[-1]
    stated = load((CHART / "Chart.yaml").read_text())[0]["appVersion"]
    if stated != version:
        problems.append(f"Chart.yaml: appVersion is {stated}, but the program's version is {version}")
    if schema() != SCHEMA.read_text():
        problems.append("values.schema.json is not up to date with the program's keys: tests/chart/run.sh --update")
    return problems


def update(tools: Path) -> list[str]:
    made, problems = readme(tools)
    if not problems:
        README.write_text(made)
    SCHEMA.write_text(schema())
    return problems
