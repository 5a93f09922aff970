#!/usr/bin/env bash
# Sends webhooks to a server that verifies them with the library of Standard Webhooks, which is not ours.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

venv=.cache/webhooks/venv
needs_build_tools
make_venv "$venv" -r scripts/requirements/webhooks.txt
cargo build --locked -p notify --example send
exec "$venv/bin/python" scripts/check_webhooks.py \
    --sender "${CARGO_TARGET_DIR:-target}/debug/examples/send"
