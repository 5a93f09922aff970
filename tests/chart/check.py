"""Checks the Helm chart; run.sh calls it. Prints each problem, and ends with 1 if there is one."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import generated
import keda
import program
import references
import refused
import rendering
import schemas
from helm import Helm, Rendering


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tools", type=Path, required=True, help="folder with Helm 3 and 4, Node and its packages")
    parser.add_argument("--update", action="store_true", help="make README and schema anew, instead of checking")
    arguments = parser.parse_args()
    tools = arguments.tools.resolve()
    if not os.access(os.environ["SCRIPTORIUM_BIN"], os.X_OK):
        print(f"{os.environ['SCRIPTORIUM_BIN']} does not exist: build it, or set SCRIPTORIUM_BIN", file=sys.stderr)
        return 2
    if arguments.update:
        return report(generated.update(tools))

    problems: list[str] = []

    def step(title: str, check: Callable[[], list[str]]) -> None:
        start = time.monotonic()
        found = check()
        problems.extend(found)
        result = f"{len(found)} problems" if found else "ok"
        print(f"chart: {title}: {result} ({time.monotonic() - start:.1f} s)", flush=True)

    helms = [Helm(f"Helm {major}", tools / f"helm{major}") for major in (3, 4)]
    step("README and schema are up to date", lambda: generated.check(tools))
    step("lint", lambda: rendering.lint(helms))
    renderings: list[Rendering] = []

    def render() -> list[str]:
        found, problems = rendering.render(helms)
        renderings.extend(found)
        return problems

    step("renders, always in the same way", render)
    step("as a part of another chart", lambda: rendering.render_as_subchart(helms, renderings))
    # Helm 3 shows them only where there is a cluster.
    step("notes", lambda: rendering.notes(helms[-1]))
    step("values in the documentation", lambda: rendering.documented(helms))
    step("wrong values are refused", lambda: refused.check(helms))
    # Both versions of Helm render the same texts.
    renderings[:] = [found for found in renderings if found.helm == helms[-1]]
    step("schemas of Kubernetes", lambda: schemas.check_core(renderings))
    step("types of KEDA and the Prometheus operator", lambda: schemas.check_custom(renderings, tools))
    step("triggers of KEDA", lambda: keda.check(renderings))
    step("references", lambda: references.check(renderings))
    step("the program accepts its configuration", lambda: program.check_configuration(renderings))
    step("the program declares the queues that KEDA counts", lambda: program.check_queues(renderings))
    return report(problems)


def report(problems: list[str]) -> int:
    for problem in problems:
        print(f"  {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
