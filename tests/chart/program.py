"""Compares the chart with the program: does it accept the configuration, and declare the queues that KEDA counts?"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from helm import Document, Rendering
from keda import triggers
from references import environment, pod_templates, worker_of
from schemas import name

# Keys that hold fractions; of all others, a fraction is a whole number that lost its type.
FRACTIONS = ("telemetry.trace_ratio", "speakers.step_seconds")
KINDS = ("jobs", "returned", "long")
# Values of secrets, by the end of the variable's name.
SECRETS = {"URL": "amqp://user:password@broker/vhost", "SECRET": "whsec_" + "QUJD" * 11, "KEY": "key"}


def run(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program = os.environ["SCRIPTORIUM_BIN"]
    return subprocess.run([program, *arguments], capture_output=True, text=True, env=env, check=False)


def configuration(env: dict[str, str] | None = None) -> dict[str, Any]:
    """Returns the program's configuration: value and origin by key."""
    result = run("config", "--json", env={"HOME": "/nonexistent", **(env or {})})
    if result.returncode != 0:
        raise ValueError(result.stderr.strip())
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def check_configuration(renderings: list[Rendering]) -> list[str]:
    """Has the program read the configuration of each container, with its file and its variables."""
    problems, seen = [], set()
    for rendering in renderings:
        pools = {pool["name"]: pool for pool in rendering.case.pools()}
        files = {
            found["metadata"]["name"]: found.get("data", {}).get("config.toml") for found in rendering.of("ConfigMap")
        }
        for owner, pod in pod_templates(rendering.documents):
            volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
            text = files[volumes["config"]["configMap"]["name"]]
            for container in [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]:
                key = json.dumps([text, container["env"]])
                if key in seen:
                    continue
                seen.add(key)
                where = f"{rendering}: {name(owner)}, {container['name']}"
                pool = pools.get(owner["metadata"]["labels"].get("scriptorium/pool", ""))
                problems += [f"{where}: {problem}" for problem in _read(text, container, pool)]
                problems += [f"{where}: {problem}" for problem in _arguments(container)]
    return problems


def _read(text: str, container: Document, pool: dict[str, Any] | None) -> list[str]:
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "config.toml").write_text(text)
        env = {}
        for variable, value in environment(container).items():
            if isinstance(value, dict):
                value = _secret(variable) if variable.startswith("SCRIPTORIUM__") else "x"
            elif variable.endswith("_FILE"):
                file = folder / variable
                file.write_text(_secret(variable.removesuffix("_FILE")))
                value = str(file)
            env[variable] = value
        if env.get("SCRIPTORIUM_CONFIG") != "/etc/scriptorium/config.toml":
            return [f"SCRIPTORIUM_CONFIG is {env.get('SCRIPTORIUM_CONFIG')}"]
        env["SCRIPTORIUM_CONFIG"] = str(folder / "config.toml")
        try:
            found = configuration(env)
        except ValueError as error:
            return [f"the program refuses the configuration: {error}"]
    problems = []
    for key, value in _expected(container, pool).items():
        # The program shows what a variable sets as text, and has checked that it is a number where it must be one.
        if found[key]["value"] not in (value, str(value)):
            problems.append(f"{key} is {found[key]['value']!r}, not {value!r}")
    for key, entry in found.items():
        # A whole number that became 900.0 on its way would be one for Python too.
        is_fraction = key in FRACTIONS or key.startswith("segmentation.vad.")
        if isinstance(entry["value"], float) and not is_fraction:
            problems.append(f"{key} is {entry['value']}, which was a whole number")
    return problems


def _secret(variable: str) -> str:
    return SECRETS[variable.rsplit("_", 1)[-1]]


def _expected(container: Document, pool: dict[str, Any] | None) -> dict[str, Any]:
    expected: dict[str, Any] = {"models.directory": "/models", "telemetry.listen": "0.0.0.0:9464"}
    if pool:
        # `models pull` pulls what the worker loads.
        expected |= {"models.recognizer": pool["recognizer"], "models.also": pool["also"]}
        expected["models.speakers"] = pool["speakers"] or None
        expected["models.speaker_segmentation"] = pool["speakerSegmentation"] or None
    if pool and container["name"] == "worker":
        threads = pool["threads"] or _cores(pool["resources"])
        expected["compute.threads"] = threads
        expected["worker.jobs"] = pool["jobs"] or threads + 1
        expected["worker.lanes"] = pool["lanes"]
        expected["worker.drain_seconds"] = pool["drainSeconds"]
        scaling = pool["scaling"]
        expected["worker.idle_seconds"] = scaling["scaledJob"]["idleSeconds"] if scaling["type"] == "scaledJob" else 0
    return expected


def _cores(resources: dict[str, Any]) -> int:
    quantity = str(resources.get("limits", {}).get("cpu") or resources["requests"]["cpu"])
    cores = float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)
    return max(1, math.ceil(cores))


def _arguments(container: Document) -> list[str]:
    """Has the program parse the arguments: `--help` behind them prints help, but fails on an unknown flag."""
    result = run(*container["args"], "--help", env={"HOME": "/nonexistent"})
    return [] if result.returncode == 0 else [f"the program refuses {container['args']}: {result.stderr.strip()}"]


