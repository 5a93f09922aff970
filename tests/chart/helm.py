"""Runs Helm, of several versions, and reads what it renders."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/scriptorium"
RELEASE = "release"
NAMESPACE = "speech"
# The oldest version that the chart supports, one in the middle, and the newest whose schemas there are.
KUBERNETES = ["1.27", "1.32", "1.37"]
CRDS = ["keda.sh/v1alpha1", "monitoring.coreos.com/v1"]

Document = dict[str, Any]
T = TypeVar("T")
R = TypeVar("R")
_loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Helm:
    name: str
    program: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory() as home:
            # Settings of the person who runs this must not matter.
            environment = {"HOME": home, "PATH": "/usr/bin:/bin"}
            return subprocess.run(
                [str(self.program), *arguments], capture_output=True, text=True, env=environment, check=False
            )

    def template(self, chart: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.run("template", RELEASE, str(chart), "--namespace", NAMESPACE, *arguments)


@dataclass(frozen=True)
class Case:
    """A file of values, and the versions of Kubernetes for which it can be installed."""

    values: Path
    kubernetes: tuple[str, ...] = tuple(KUBERNETES)

    @property
    def name(self) -> str:
        return self.values.name.removesuffix("-values.yaml")

    def load(self) -> dict[str, Any]:
        return load(self.values.read_text())[0]

    def pools(self) -> list[dict[str, Any]]:
        """Returns the pools with the defaults that they do not replace."""
        defaults = load((CHART / "values.yaml").read_text())[0]
        values = merged(defaults, self.load())
        return [merged(values["poolDefaults"], pool) for pool in values["pools"]]


@dataclass
class Rendering:
    case: Case
    helm: Helm
    kubernetes: str
    text: str
    documents: list[Document] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.case.name} ({self.helm.name}, Kubernetes {self.kubernetes})"

    def of(self, *kinds: str) -> list[Document]:
        return [document for document in self.documents if document["kind"] in kinds]


def load(text: str) -> list[Document]:
    return [document for document in yaml.load_all(text, Loader=_loader) if document is not None]


def cases() -> list[Case]:
    found = []
    for values in sorted(CHART.glob("ci/*-values.yaml")):
        # Kubernetes mounts a folder of an image from 1.33 on.
        only_new = values.name == "image-volume-values.yaml"
        found.append(Case(values, (KUBERNETES[-1],)) if only_new else Case(values))
    return found


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Merges values as Helm does: objects key by key; lists are replaced."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def in_parallel(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(function, items))


def as_subchart(values: dict[str, Any], directory: Path) -> Path:
    """Writes a chart with ours as its only part, as platform teams wrap charts."""
    parent = directory / "platform"
    shutil.copytree(CHART, parent / "charts/scriptorium")
    (parent / "Chart.yaml").write_text("apiVersion: v2\nname: platform\nversion: 1.0.0\n")
    shared = {"imageRegistry": "registry.example.net", "labels": {"team": "platform"}}
    (parent / "values.yaml").write_text(json.dumps({"global": shared, "scriptorium": values}))
    return parent
