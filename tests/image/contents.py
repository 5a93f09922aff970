"""Checks what is in an image: contents.py IMAGE ROOT ARCHITECTURE.

IMAGE is the output of `podman image inspect`, ROOT the folder where `podman image mount` shows its files.
"""

import json
import re
import stat
import subprocess
import sys
from pathlib import Path

# Numbers of processors in ELF files (elf.h).
MACHINES = {"amd64": 62, "arm64": 183}
# More than the files besides the program itself take today (amd64: 35 MB): what makes the image larger is to be noticed.
LARGEST_REST = 45_000_000


def machine(program: Path) -> int:
    """Returns the processor that an ELF file is for."""
    head = program.read_bytes()[:20]
    assert head[:4] == b"\x7fELF", f"{program} is not a program"
    return int.from_bytes(head[18:20], "little")


def check_configuration(image: dict, architecture: str, commit: str) -> None:
    config = image["Config"]
    labels = config["Labels"]
    assert (image["Os"], image["Architecture"]) == ("linux", architecture), image["Architecture"]
    assert config["User"] == "65532:65532", config["User"]
    assert config["Entrypoint"] == ["/usr/local/bin/scriptorium"], config["Entrypoint"]
    assert config["WorkingDir"] == "/", config["WorkingDir"]
    assert config.get("StopSignal", "SIGTERM") == "SIGTERM", config["StopSignal"]
    assert "SCRIPTORIUM__MODELS__DIRECTORY=/models" in config["Env"], config["Env"]
    # A volume that is declared here would hide models that another image adds.
    assert not config.get("Volumes"), config["Volumes"]
    title = "org.opencontainers.image."
    for name in ("title", "description", "licenses", "source", "documentation", "base.name"):
        assert labels.get(title + name), f"no label {title}{name}"
    assert re.fullmatch(r"\d+\.\d+\.\d+.*", labels[title + "version"]), labels
    assert labels[title + "revision"].removesuffix("-dirty") == commit, labels
    # podman prints nanoseconds.
    assert image["Created"][:19] == labels[title + "created"][:19], (image["Created"], labels)


def check_files(root: Path, architecture: str) -> None:
    program = root / "usr/local/bin/scriptorium"
    for path in (program, root / "usr/local/bin/ffmpeg"):
        assert machine(path) == MACHINES[architecture], f"{path.name} is not for {architecture}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o755, f"mode of {path}"
    certificates = (root / "etc/ssl/certs/ca-certificates.crt").read_text()
    assert certificates.count("BEGIN CERTIFICATE") > 100, "authorities of TLS are missing"
    assert (root / "usr/share/zoneinfo/Europe/Berlin").exists(), "time zones are missing"
    for name in ("ffmpeg", "scriptorium"):
        assert (root / f"usr/share/doc/{name}/copyright").stat().st_size > 0
    models = (root / "models").stat()
    assert (models.st_uid, models.st_gid) == (65532, 65532), "owner of /models"
    assert not (root / "bin/sh").exists(), "there is a shell"

    size = 0
    for path in root.rglob("*"):
        status = path.lstat()
        if stat.S_ISREG(status.st_mode):
            size += status.st_size
            assert not status.st_mode & (stat.S_ISUID | stat.S_ISGID), f"{path} is setuid or setgid"
            assert not status.st_mode & stat.S_IWOTH, f"everybody may write to {path}"
        elif stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_IWOTH:
            assert status.st_mode & stat.S_ISVTX, f"everybody may write to {path}"
    rest = size - program.stat().st_size
    print(f"{architecture}: {size / 1e6:.0f} MB, {rest / 1e6:.0f} MB of it besides the program")
    assert rest < LARGEST_REST, f"the image has {rest / 1e6:.0f} MB besides the program"


def main() -> None:
    image, root, architecture = sys.argv[1:]
    commit = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    (description,) = json.loads(Path(image).read_text())
    check_configuration(description, architecture, commit)
    check_files(Path(root), architecture)


if __name__ == "__main__":
    main()
