#!/usr/bin/env bash
# Sends webhooks to a server that verifies them with the library of Standard Webhooks, which is not ours.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

venv=.cache/webhooks/venv
needs python3 python3
needs_build_tools
needs_python ensurepip python3-venv
install_missing
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -r scripts/requirements/webhooks.txt
cargo build --locked -p notify --example send
exec "$venv/bin/python" scripts/check_webhooks.py \
    --sender "${CARGO_TARGET_DIR:-target}/debug/examples/send"
