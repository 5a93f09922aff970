"""Checks KEDA's triggers, whose metadata no schema describes: the API server accepts a misspelt key."""

from __future__ import annotations

import re

from helm import Document, Rendering
from schemas import name

# Keys of the metadata of a `rabbitmq` trigger: keda.sh/docs/2.18/scalers/rabbitmq-queue.
KEYS = {
    "activationValue",
    "excludeUnacknowledged",
    "host",
    "hostFromEnv",
    "mode",
    "operation",
    "pageSize",
    "passwordFromEnv",
    "protocol",
    "queueName",
    "timeout",
    "unsafeSsl",
    "useRegex",
    "usernameFromEnv",
    "value",
    "vhostName",
}
# Parameters that it takes from a TriggerAuthentication.
PARAMETERS = {"host", "username", "password", "vhostName", "tls", "ca", "cert", "key", "keyPassword"}
# Seconds before the last worker may go: the last look at a batch comes a minute after its last job.
COOLDOWN = 180


def check(renderings: list[Rendering]) -> list[str]:
    return sum((_check(rendering) for rendering in renderings), [])


def triggers(scaled: Document) -> list[Document]:
    return [trigger for trigger in scaled["spec"]["triggers"] if trigger["type"] == "rabbitmq"]


def _check(rendering: Rendering) -> list[str]:
    problems: list[str] = []

    def expect(condition: bool, what: str) -> None:
        if not condition:
            problems.append(f"{rendering}: {what}")

    authentications = {found["metadata"]["name"]: found["spec"] for found in rendering.of("TriggerAuthentication")}
    for authentication in authentications.values():
        references = [*authentication.get("secretTargetRef", []), *authentication.get("configMapTargetRef", [])]
        unknown = {reference["parameter"] for reference in references} - PARAMETERS
        expect(not unknown, f"TriggerAuthentication with unknown parameters {unknown}")
    watched = 0
    scaled_ones = rendering.of("ScaledObject", "ScaledJob")
    for scaled in scaled_ones:
        spec = scaled["spec"]
        expect(spec["minReplicaCount"] <= spec["maxReplicaCount"], f"{name(scaled)}: minimum above maximum")
        if scaled["kind"] == "ScaledObject":
            expect(spec["cooldownPeriod"] >= COOLDOWN, f"{name(scaled)}: cooldownPeriod is below {COOLDOWN}")
            expect(spec.get("idleReplicaCount", 0) == 0, f"{name(scaled)}: KEDA supports no idleReplicaCount but 0")
        else:
            expect(spec["rollout"]["strategy"] == "gradual", f"{name(scaled)}: an upgrade deletes running Jobs")
        found = triggers(scaled)
        expect(len(found) in (1, 2), f"{name(scaled)}: {len(found)} triggers")
        for trigger in found:
            metadata = trigger["metadata"]
            where = f"{name(scaled)}, trigger {metadata.get('queueName')}"
            expect(not set(metadata) - KEYS, f"{where}: unknown keys {set(metadata) - KEYS}")
            expect(all(isinstance(value, str) for value in metadata.values()), f"{where}: a value is not a string")
            wanted = {
                "protocol": "http",
                "mode": "QueueLength",
                "useRegex": "true",
                "operation": "sum",
                "excludeUnacknowledged": "false",
            }
            for key, value in wanted.items():
                expect(metadata.get(key) == value, f"{where}: {key} is not {value}")
            pattern = metadata["queueName"]
            expect(pattern.startswith("^") and pattern.endswith("$"), f"{where}: the pattern is not anchored")
            expect(re.compile(pattern) is not None, where)
            expect(float(metadata["value"]) > 0, f"{where}: value is not positive")
            # The host comes either from here or from the secret, never from both.
            authentication = authentications.get(trigger["authenticationRef"]["name"])
            expect(authentication is not None, f"{where}: there is no such TriggerAuthentication")
            given = {reference["parameter"] for reference in (authentication or {}).get("secretTargetRef", [])}
            expect(("host" in metadata) != ("host" in given), f"{where}: host is given twice, or not at all")
            host = metadata.get("host", "http://")
            expect(re.match(r"https?://", host) is not None, f"{where}: {host} is not the management API")
            expect("@" not in host, f"{where}: the URL has a password")
        watched += len(found) == 2
    # Watches wake a fleet that sleeps: exactly one pool counts them, unless a worker is always there.
    deployments = [found for found in rendering.of("Deployment") if "scriptorium/pool" in found["metadata"]["labels"]]
    always = any(found["spec"].get("replicas", 0) > 0 for found in deployments)
    always = always or bool(rendering.of("HorizontalPodAutoscaler"))
    for scaled in scaled_ones:
        idle = "idleReplicaCount" in scaled["spec"]
        always = always or (scaled["spec"]["minReplicaCount"] > 0 and not idle)
    expect(watched == (0 if always else 1), f"{watched} pools count watches")
    return problems
