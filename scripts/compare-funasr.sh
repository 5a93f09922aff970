#!/usr/bin/env bash
# Compares Scriptorium with funasr_onnx: the same Paraformer file (int8), recordings and number of
# threads. Passes its arguments to compare_funasr.py, for example `scripts/compare-funasr.sh --runs
# 5`. Uses two models: a small trained one, for the words, and Paraformer-large in full size with
# random weights, for the speed (random weights recognize nothing). To use a trained
# Paraformer-large, set PARAFORMER_DIR to its directory.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

# Never writes random weights into PARAFORMER_DIR.
if [ -n "${PARAFORMER_DIR:-}" ] && [ ! -e "$PARAFORMER_DIR/model_quant.onnx" ]; then
    echo "$PARAFORMER_DIR contains no model_quant.onnx: export the model with quantization, or" \
        "unset PARAFORMER_DIR to use random weights" >&2
    exit 1
fi

cache=.cache/compare-funasr
venv=$cache/venv
clips=/usr/share/pocketsphinx/test/data
target=${CARGO_TARGET_DIR:-target}/release

needs_build_tools
needs "$clips/librivox" pocketsphinx-testdata
make_venv "$venv" -r scripts/requirements/funasr_onnx.txt

# One command for both: separate builds enable different features of shared dependencies and
# compile these twice.
cargo build --release --locked -p cli --bin scriptorium -p speech --example funasr_stages
"$target/scriptorium" models pull fsmn-vad
vad=$("$target/scriptorium" models path fsmn-vad)
large=${PARAFORMER_DIR:-$cache/paraformer-large}
if [ ! -e "$large/model_quant.onnx" ]; then
    echo "Making Paraformer-large in $large (takes a minute and 1.1 GB)"
    "$venv/bin/python" scripts/inflate_paraformer.py tests/fixtures/funasr-large "$large"
fi
# One thread each, as a batch worker uses for a recording. Libraries read these at start.
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMBA_NUM_THREADS=1
exec "$venv/bin/python" scripts/compare_funasr.py --binary "$target/scriptorium" \
    --stages "$target/examples/funasr_stages" --vad "$vad" --small tests/fixtures/words \
    --large "$large" --recordings "$clips" "$@"
