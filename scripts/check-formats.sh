#!/usr/bin/env bash
# Reads transcripts in all formats with the libraries of others, and compares what they find with the
# JSON. Renders real recordings with the debug build; SCRIPTORIUM_TEST_MODELS is the directory of the models.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

venv=.cache/formats/venv
binary="${CARGO_TARGET_DIR:-target}/debug/scriptorium"

needs_build_tools
make_venv "$venv" -r scripts/requirements/formats.txt
cargo build --locked -p cli
export SCRIPTORIUM__MODELS__DIRECTORY="${SCRIPTORIUM_TEST_MODELS:-$PWD/.cache/models}"
# The fastest: which words are heard does not matter here.
export SCRIPTORIUM__MODELS__RECOGNIZER=whisper-tiny.en
exec "$venv/bin/python" scripts/check_formats.py --binary "$binary" "$@"
