"""Runs the worker as it is deployed, beside a real broker and store: deployment.py IMAGE FOLDER [HELM].

`podman kube play` starts the Deployment that HELM renders from the chart or, without HELM, the pod in pod.yaml. IMAGE has
models in it. A job is stopped in the middle, with SIGTERM, and finished by the next worker. The variables of
tests/services/start.sh must be set; podman's storage is expected to be used by nobody else.
"""

import base64
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Callable
from pathlib import Path

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent.parent / "scripts"))
from bench_services import Services  # noqa: E402

SENTENCE = here.parent / "fixtures/speech/sentence.wav"
# 200 s of speech: a worker with one thread takes several seconds, and a drain of 1 s interrupts it.
REPETITIONS = 60
# The sentence is "He might even have been made amiable himself".
WORD = "amiable"
SECRET = "scriptorium-test"
# A machine under load takes ten times as long as an idle one.
PATIENCE = 180


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {PATIENCE} s for {what}")
        time.sleep(0.1)


def without(manifest: str, *keys: str) -> str:
    """Returns the manifest without these keys of a container, each of which it must have."""
    for key in keys:
        manifest, removed = re.subn(rf"(?m)^( +){key}:\n(?:\1 .*\n)+", "", manifest)
        assert removed == 1, f"{removed} times {key}"
    return manifest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Deployment:
    def __init__(self, image: str, folder: Path, helm: str | None):
        self.image, self.folder, self.helm = image, folder, helm
        self.services = Services()
        self.port = free_port()
        self.name = f"image-{os.getpid()}"
        self.manifest = folder / "deployment.yaml"
        self.manifest.write_text(self.render() if helm else self.fill_in())

    def render(self) -> str:
        """Returns the worker's Deployment and configuration, rendered from the chart."""
        repository, tag = self.image.rsplit(":", 1)
        values = {
            "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
            "broker": {"existingSecret": SECRET, "prefix": self.name},
            "store": {
                "endpoint": self.services.endpoint,
                "region": "us-east-1",
                "forcePathStyle": True,
                "existingSecret": SECRET,
                "sources": [f"s3://{self.name}/recordings/"],
                "outputs": [f"s3://{self.name}/transcripts/"],
            },
            "models": {"cache": "image"},
            # podman knows no projected volumes.
            "mountSecrets": False,
            "poolDefaults": {
                "threads": 1,
                "drainSeconds": 1,
                "resources": {"requests": {"cpu": 1, "memory": "512Mi"}, "limits": {"memory": "1Gi"}},
                "scaling": {"type": "none"},
                # The machine's network is the pod's.
                "extraEnv": [{"name": "SCRIPTORIUM__TELEMETRY__LISTEN", "value": f"127.0.0.1:{self.port}"}],
            },
        }
        path = self.folder / "values.json"
        path.write_text(json.dumps(values))
        chart = here.parent.parent / "helm/scriptorium"
        templates = ["--show-only=templates/configmap.yaml", "--show-only=templates/worker-deployment.yaml"]
        rendered = run(self.helm, "template", "test", str(chart), f"--values={path}", *templates)
        # podman refuses ports in the network of the machine, and would run probes by a program in the container.
        return without(rendered, "ports", "startupProbe", "livenessProbe", "readinessProbe")

    def fill_in(self) -> str:
        text = (here / "pod.yaml").read_text()
        values = {
            "IMAGE": self.image,
            "SECRET": SECRET,
            "S3_ENDPOINT": self.services.endpoint,
            "PREFIX": self.name,
            "BUCKET": self.name,
            "ADMIN": str(self.port),
        }
        for name, value in values.items():
            text = text.replace(f"@{name}@", value)
        return text

    def start(self) -> None:
        run("podman", "kube", "play", "--network=host", str(self.manifest))
        wait_for("the start of the worker", lambda: self.get("/startupz") == 200)
        wait_for("readiness", lambda: self.get("/readyz") == 200)
        assert self.get("/livez") == 200

    def container(self) -> dict:
        found = [c for c in json.loads(run("podman", "ps", "--all", "--format=json")) if not c["IsInfra"]]
        assert len(found) == 1, found
        return found[0]

    def get(self, path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            if self.container()["State"] == "exited":
                raise RuntimeError("the worker has ended") from None
            return 0

    def has_begun(self) -> bool:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=10) as answer:
            return 'scriptorium_jobs_in_flight{lane="normal"} 1' in answer.read().decode()

    def stop(self) -> None:
        """Stops the worker as a node does, and expects that it ends by itself."""
        container = self.container()["Id"]
        begun = time.monotonic()
        run("podman", "stop", "--time=60", container)
        code = int(run("podman", "inspect", "--format={{.State.ExitCode}}", container))
        print(f"stopped in {time.monotonic() - begun:.1f} s, exit code {code}")
        assert code == 0, f"exit code {code} (137: SIGTERM had no effect)\n{self.log()}"
        run("podman", "kube", "down", str(self.manifest))

    def log(self) -> str:
        done = subprocess.run(["podman", "logs", self.container()["Id"]], capture_output=True, text=True)
        return "\n".join((done.stdout + done.stderr).splitlines()[-40:])

    def submit(self, recording: str) -> None:
        settings = self.services.environment(self.name, "/tmp", "/models")
        settings["SCRIPTORIUM__STORE__S3__REGION"] = "us-east-1"
        arguments = [f"--env={name}={value}" for name, value in settings.items() if name != "PATH"]
        command = ["podman", "run", "--rm", "--network=host", "--read-only", "--cap-drop=all", *arguments, self.image]
        run(*command, "submit", f"s3://{self.name}/{recording}", f"--out=s3://{self.name}/transcripts/")

    def transcript(self, recording: str) -> dict | None:
        name = recording.removeprefix("recordings/")
        try:
            return json.loads(self.services.s3("GET", f"{self.name}/transcripts/{name}.json"))
        except RuntimeError as error:
            if ": 404" in str(error):
                return None
            raise


