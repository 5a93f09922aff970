#!/usr/bin/python3 -IS
"""Plays kubectl and helm for the tests of scripts/acceptance.sh.

FAKE_STATE names a file with the state of the cluster, FAKE_FAULT what goes wrong in it. Every call is one step of
time. A call that the cluster does not expect goes to the list `unexpected` and fails.
"""

import json
import os
import re
import sys
from pathlib import Path

STATE = Path(os.environ["FAKE_STATE"])
FAULT = os.environ.get("FAKE_FAULT", "")
START = {
    "namespaces": [],
    "installed": False,
    "keda": FAULT != "no KEDA",
    "workers": [],
    "made": 0,
    "queue": [],  # [messages that wait, messages that are not acknowledged]
    "submissions": {},
    "age": 0,
    "calls": [],
    "unexpected": [],
}


class Cluster:
    def __init__(self) -> None:
        self.state = json.loads(STATE.read_text()) if STATE.exists() else dict(START)
        self.state["calls"].append(sys.argv[1:])

    def save(self) -> None:
        STATE.write_text(json.dumps(self.state))

    def replace_workers(self, number: int) -> None:
        first = self.state["made"]
        self.state["made"] += number
        self.state["workers"] = [f"trial-scriptorium-default-{first + index}" for index in range(number)]

    def step(self) -> None:
        """Lets KEDA and the workers go on, once work was submitted."""
        state = self.state
        if not state["installed"] or not state["queue"]:
            return
        state["age"] += 1
        waiting, taken = state["queue"]
        if not state["workers"] and waiting and FAULT != "never scales up":
            self.replace_workers(3)
        elif waiting and state["workers"]:
            state["queue"] = [0, waiting]
        elif taken and FAULT == "stops busy workers" and state["age"] == 7:
            state["workers"] = state["workers"][:1]
        elif taken and state["age"] > (5 if FAULT == "work is too short" else 12):
            state["queue"] = [0, 0]
            for name in state["submissions"]:
                state["submissions"][name] = "1"
        elif not waiting and not taken and state["age"] > 16 and FAULT != "never scales down":
            state["workers"] = []

    # -- kubectl

    def kubectl(self, words: list[str]) -> int:
        namespace = None
        if words[:1] == ["--context"]:
            words = words[2:]
        if words[:1] == ["--namespace"]:
            namespace, words = words[1], words[2:]
            if namespace not in self.state["namespaces"]:
                return self.surprise("there is no such namespace")
        self.step()
        text = " ".join(words)
        match words:
            case ["get", "--raw", "/readyz", *_]:
                return 1 if FAULT == "no cluster" else 0
            case ["get", "namespace", name]:
                return 0 if name in self.state["namespaces"] or FAULT == "namespace exists" else 1
            case ["get", "crd", "scaledobjects.keda.sh"]:
                return 0 if self.state["keda"] else 1
            case ["create", "namespace", name]:
                self.state["namespaces"].append(name)
                return 0
            case ["label", "namespace", _, "pod-security.kubernetes.io/enforce=restricted"]:
                return 0
            case ["delete", "namespace", *names]:
                self.state["namespaces"] = [name for name in self.state["namespaces"] if name not in names]
                return 0
            case ["create", "secret", "generic", "services" | "broker" | "store", *_] if namespace:
                return 0
            case ["apply", "--filename", "-"]:
                return self.apply(sys.stdin.read())
            case ["apply", "--filename", "scripts/acceptance/services.yaml"]:
                return 0
            case ["rollout", "status", "deployment/rabbitmq", "deployment/s3", "--timeout", _]:
                return 0
            case ["wait", "pod/tools", "--for", "condition=Ready", "--timeout", _]:
                return 0
            case ["exec", "--stdin", "tools", "--", "sh", "-s", *arguments]:
                return self.tools(sys.stdin.read(), arguments)
            case ["exec", "deployment/rabbitmq", "--", "rabbitmqctl", "--quiet", "--vhost", "acceptance", *_]:
                waiting, taken = self.state["queue"] or [0, 0]
                print(f"acceptance.jobs\t{waiting}\t{taken}\nacceptance.dead\t5\t5")
                return 0
            case ["get", "pods", "--selector", _, "--output", output]:
                for worker in self.state["workers"]:
                    print(f"pod/{worker}" if output == "name" else f"{worker} ")
                return 0
            case ["get", "scaledobjects", *_]:
                print("False" if FAULT == "not ready" else "True", end="")
                return 0
            case ["get", "deployments", *_, output]:
                if "image" in output:
                    print("scriptorium:acceptance", end="")
                else:
                    print(1 if FAULT == "upgrade resets replicas" else len(self.state["workers"]), end="")
                return 0
            case ["get", "job", name, *_]:
                print(self.state["submissions"][name], end="")
                return 0
            case ["api-resources", *_]:
                print("configmaps\nsecrets\nevents\nscaledobjects.keda.sh")
                return 0
            case ["get", "configmaps,secrets,scaledobjects.keda.sh", *_]:
                if "--selector" not in words:
                    print("secret/broker\nsecret/store\nconfigmap/kube-root-ca.crt")
                if self.state["installed"] or FAULT == "leaves an object":
                    print("configmap/trial-scriptorium")
                return 0
        if re.match(r"get (pods,deployments|events)|logs ", text):
            return 0  # what is shown after a failure
        return self.surprise("kubectl")

    def apply(self, manifest: str) -> int:
        name = re.search(r"name: (first|second)}", manifest)
        if name is None or "image: scriptorium:acceptance" not in manifest:
            return self.surprise(f"apply: {manifest}")
        self.state["submissions"][name[1]] = ""
        self.state["queue"], self.state["age"] = [9, 0], 0
        return 0

    def tools(self, script: str, arguments: list[str]) -> int:
        if "recordings.sh NUMBER MINUTES" in script and arguments == ["9", "29"]:
            print("9 recordings of 29 minutes")
            return 0
        if "transcripts.sh PREFIX NUMBER" in script and arguments in (["first", "9"], ["second", "9"]):
            print(8 if FAULT == "a transcript is missing" else 9)
            return 0
        return self.surprise("tools")

    # -- helm

    def helm(self, words: list[str]) -> int:
        if words[:1] == ["--kube-context"]:
            words = words[2:]
        if words[:3] == ["upgrade", "--install", "keda"]:
            self.state["keda"] = True
            return 0
        if words[:2] != ["--namespace", "scriptorium-acceptance"]:
            return self.surprise("helm works in the namespace of the test")
        match words[2:]:
            case ["install", "trial", "helm/scriptorium", "--values", values, "--wait", *_]:
                if 'image: {repository: "scriptorium", tag: "acceptance"}' not in Path(values).read_text():
                    return self.surprise("the values have no image")
                self.state["installed"] = True
                return 0
            case ["test", "trial", *_]:
                return 1 if FAULT == "helm test fails" else 0
            case ["upgrade", "trial", "helm/scriptorium", "--values", _, "--set-string", _, *_]:
                if FAULT == "upgrade conflicts":
                    print("conflict with \"keda-operator\": .spec.replicas", file=sys.stderr)
                    return 1
                self.replace_workers(len(self.state["workers"]))
                return 0
            case ["rollback", "trial", "1", "--wait", *_]:
                self.replace_workers(len(self.state["workers"]))
                return 1 if FAULT == "rollback fails" else 0
            case ["uninstall", "trial", "--wait", *_]:
                self.state["installed"] = False
                return 0
        return self.surprise("helm")

    def surprise(self, reason: str) -> int:
        self.state["unexpected"].append([reason, *sys.argv])
        return 99


def main() -> int:
    cluster = Cluster()
    program = Path(sys.argv[0]).name
    status = (cluster.helm if program == "helm" else cluster.kubectl)(sys.argv[1:])
    cluster.save()
    return status


sys.exit(main())
