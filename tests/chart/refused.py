"""Values that the chart must refuse, with a message that says why."""

from __future__ import annotations

import json
from typing import Any

from helm import CHART, CRDS, Helm, in_parallel, merged

BROKER = {"broker": {"existingSecret": "b"}}


def pool(**values: Any) -> dict[str, Any]:
    return {"pools": [{"name": "a", **values}]}


# What is refused, the values, and a part of the message.
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("no secret of the broker", {"broker": {"existingSecret": ""}}, "broker.existingSecret"),
    ("AMQP for KEDA", {"broker": {"management": {"url": "amqp://rabbitmq:5672"}}}, "url"),
    ("AMQP with TLS for KEDA", {"broker": {"management": {"url": "amqps://rabbitmq:5671/v"}}}, "url"),
    ("a password in a URL", {"broker": {"management": {"url": "http://user:secret@rabbitmq:15672"}}}, "url"),
    ("replicas beside KEDA", pool(scaling={"replicas": 3}), "scaling.replicas"),
    ("replicas beside an HPA", pool(scaling={"type": "hpa", "replicas": 3}), "scaling.replicas"),
    ("an HPA to zero", pool(scaling={"type": "hpa", "hpa": {"minReplicas": 0}}), "minReplicas"),
    ("a drain above the grace period", pool(drainSeconds=100, terminationGracePeriodSeconds=100), "drainSeconds"),
    ("a cooldown that misses watches", pool(scaling={"keda": {"cooldownPeriod": 60}}), "cooldownPeriod"),
    ("more workers at least than at most", pool(scaling={"keda": {"minReplicas": 11}}), "minReplicas"),
    ("idle workers with no minimum", pool(scaling={"keda": {"idleReplicas": 0}}), "idleReplicas"),
    ("an unknown way to scale", pool(scaling={"type": "vpa"}), "type"),
    ("an unknown value", {"imagee": {}}, "imagee"),
    ("an unknown value of the defaults", {"poolDefaults": {"replicas": 3}}, "replicas"),
    ("an unknown value of a pool", pool(replicas=3), "replicas"),
    ("an unknown lane", pool(lanes=["fast"]), "lanes"),
    ("two pools of one name", {"pools": [{"name": "a"}, {"name": "a"}]}, "two pools"),
    ("a pool whose name is the bridge's", {"pools": [{"name": "bridge"}]}, "name"),
    ("no pool", {"pools": []}, "pools"),
    (
        "different models for one lane",
        {"pools": [{"name": "a", "recognizer": "whisper-small"}, {"name": "b"}]},
        "different models",
    ),
    ("a pool without a number of threads", pool(resources={"requests": {"cpu": None}}), "threads"),
    ("an unknown section of the program", {"config": {"workers": {}}}, "workers"),
    ("an unknown key of the program", {"config": {"worker": {"jobz": 3}}}, "jobz"),
    ("a key of the program of another type", {"config": {"worker": {"stall_seconds": "long"}}}, "stall_seconds"),
    ("a key of the program that a value sets", {"config": {"worker": {"drain_seconds": 5}}}, "pools[].drainSeconds"),
    ("a password in the configuration", {"config": {"queue": {"url": "amqp://u:p@b"}}}, "broker.existingSecret"),
    ("a bridge without rules", {"bridge": {"enabled": True}}, "bridge.rules"),
    ("a misspelt rule", {"bridge": {"rules": [{"source": "s3://a/", "out": "s3://b/"}]}}, "rules"),
    ("a CronJob without a source", {"submit": {"enabled": True}}, "submit.sources"),
    ("a tag in place of a digest", {"image": {"digest": "1.2.3"}}, "digest"),
    ("an image volume without an image", {"models": {"cache": "imageVolume"}}, "imageVolume.reference"),
    ("a prefix with a special character", {"broker": {"prefix": "a*b"}}, "prefix"),
]


def check(helms: list[Helm]) -> list[str]:
    def problems(job: tuple[Helm, str, dict[str, Any], tuple[str, ...], str]) -> list[str]:
        helm, what, values, flags, expected = job
        sets = (
            flag
            for key, value in merged(BROKER, values).items()
            for flag in ("--set-json", f"{key}={json.dumps(value)}")
        )
        result = helm.template(CHART, *sets, *flags)
        if result.returncode == 0:
            return [f"{helm.name} accepts {what}"]
        if expected not in result.stderr:
            return [f"{helm.name} refuses {what}, but does not say `{expected}`: {result.stderr.strip()}"]
        return []

    new = ("--kube-version", "v1.35.0", *(word for crd in CRDS for word in ("--api-versions", crd)))
    jobs = [(helm, what, values, new, expected) for helm in helms for what, values, expected in REFUSED]
    for helm in helms:
        volume = {"models": {"cache": "imageVolume", "imageVolume": {"reference": "x"}}}
        jobs.append((helm, "an image volume in Kubernetes 1.31", volume, ("--kube-version", "v1.31.0"), "1.33"))
        jobs.append((helm, "Kubernetes 1.26", {}, ("--kube-version", "v1.26.0"), "1.27"))
        # Without the schema, which a user may skip, the template itself refuses AMQP.
        amqp = {"broker": {"management": {"url": "amqp://user:hunter2@rabbitmq"}}}
        jobs.append((helm, "AMQP without the schema", amqp, (*new, "--skip-schema-validation"), "management API"))
    found = sum(in_parallel(problems, jobs), [])
    hidden = helms[0].template(
        CHART, "--skip-schema-validation", "--set", "broker.existingSecret=b,broker.management.url=amqp://u:hunter2@r"
    )
    if "hunter2" in hidden.stderr:
        found.append("the message about AMQP shows the password")
    return found