def recording() -> bytes:
    with wave.open(str(SENTENCE)) as source:
        parameters, frames = source.getparams(), source.readframes(source.getnframes())
    path = Path(sys.argv[2]) / "recording.wav"
    with wave.open(str(path), "wb") as target:
        target.setparams(parameters)
        target.writeframes(frames * REPETITIONS)
    return path.read_bytes()


def main() -> None:
    image, folder, *helm = sys.argv[1:]
    deployment = Deployment(image, Path(folder), helm[0] if helm else None)
    services = deployment.services
    secrets = {"url": services.broker, "access-key": services.key, "secret-key": services.secret}
    encoded = {name: base64.b64encode(value.encode()).decode() for name, value in secrets.items()}
    path = Path(folder) / "secret.json"
    path.write_text(json.dumps(encoded))
    run("podman", "secret", "create", SECRET, str(path))

    services.s3("PUT", deployment.name)
    services.s3("PUT", f"{deployment.name}/recordings/long.wav", recording())
    try:
        deployment.start()
        deployment.submit("recordings/long.wav")
        wait_for("the start of the job", deployment.has_begun)
        assert deployment.transcript("recordings/long.wav") is None, "the job ended too early for this test"
        deployment.stop()
        assert deployment.transcript("recordings/long.wav") is None, "the job was not interrupted"

        deployment.start()
        wait_for("the transcript", lambda: deployment.transcript("recordings/long.wav") is not None)
        transcript = deployment.transcript("recordings/long.wav")
        assert transcript is not None
        words = json.dumps(transcript["segments"]).lower().count(WORD)
        print(f"the next worker wrote {len(transcript['segments'])} segments")
        # The word is in the text of segments and in the list of words.
        assert words >= REPETITIONS, f"{WORD} was recognized {words} times"
        deployment.stop()
    except BaseException:
        with contextlib.suppress(AssertionError):
            print(deployment.log(), file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
