#!/usr/bin/env bash
# Writes the list of all crates that Cargo.lock pins as an SPDX document: scripts/sbom.sh FILE.spdx.json
# Images have lists of their own, of what is in them, made when they are built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

out=${1:?usage: scripts/sbom.sh FILE.spdx.json}
environment=.cache/sbom
# The package ships syft's program.
make_venv "$environment" --requirement scripts/requirements/sbom.txt

SYFT_CHECK_FOR_APP_UPDATE=false "$environment/bin/syft" scan --quiet --source-name scriptorium \
    file:Cargo.lock --output "spdx-json=$out"
packages=$(python3 -c 'import json, sys; print(len(json.load(open(sys.argv[1]))["packages"]))' "$out")
echo "$out: $packages packages"
# An older scanner than the format of the lock file finds nothing, without an error.
locked=$(grep -c '^\[\[package\]\]' Cargo.lock)
if [ "$packages" -lt "$locked" ]; then
    echo "scripts/sbom.sh: Cargo.lock has $locked packages" >&2
    exit 1
fi
