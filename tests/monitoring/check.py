#!/usr/bin/env python3
"""Checks that each alert has its section in the runbook, and a test in which it fires.

    tests/monitoring/check.py RULES RUNBOOK TEST...
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

SEVERITIES = {"critical", "warning", "info"}
RUNBOOK = "https://github.com/scriptorium-asr/scriptorium/blob/main/docs/runbook.md#"
# What each section of the runbook says.
PARTS = ("**Means.**", "**Look at**", "**Do**", "**Meanwhile.**")


def alerts(rules: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]


def check_alert(alert: dict[str, Any]) -> list[str]:
    """An alert says how severe it is, what is wrong, and where to read on."""
    errors = []
    if alert["labels"].get("severity") not in SEVERITIES:
        errors.append(f"severity is not one of {sorted(SEVERITIES)}")
    annotations = alert["annotations"]
    for name in ("summary", "description"):
        if not annotations.get(name):
            errors.append(f"no {name}")
    if annotations.get("runbook_url") != RUNBOOK + alert["alert"].lower():
        errors.append("runbook_url is not the section of the alert")
    return errors


def check_runbook(names: list[str], runbook: str) -> list[str]:
    """The runbook has a complete section for each alert, in their order, and no others."""
    pieces = re.split(r"^## (.+)\n", runbook, flags=re.MULTILINE)
    sections = dict(zip(pieces[1::2], pieces[2::2], strict=True))
    errors = [f"{name}: no section in the runbook" for name in names if name not in sections]
    errors += [f"{name}: a section without alert" for name in sections if name not in names]
    if not errors and list(sections) != names:
        errors.append("the sections of the runbook are not in the order of the alerts")
    for name, text in sections.items():
        errors += [f"{name}: the section has no {part}" for part in PARTS if part not in text]
    return errors


def check_tests(names: list[str], tests: list[dict[str, Any]]) -> list[str]:
    """Each alert fires in a test, and not from its beginning."""
    fired = set()
    for test in tests:
        looks = test["promql_expr_test"]
        firing = [str(sample["labels"]) for look in looks for sample in look["exp_samples"]]
        found = {name for name in names if any(f'"{name}"' in labels for labels in firing)}
        if found and looks[0]["exp_samples"]:
            return [f"{test['name']}: the first look is not before the alert is due"]
        fired |= found
    return [f"{name}: fires in no test" for name in names if name not in fired]


def main() -> int:
    rules_file, runbook_file, *test_files = map(Path, sys.argv[1:])
    rules = alerts(yaml.safe_load(rules_file.read_text(encoding="utf-8")))
    names = [alert["alert"] for alert in rules]
    errors = [f"{alert['alert']}: {error}" for alert in rules for error in check_alert(alert)]
    errors += check_runbook(names, runbook_file.read_text(encoding="utf-8"))
    tests = [
        test
        for file in test_files
        for test in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]
    ]
    errors += check_tests(names, tests)
    for error in errors:
        print(error, file=sys.stderr)
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
