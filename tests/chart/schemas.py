"""Compares each object with the strict schema of its kind: Kubernetes' own, and those of custom resources."""

from __future__ import annotations

import functools
import json
import subprocess
from pathlib import Path

import kubernetes_validate
import kubernetes_validate.utils
from helm import Document, Rendering

# The library reads its schemas, some megabytes, anew for each object.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)

# The module of npm with the type of a custom resource.
TYPES = {
    ("keda.sh/v1alpha1", "ScaledObject"): "keda/keda.sh/v1alpha1/ScaledObject",
    ("keda.sh/v1alpha1", "ScaledJob"): "keda/keda.sh/v1alpha1/ScaledJob",
    ("keda.sh/v1alpha1", "TriggerAuthentication"): "keda/keda.sh/v1alpha1/TriggerAuthentication",
    ("monitoring.coreos.com/v1", "PodMonitor"): "prometheus-operator/monitoring.coreos.com/v1/PodMonitor",
    ("monitoring.coreos.com/v1", "PrometheusRule"): "prometheus-operator/monitoring.coreos.com/v1/PrometheusRule",
}


def check_core(renderings: list[Rendering]) -> list[str]:
    problems, seen = [], set()
    for rendering in renderings:
        for document in rendering.documents:
            if (document["apiVersion"], document["kind"]) in TYPES:
                continue
            key = (rendering.kubernetes, json.dumps(document, sort_keys=True))
            if key in seen:
                continue
            seen.add(key)
            try:
                kubernetes_validate.validate(document, rendering.kubernetes, strict=True)
            except kubernetes_validate.ValidationError as error:
                problems.append(f"{rendering}: {name(document)}: {error.message}")
            except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.InvalidSchemaError) as error:
                problems.append(f"{rendering}: {name(document)}: there is no schema of this kind: {error}")
    return problems


def check_custom(renderings: list[Rendering], tools: Path) -> list[str]:
    """Has TypeScript's compiler compare the objects with types made from the definitions of custom resources."""
    origins: dict[tuple[str, str], str] = {}
    for rendering in renderings:
        for document in rendering.of(*(kind for _, kind in TYPES)):
            module = TYPES[document["apiVersion"], document["kind"]]
            origins.setdefault((module, json.dumps(document, sort_keys=True)), f"{rendering}: {name(document)}")
    missing = set(TYPES.values()) - {module for module, _ in origins}
    if missing:
        return [f"the values in ci/ render no {module}" for module in sorted(missing)]
    source = [
        f'import type {{ I{path.rsplit("/", 1)[1]} }} from "@kubernetes-models/{path}";' for path in TYPES.values()
    ]
    for index, (module, literal) in enumerate(origins):
        source.append(f"export const object{index}: I{module.rsplit('/', 1)[1]} = {literal};")
    file = tools / "objects.ts"
    file.write_text("\n".join(source) + "\n")
    compiler = [tools / "node", tools / "node_modules/typescript/bin/tsc", "--noEmit", "--strict", "--skipLibCheck"]
    options = ["--module", "nodenext", "--moduleResolution", "nodenext", "--target", "es2022", "--pretty", "false"]
    result = subprocess.run([*map(str, compiler), *options, "objects.ts"], cwd=tools, capture_output=True, text=True)
    if result.returncode == 0:
        return []
    problems = []
    for line in result.stdout.splitlines():
        position = line.removeprefix("objects.ts(").split(",")[0]
        number = int(position) - 1 - len(TYPES) if line.startswith("objects.ts(") else -1
        whose = list(origins.values())
        what = whose[number] if 0 <= number < len(whose) else "types of custom resources"
        problems.append(f"{what}: {line}")
    return problems or [f"the compiler failed: {result.stderr}"]


def name(document: Document) -> str:
    return f"{document['kind']} {document['metadata']['name']}"
