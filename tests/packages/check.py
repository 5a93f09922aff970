"""Checks a release's archive: what `cargo binstall` expects of it, what is in it, and what NOTICE says.

Usage: check.py ARCHIVE TARGET
"""

import fnmatch
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def toml(path: str) -> dict:
    return tomllib.loads((ROOT / path).read_text(encoding="utf-8"))


def binstall(target: str) -> tuple[str, str]:
    """Returns the address of the archive and the path of the program in it, as binstall computes them."""
    workspace = toml("Cargo.toml")["workspace"]["package"]
    package = toml("crates/cli/Cargo.toml")
    assert package["package"]["repository"]["workspace"], "binstall needs the address of the repository"
    settings = package["package"]["metadata"]["binstall"]
    values = {
        "repo": workspace["repository"],
        "version": workspace["version"],
        "target": target,
        "bin": package["bin"][0]["name"],
    }

    def fill(template: str) -> str:
        return re.sub(r"\{ ?([a-z-]+) ?\}", lambda match: values[match[1]], template)

    assert settings["pkg-fmt"] == "tgz"
    return fill(settings["pkg-url"]), fill(settings["bin-dir"])


def models_without_notice() -> list[str]:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    patterns = [
        pattern.strip()
        for group in re.findall(r"\(([a-z][^()]*)\)", notice.replace("\n    ", " "))
        for pattern in group.split(",")
    ]
    names = [model["name"] for model in toml("crates/models/catalogue.toml")["model"]]
    return [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)]


def commands(program: Path, *path: str) -> list[str]:
    """Returns the names of the manual pages that the program should have: one per command."""
    text = subprocess.run([program, *path, "--help"], check=True, capture_output=True, text=True).stdout
    section = re.search(r"^Commands:\n((?:  .*\n)+)", text, re.MULTILINE)
    names = re.findall(r"^  (\S+)", section[1], re.MULTILINE) if section else []
    own = "-".join(["scriptorium", *path])
    below = [page for name in names if name != "help" for page in commands(program, *path, name)]
    return [own, *below]


def main() -> None:
    archive, target = Path(sys.argv[1]), sys.argv[2]
    url, program = binstall(target)
    assert url.endswith("/" + archive.name), f"binstall looks for {url}, the archive is {archive.name}"
    folder = program.rsplit("/", 1)[0]
    with tarfile.open(archive) as tar:
        members = {member.name: member for member in tar.getmembers()}
        assert program in members, f"binstall looks for {program} in {archive.name}"
        assert members[program].mode == 0o755
        assert all(member.uid == 0 and not member.name.startswith(("/", "..")) for member in members.values())
        unpacked = archive.parent / "unpacked"
        tar.extractall(unpacked, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(unpacked)
    for name in ["LICENSE", "NOTICE", "README.md", "CHANGELOG.md", "THIRD-PARTY-LICENCES",
                 "completions/scriptorium.bash", "completions/_scriptorium", "completions/scriptorium.fish"]:
        assert f"{folder}/{name}" in members and members[f"{folder}/{name}"].size > 0, f"{name} is missing"
    pages = {Path(name).name.removesuffix(".1") for name in members if "/man/man1/" in name}
    expected = set(commands(unpacked / program))
    assert pages == expected, f"manual pages: {sorted(pages ^ expected)}"
    licences = (unpacked / folder / "THIRD-PARTY-LICENCES").read_text(encoding="utf-8")
    for crate in ["symphonia ", "aws-lc-sys ", "opusic-sys ", "tract-onnx "]:
        assert f"\n{crate}" in licences, f"the licence of {crate} is missing"
    missing = models_without_notice()
    assert not missing, f"NOTICE does not name the models {missing}"


main()
