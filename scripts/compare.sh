#!/usr/bin/env bash
# Compares Scriptorium with faster-whisper: the same weights, recordings, precision and number of
# threads. Passes its arguments to compare.py, for example `scripts/compare.sh --runs 5 --json
# figures.json`. To use a model of another size, set COMPARE_MODEL to its directory.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

venv=.cache/compare/venv
clips=/usr/share/pocketsphinx/test/data
binary="${CARGO_TARGET_DIR:-target}/release/scriptorium"

[ -n "${COMPARE_MODEL:-}" ] || needs_build_tools
needs "$clips/librivox" pocketsphinx-testdata
make_venv "$venv" faster-whisper==1.2.1

if [ -z "${COMPARE_MODEL:-}" ]; then
    cargo build --release --locked -p cli
    "$binary" models pull whisper-tiny.en fsmn-vad
    COMPARE_MODEL="$("$binary" models path whisper-tiny.en)"
fi
# One thread each, as a batch worker uses for a recording. OpenMP and BLAS read these at start.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
exec "$venv/bin/python" scripts/compare.py --binary "$binary" --model "$COMPARE_MODEL" \
    --recordings "$clips" "$@"
