"""Checks what refers to what: selectors, ports, volumes, secrets, identities, and the values behind them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from helm import CHART, Document, Rendering, load
from schemas import name


def check(renderings: list[Rendering]) -> list[str]:
    return sum((_Checker(rendering).run() for rendering in renderings), [])


def pod_templates(documents: list[Document]) -> Iterator[tuple[Document, Document]]:
    """Returns each object that has or is a pod, with the pod: metadata and spec."""
    for document in documents:
        spec = document.get("spec", {})
        if document["kind"] == "Pod":
            yield document, document
        elif document["kind"] == "CronJob":
            yield document, spec["jobTemplate"]["spec"]["template"]
        elif document["kind"] == "ScaledJob":
            yield document, spec["jobTargetRef"]["template"]
        elif document["kind"] == "Deployment":
            yield document, spec["template"]


def worker_of(rendering: Rendering, scaled: Document) -> Document:
    """Returns the container of the workers that a ScaledObject or ScaledJob scales."""
    owner = scaled["spec"].get("scaleTargetRef", scaled["metadata"])["name"]
    kinds = {"ScaledObject": "Deployment", "ScaledJob": "ScaledJob"}
    for document, pod in pod_templates(rendering.of(kinds[scaled["kind"]])):
        if document["metadata"]["name"] == owner:
            container: Document = pod["spec"]["containers"][0]
            return container
    raise ValueError(f"{name(scaled)} scales {owner}, which does not exist")


def environment(container: Document) -> dict[str, Any]:
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container.get("env", [])}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
    elif isinstance(value, str):
        yield value


def _secrets(value: Any) -> Iterator[tuple[str, str]]:
    """Yields secret and key of each reference to a secret below a value."""
    if isinstance(value, list):
        for inner in value:
            yield from _secrets(inner)
    elif isinstance(value, dict):
        for kind, reference in value.items():
            if kind == "secretKeyRef":
                yield reference["name"], reference["key"]
            elif kind == "secret" and isinstance(reference, dict):
                for item in reference["items"]:
                    yield reference.get("name") or reference["secretName"], item["key"]
            elif kind == "secretTargetRef":
                for item in reference:
                    yield item["name"], item["key"]
            else:
                yield from _secrets(reference)


class _Checker:
    def __init__(self, rendering: Rendering) -> None:
        self.rendering = rendering
        self.values = rendering.case.load()
        self.problems: list[str] = []
        self.pods = list(pod_templates(rendering.documents))

    def expect(self, condition: bool, what: str) -> None:
        if not condition:
            self.problems.append(f"{self.rendering}: {what}")

    def run(self) -> list[str]:
        self.names()
        self.scaling()
        self.selectors()
        self.secrets()
        for owner, pod in self.pods:
            self.containers(owner, pod)
            self.volumes(owner, pod)
            self.restricted(owner, pod)
        self.triggers()
        self.monitoring()
        return self.problems

    def exists(self, kind: str, wanted: str) -> bool:
        return any(found["metadata"]["name"] == wanted for found in self.rendering.of(kind))

    def names(self) -> None:
        seen = set()
        for document in self.rendering.documents:
            key = (document["kind"], document["metadata"]["name"])
            self.expect(key not in seen, f"two objects {key}")
            seen.add(key)
            # Names are values of labels, too. A CronJob appends 11 characters to its name.
            limit = 52 if document["kind"] == "CronJob" else 63
            self.expect(len(key[1]) <= limit, f"{key}: the name is too long")
            for label, value in document["metadata"].get("labels", {}).items():
                valid = re.fullmatch("([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?", value)
                self.expect(valid is not None, f"{key}: {value} is no value for the label {label}")
        for document in self.rendering.documents:
            if "annotations" in document["metadata"]:
                texts = document["metadata"]["annotations"].values()
                self.expect(
                    all(isinstance(text, str) for text in texts), f"{name(document)}: an annotation is no string"
                )

    def scaling(self) -> None:
        scalers = self.rendering.of("ScaledObject", "HorizontalPodAutoscaler")
        targets = [found["spec"]["scaleTargetRef"]["name"] for found in scalers]
        self.expect(len(targets) == len(set(targets)), "a Deployment has two autoscalers")
        for target in targets:
            self.expect(self.exists("Deployment", target), f"an autoscaler of {target}, which does not exist")
        for deployment in self.rendering.of("Deployment"):
            scaled = deployment["metadata"]["name"] in targets
            has = "replicas" in deployment["spec"]
            self.expect(
                has != scaled, f"{name(deployment)}: replicas {'beside an autoscaler' if scaled else 'missing'}"
            )

    def selectors(self) -> None:
        labels = [(owner, pod["metadata"]["labels"]) for owner, pod in self.pods]

        def selected(selector: Document) -> list[str]:
            wanted = selector.get("matchLabels", {})
            found = [(owner, have) for owner, have in labels if wanted.items() <= have.items()]
            for rule in selector.get("matchExpressions", []):
                found = [(owner, have) for owner, have in found if have.get(rule["key"]) in rule["values"]]
            return [owner["metadata"]["name"] for owner, _ in found]

        for document in self.rendering.of("Deployment", "PodDisruptionBudget"):
            found = selected(document["spec"]["selector"])
            self.expect(found == [document["metadata"]["name"]], f"{name(document)} selects the pods of {found}")
        for policy in self.rendering.of("NetworkPolicy"):
            found = selected(policy["spec"]["podSelector"])
            self.expect(len(found) == len(labels), f"{name(policy)} selects only {found}")
        for monitor in self.rendering.of("PodMonitor"):
            found = selected(monitor["spec"]["selector"])
            expected = [
                owner["metadata"]["name"] for owner, _ in labels if owner["kind"] in ("Deployment", "ScaledJob")
            ]
            self.expect(found == expected, f"{name(monitor)} selects {found}")
            for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                rules = endpoint["relabelings"]
                pool = [rule for rule in rules if rule.get("targetLabel") == "pool"]
                self.expect(len(pool) == 1, f"{name(monitor)}: the label `pool` is not set once")
                source = pool[0]["sourceLabels"] if pool else []
                self.expect(source == ["__meta_kubernetes_pod_label_scriptorium_pool"], f"{name(monitor)}: {source}")
        for owner, pod in self.pods:
            for spread in pod["spec"].get("topologySpreadConstraints", []):
                self.expect(selected(spread["labelSelector"]) == [owner["metadata"]["name"]], f"{name(owner)}: spread")

    def secrets(self) -> None:
        """Every secret that is read is one that the values name, under a key that they name or the chart's default."""
        named = set(_strings(self.values))
        defaults = {
            "url",
            "management-url",
            "username",
            "password",
            "access-key",
            "secret-key",
            "webhook-secret",
            "ca.crt",
        }
        for document in self.rendering.documents:
            for secret, key in _secrets(document):
                self.expect(secret in named, f"{name(document)} reads the secret {secret}, which no value names")
                self.expect(key in named | defaults, f"{name(document)} reads the key {key}, which no value names")
        wanted = {
            section["existingSecret"]
            for section in (self.values.get(key, {}) for key in ("broker", "store", "webhooks"))
            if section.get("existingSecret")
        }
        for owner, pod in self.pods:
            read = {secret for secret, _ in _secrets(pod)}
            self.expect(wanted <= read, f"{name(owner)} does not read {wanted - read}")
            for container in pod["spec"].get("initContainers", []):
                plain = [mount["name"] for mount in container["volumeMounts"]]
                self.expect(
                    "secrets" not in plain, f"{name(owner)}: the init container sees secrets that it does not need"
                )

    def containers(self, owner: Document, pod: Document) -> None:
        spec = pod["spec"]
        account = spec["serviceAccountName"]
        given = self.values.get("serviceAccount", {}).get("name")
        self.expect(self.exists("ServiceAccount", account) or account == given, f"{name(owner)}: no account {account}")
        self.expect(spec["automountServiceAccountToken"] is False, f"{name(owner)} gets a token")
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            where = f"{name(owner)}, container {container['name']}"
            variables = [variable["name"] for variable in container.get("env", [])]
            self.expect(len(variables) == len(set(variables)), f"{where}: a variable is set twice")
            self.expect("memory" in container.get("resources", {}).get("limits", {}), f"{where} has no memory limit")
            ports = {port["name"]: port["containerPort"] for port in container.get("ports", [])}
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                if owner["kind"] in ("Deployment", "ScaledJob") and container in spec["containers"]:
                    request = container[probe]["httpGet"]
                    self.expect(ports.get(request["port"]) == 9464, f"{where}: {probe} asks port {request['port']}")
                    path = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}[probe]
                    self.expect(request["path"] == path, f"{where}: {probe} asks {request['path']}")
            if container["name"] == "worker":
                grace = spec.get("terminationGracePeriodSeconds", 30)
                drain = int(environment(container)["SCRIPTORIUM__WORKER__DRAIN_SECONDS"])
                self.expect(grace >= drain + 5, f"{where}: grace {grace}, drain {drain}")
        named = {port["name"] for container in spec["containers"] for port in container.get("ports", [])}
        if owner["kind"] in ("Deployment", "ScaledJob"):
            for kind in self.rendering.of("PodMonitor"):
                wanted = {endpoint["port"] for endpoint in kind["spec"]["podMetricsEndpoints"]}
                self.expect(wanted <= named, f"{name(owner)} has no port {wanted - named} for the PodMonitor")
            for policy in self.rendering.of("NetworkPolicy"):
                wanted = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
                self.expect(wanted <= named, f"{name(owner)} has no port {wanted - named} for the NetworkPolicy")

    def volumes(self, owner: Document, pod: Document) -> None:
        volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes", [])}
        self.expect(len(volumes) == len(pod["spec"].get("volumes", [])), f"{name(owner)}: two volumes of one name")
        used = set()
        extra = {volume["name"] for volume in self.values.get("poolDefaults", {}).get("extraVolumes", [])}
        for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
            mounts = container["volumeMounts"]
            paths = [mount["mountPath"] for mount in mounts]
            self.expect(len(paths) == len(set(paths)), f"{name(owner)}: two mounts at one path")
            for path in paths:
                inside = [other for other in paths if other.startswith(path + "/")]
                self.expect(not inside, f"{name(owner)}: {inside} are mounted below {path}")
            used |= {mount["name"] for mount in mounts}
            writable = {mount["mountPath"] for mount in mounts if not mount.get("readOnly")}
            allowed = {"/tmp", "/models"} if container["name"] == "models" else {"/tmp"}
            self.expect(writable == allowed, f"{name(owner)}, {container['name']}: writable are {writable}")
        self.expect(used == set(volumes), f"{name(owner)}: volumes {set(volumes)}, mounted {used}")
        for volume in volumes.values():
            if "configMap" in volume and volume["name"] not in extra:
                wanted = volume["configMap"]["name"]
                found = [map for map in self.rendering.of("ConfigMap") if map["metadata"]["name"] == wanted]
                self.expect(
                    len(found) == 1 and "config.toml" in found[0]["data"], f"{name(owner)}: no ConfigMap {wanted}"
                )
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                given = self.values.get("models", {}).get("pvc", {}).get("existingClaim")
                self.expect(
                    self.exists("PersistentVolumeClaim", claim) or claim == given, f"{name(owner)}: no claim {claim}"
                )
            if "emptyDir" in volume:
                self.expect("sizeLimit" in volume["emptyDir"], f"{name(owner)}: {volume['name']} has no size limit")

    def restricted(self, owner: Document, pod: Document) -> None:
        """The Pod Security Standard `restricted`: kubernetes.io/docs/concepts/security/pod-security-standards."""
        spec = pod["spec"]
        context = spec.get("securityContext", {})
        self.expect(
            context.get("runAsNonRoot") is True and context.get("runAsUser", 1) != 0, f"{name(owner)} may be root"
        )
        self.expect(
            context.get("seccompProfile", {}).get("type") == "RuntimeDefault", f"{name(owner)}: seccomp profile"
        )
        for host in ("hostNetwork", "hostPID", "hostIPC"):
            self.expect(not spec.get(host), f"{name(owner)}: {host}")
        for container in [*spec.get("initContainers", []), *spec["containers"]]:
            own = container.get("securityContext", {})
            safe = own.get("allowPrivilegeEscalation") is False and own.get("capabilities", {}).get("drop") == ["ALL"]
            self.expect(safe and not own.get("privileged"), f"{name(owner)}: {container['name']} is not restricted")
            self.expect(own.get("readOnlyRootFilesystem") is True, f"{name(owner)}: the root is writable")
        kinds = {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"}
        allowed = {"configMap", "emptyDir", "image", "persistentVolumeClaim", "projected", "secret"}
        self.expect(kinds <= allowed, f"{name(owner)}: volumes {kinds - allowed}")

    def triggers(self) -> None:
        """What KEDA calls enough for one worker is what the worker takes, unless a value says otherwise."""
        own = {pool["name"]: pool for pool in self.values.get("pools", [{"name": "default"}])}
        for scaled in self.rendering.of("ScaledObject", "ScaledJob"):
            jobs = environment(worker_of(self.rendering, scaled))["SCRIPTORIUM__WORKER__JOBS"]
            pool = own[scaled["metadata"]["labels"]["scriptorium/pool"]]
            asked = pool.get("scaling", {}).get("keda", {}).get("messagesPerWorker", jobs)
            value = scaled["spec"]["triggers"][0]["metadata"]["value"]
            self.expect(value == str(asked), f"{name(scaled)}: value {value}, but a worker takes {asked}")

    def monitoring(self) -> None:
        """Rules are about the queues of this installation, and keep Prometheus' own templates."""
        source = (CHART / "files/rules.yaml").read_text()
        prefix = self.values["broker"].get("prefix", "scriptorium").replace(".", "[.]")
        for rules in self.rendering.of("PrometheusRule"):
            expected = load(source.replace("scriptorium[.]", f"{prefix}[.]"))[0]
            self.expect(rules["spec"] == expected, f"{name(rules)} is not files/rules.yaml for the prefix {prefix}")
        for map in self.rendering.of("ConfigMap"):
            for key, text in map["data"].items():
                if key.endswith(".json"):
                    expected = json.loads((CHART / "files/dashboard.json").read_text())
                    self.expect(json.loads(text) == expected, f"{name(map)} is not files/dashboard.json")
