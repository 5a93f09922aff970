#!/usr/bin/env bash
# Scriptorium beside faster-whisper: the same weights, recordings, precision and thread count.
# Arguments go to compare.py, e.g. `scripts/compare.sh --runs 5 --json figures.json`. A model directory
# of another size may be named in COMPARE_MODEL.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

venv=.cache/compare/venv
clips=/usr/share/pocketsphinx/test/data
binary="${CARGO_TARGET_DIR:-target}/release/scriptorium"

needs python3 python3
[ -n "${COMPARE_MODEL:-}" ] || needs_to_build
needs_python ensurepip python3-venv
needs "$clips/librivox" pocketsphinx-testdata
install_missing
if [ ! -x "$venv/bin/python" ]; then
    echo "Setting up faster-whisper in $venv"
    python3 -m venv "$venv"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check faster-whisper==1.2.1

if [ -z "${COMPARE_MODEL:-}" ]; then
    cargo build --release --locked -p cli
    "$binary" models pull whisper-tiny.en fsmn-vad
    COMPARE_MODEL="$("$binary" models path whisper-tiny.en)"
fi
# One thread each: what a batch worker gives a recording. OpenMP and BLAS read these at start.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
exec "$venv/bin/python" scripts/compare.py --binary "$binary" --model "$COMPARE_MODEL" \
    --recordings "$clips" "$@"
