"""Checks what no schema of workflows can: pins, permissions, and that all that a step calls exists."""

import os
import re
import subprocess
import sys
from pathlib import Path

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
PINNED = re.compile(r"uses: (?:\./\S+|[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)$")
# Paths of this repository, as a command or an argument. Outputs of a step have other names.
OURS = re.compile(r"(?<![\w./-])((?:scripts|tests|infra|helm|\.ci)/[\w./-]*\w)")
# A step's text that comes from whoever opens a pull request would be run as shell.
EXPRESSION = re.compile(r"\$\{\{.*?\}\}")
# Those that actionlint leaves out: they are of texts, not of scripts in files.
SHELLCHECK = ["shellcheck", "--shell=bash", "--exclude=SC1091,SC2050,SC2154,SC2157,SC2194", "-"]


def problems_of_step(where: str, step: dict) -> list[str]:
    found = []
    script = step.get("run")
    if script is None:
        return found
    if EXPRESSION.search(script):
        found.append(f"{where}: pass expressions by `env`, not in the text of a script")
    for path in OURS.findall(script):
        file = ROOT / path
        if not file.exists():
            found.append(f"{where}: {path} does not exist")
        elif re.search(rf"(?m)^ *{re.escape(path)}\b", script) and file.is_file() and not os.access(file, os.X_OK):
            found.append(f"{where}: {path} cannot be executed")
    checked = subprocess.run(SHELLCHECK, input=f"set -eo pipefail\n{script}", capture_output=True, text=True)
    if checked.returncode != 0:
        found.append(f"{where}: {checked.stdout}{checked.stderr}")
    return found


def problems(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8")
    workflow = YAML(typ="safe").load(text)
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if "uses:" in line and not PINNED.search(line):
            found.append(f"{file.name}:{number}: pin actions by commit, with the version as a comment")
    if workflow.get("permissions") != {"contents": "read"}:
        found.append(f"{file.name}: a workflow may read; a job that needs more says so")
    if "concurrency" not in workflow:
        found.append(f"{file.name}: no concurrency")
    for name, job in workflow["jobs"].items():
        where = f"{file.name}, job {name}"
        if "uses" in job:
            path = ROOT / job["uses"].removeprefix("./")
            if not path.exists():
                found.append(f"{where}: {path} does not exist")
            continue
        if "timeout-minutes" not in job:
            found.append(f"{where}: no timeout-minutes")
        for index, step in enumerate(job["steps"], 1):
            at = f"{where}, step {step.get('name', index)}"
            if "checkout@" in step.get("uses", "") and step["with"]["persist-credentials"] is not False:
                found.append(f"{at}: the token must not stay in the folder")
            found += problems_of_step(at, step)
    return found


def main() -> int:
    files = sorted((ROOT / ".github/workflows").glob("*.y*ml"))
    found = [problem for file in files for problem in problems(file)]
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"{len(files)} workflows, {len(found)} problems")
    return 1 if found or not files else 0


if __name__ == "__main__":
    sys.exit(main())