def expected_queues(prefix: str, lanes: list[str]) -> set[str]:
    """The queues with jobs of these lanes: docs/operations.md, "Queues"."""
    suffixes = ["" if lane == "normal" else f".{lane}" for lane in lanes]
    names = {f"{prefix}.{kind}{suffix}" for kind in KINDS for suffix in suffixes}
    return names | {f"{prefix}.quarantine", f"{prefix}.parked"}


def _patterns(rendering: Rendering) -> list[tuple[str, str, set[str], str]]:
    """Returns whose each pattern is, the pattern, what it should match, and the prefix."""
    prefix = rendering.case.load()["broker"].get("prefix", "scriptorium")
    found = []
    for scaled in rendering.of("ScaledObject", "ScaledJob"):
        lanes = environment(worker_of(rendering, scaled))["SCRIPTORIUM__WORKER__LANES"].split(",")
        wanted = [expected_queues(prefix, lanes), {f"{prefix}.watches", f"{prefix}.undelivered"}]
        for trigger, names in zip(triggers(scaled), wanted, strict=False):
            found.append((f"{rendering}: {name(scaled)}", trigger["metadata"]["queueName"], names, prefix))
    return found


def check_queues(renderings: list[Rendering]) -> list[str]:
    """Has RabbitMQ select queues by the patterns, as KEDA does, among the program's and similar ones."""
    broker, management = (os.environ.get(f"SCRIPTORIUM_TEST_AMQP_{name}") for name in ("URL", "MANAGEMENT_URL"))
    if not (broker and management):
        print("\n!! SKIPPED: KEDA's patterns are not tried on a broker: no services are running\n", file=sys.stderr)
        return []
    vhost = urllib.parse.urlsplit(broker).path.removeprefix("/") or "%2f"
    api = _Management(management, vhost)
    by_prefix: dict[str, dict[str, tuple[str, set[str]]]] = {}
    for rendering in renderings:
        for whose, pattern, wanted, prefix in _patterns(rendering):
            by_prefix.setdefault(prefix, {})[pattern] = (whose, wanted)
    problems = []
    for prefix, patterns in by_prefix.items():
        # A prefix of its own keeps other tests' queues apart. It has the same special characters.
        own = f"{prefix}.chart-{uuid.uuid4().hex[:8]}"
        env = {"HOME": "/nonexistent", "SCRIPTORIUM__QUEUE__URL": broker, "SCRIPTORIUM__QUEUE__PREFIX": own}
        declared = run("dead", "list", env=env)
        if declared.returncode != 0:
            return [f"the program cannot declare its queues: {declared.stderr.strip()}"]
        # Names that a careless pattern would match, too.
        decoys = [
            f"{own}.jobs.urgent2",
            f"{own}.jobsx",
            f"x{own}.jobs",
            f"{own}2.jobs",
            own.replace(".", "x") + ".jobs",
        ]
        decoys += [f"{own}.watches.jobs", f"{own}xjobs", f"{own}.jobs".upper()]
        try:
            for decoy in decoys:
                api.call("PUT", f"/{urllib.parse.quote(decoy, safe='')}", {"durable": True})
            for pattern, (whose, wanted) in patterns.items():
                moved = pattern.replace("^(?-i:" + _quoted(prefix), "^(?-i:" + _quoted(own))
                if moved == pattern:
                    problems.append(f"{whose}: {pattern} does not begin with the prefix {prefix}")
                counted = set(api.select(moved))
                expected = {queue.replace(prefix, own, 1) for queue in wanted}
                if counted != expected:
                    problems.append(f"{whose}: {pattern} counts {sorted(counted)}, not {sorted(expected)}")
        finally:
            # The last part of the prefix is random, so that these are all queues of this test.
            for queue in api.select(own.rsplit(".", 1)[1]):
                api.call("DELETE", f"/{urllib.parse.quote(queue, safe='')}")
    return problems


def _quoted(text: str) -> str:
    """Quotes as Go's regexp.QuoteMeta does, for the characters that a prefix may have."""
    return text.replace(".", r"\.")


class _Management:
    """RabbitMQ's management API, asked in the way of KEDA's scaler (pkg/scalers/rabbitmq_scaler.go)."""

    def __init__(self, url: str, vhost: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self.base = f"{parts.scheme}://{parts.hostname}:{parts.port}/api/queues/{vhost}"
        passwords = urllib.request.HTTPPasswordMgrWithPriorAuth()
        passwords.add_password(None, self.base, parts.username or "", parts.password or "", is_authenticated=True)
        handlers = urllib.request.ProxyHandler({}), urllib.request.HTTPBasicAuthHandler(passwords)
        self.opener = urllib.request.build_opener(*handlers)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        with self.opener.open(request, timeout=20) as response:
            text = response.read()
        return json.loads(text) if text else None

    def select(self, pattern: str) -> list[str]:
        query = f"?page=1&use_regex=true&pagination=false&name={urllib.parse.quote_plus(pattern)}&page_size=100"
        return [queue["name"] for queue in self.call("GET", query)["items"]]
