#!/usr/bin/env bash
# Scriptorium beside funasr_onnx: the same Paraformer file (int8), recordings and thread count.
# Arguments go to compare_funasr.py, e.g. `scripts/compare-funasr.sh --runs 5`. Two models: a small
# one that was trained (its words are compared), and Paraformer-large in full size with weights from a
# seed (its speed is; such weights hear no words). PARAFORMER_DIR names a real one instead.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

# Somebody's own model is never filled up with random weights.
if [ -n "${PARAFORMER_DIR:-}" ] && [ ! -e "$PARAFORMER_DIR/model_quant.onnx" ]; then
    echo "no model_quant.onnx in $PARAFORMER_DIR: export the model quantized, or unset" \
        "PARAFORMER_DIR for one with random weights" >&2
    exit 1
fi

cache=.cache/compare-funasr
venv=$cache/venv
clips=/usr/share/pocketsphinx/test/data
target=${CARGO_TARGET_DIR:-target}/release

needs_to_build
needs_python ensurepip python3-venv
needs "$clips/librivox" pocketsphinx-testdata
install_missing
if [ ! -x "$venv/bin/python" ]; then
    echo "Setting up funasr_onnx in $venv"
    python3 -m venv "$venv"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    -r scripts/requirements/funasr_onnx.txt

# At once: one by one, what both need would be compiled twice.
cargo build --release --locked -p cli --bin scriptorium -p speech --example funasr_stages
"$target/scriptorium" models pull fsmn-vad
vad=$("$target/scriptorium" models path fsmn-vad)
large=${PARAFORMER_DIR:-$cache/paraformer-large}
if [ ! -e "$large/model_quant.onnx" ]; then
    echo "Making Paraformer-large in $large (a minute, and 1.1 GB)"
    "$venv/bin/python" scripts/inflate_paraformer.py tests/fixtures/funasr-large "$large"
fi
# One thread each: what a batch worker gives a recording. Libraries read these at start.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1
exec "$venv/bin/python" scripts/compare_funasr.py --binary "$target/scriptorium" \
    --stages "$target/examples/funasr_stages" --vad "$vad" --small tests/fixtures/words \
    --large "$large" --recordings "$clips" "$@"
