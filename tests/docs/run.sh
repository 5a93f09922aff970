#!/usr/bin/env bash
# Runs the commands of the documentation, as they are printed there, with the real program, a real broker and a real S3
# server, which tests/services/start.sh starts. tests/docs/blocks.toml lists what cannot be run here, and why.
#
#   tests/docs/run.sh           # SCRIPTORIUM_BIN: the program, by default the build of the development profile
#   tests/docs/run.sh --list    # only compares the list with the pages; needs no services
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

python3 -m unittest discover --quiet --start-directory tests/docs
exec python3 tests/docs/check.py --program "${SCRIPTORIUM_BIN:-${CARGO_TARGET_DIR:-target}/debug/scriptorium}" "$@"
