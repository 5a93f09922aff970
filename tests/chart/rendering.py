"""Renders the chart in all ways that must give the same objects."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from helm import (
    CHART,
    CRDS,
    NAMESPACE,
    RELEASE,
    ROOT,
    Case,
    Helm,
    Rendering,
    as_subchart,
    cases,
    in_parallel,
    load,
)


def lint(helms: list[Helm]) -> list[str]:
    def problems(pair: tuple[Helm, Case]) -> list[str]:
        helm, case = pair
        version = f"v{case.kubernetes[-1]}.0"
        result = helm.run("lint", "--strict", str(CHART), "--values", str(case.values), "--kube-version", version)
        return [] if result.returncode == 0 else [f"{case.name}: {helm.name} lint: {result.stdout}{result.stderr}"]

    return sum(in_parallel(problems, [(helm, case) for helm in helms for case in cases()]), [])


def render(helms: list[Helm]) -> tuple[list[Rendering], list[str]]:
    """Renders each case with each Helm for each Kubernetes, twice: with and without the types of custom resources."""

    def twice(job: tuple[Case, Helm, str]) -> tuple[Rendering | None, list[str]]:
        case, helm, kubernetes = job
        what = f"{case.name}: {helm.name}, Kubernetes {kubernetes}"
        arguments = ("--values", str(case.values), "--kube-version", f"v{kubernetes}.0")
        first = helm.template(CHART, *arguments)
        if first.returncode != 0:
            return None, [f"{what}: {first.stderr.strip()}"]
        rendering = Rendering(case, helm, kubernetes, first.stdout, load(first.stdout))
        second = helm.template(CHART, *arguments, *(word for crd in CRDS for word in ("--api-versions", crd)))
        if second.stdout != first.stdout:
            return rendering, [f"{what}: what is rendered depends on the moment, or on the types that the cluster has"]
        return rendering, []

    jobs = [(case, helm, version) for case in cases() for helm in helms for version in case.kubernetes]
    done = in_parallel(twice, jobs)
    problems = sum((found for _, found in done), [])
    renderings = [rendering for rendering, _ in done if rendering is not None]
    return renderings, problems + _differences(renderings)


def _differences(renderings: list[Rendering]) -> list[str]:
    """What is rendered must not depend on Helm's version."""
    problems = []
    by_job: dict[tuple[str, str], Rendering] = {}
    for rendering in renderings:
        other = by_job.setdefault((rendering.case.name, rendering.kubernetes), rendering)
        if other.text != rendering.text:
            problems.append(
                f"{rendering.case.name}: {other.helm.name} and {rendering.helm.name} render different texts"
            )
    return problems


def render_as_subchart(helms: list[Helm], renderings: list[Rendering]) -> list[str]:
    """As a part of another chart, with `global` values, the same objects must come out."""

    def problems(rendering: Rendering) -> list[str]:
        case = rendering.case
        with tempfile.TemporaryDirectory() as directory:
            parent = as_subchart(case.load(), Path(directory))
            result = rendering.helm.template(parent, "--kube-version", f"v{rendering.kubernetes}.0")
        if result.returncode != 0:
            return [f"{rendering} as a subchart: {result.stderr.strip()}"]
        names = [(document["kind"], document["metadata"]["name"]) for document in rendering.documents]
        found = [(document["kind"], document["metadata"]["name"]) for document in load(result.stdout)]
        return [] if found == names else [f"{rendering} as a subchart: other objects: {set(found) ^ set(names)}"]

    newest = [rendering for rendering in renderings if rendering.kubernetes == rendering.case.kubernetes[-1]]
    return sum(in_parallel(problems, newest), [])


def notes(helm: Helm) -> list[str]:
    """`helm template` leaves out what an installation prints, and an error in it would end the installation."""

    def problems(case: Case) -> list[str]:
        flags = ("--namespace", NAMESPACE, "--dry-run=client", "--values", str(case.values))
        result = helm.run("install", RELEASE, str(CHART), *flags)
        if result.returncode != 0:
            return [f"{case.name}: {result.stderr.strip()}"]
        shown = result.stdout.split("\nNOTES:\n")[-1]
        names = [f"{pool['name']}: {pool['recognizer']}" for pool in case.pools()]
        missing = [name for name in names if name not in shown]
        return [f"{case.name}: the notes do not mention {missing}"] if missing or "<no value>" in shown else []

    return sum(in_parallel(problems, cases()), [])


def documented(helms: list[Helm]) -> list[str]:
    """The values that the documentation shows must be accepted."""
    problems, found = [], 0
    with tempfile.TemporaryDirectory() as directory:
        for file in (CHART / "README.md", ROOT / "docs/deploy.md"):
            for block in re.findall(r"```yaml\n(.*?)```", file.read_text(), re.DOTALL):
                found += 1
                values = Path(directory) / "values.yaml"
                values.write_text(block)
                for helm in helms:
                    result = helm.template(CHART, "--values", str(values))
                    if result.returncode != 0:
                        problems.append(f"{file.name}: {helm.name} refuses its values: {result.stderr.strip()}")
    return problems if found >= 2 else [f"only {found} examples of values are found in the documentation"]
