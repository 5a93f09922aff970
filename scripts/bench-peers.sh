#!/usr/bin/env bash
# Compares Scriptorium with onnxruntime, PyTorch, funasr_onnx, sherpa-onnx, onnx-asr and
# faster-whisper: one thread, the same weights. Passes its arguments to bench_peers.py, for example
# `scripts/bench-peers.sh --only paraformer-int8,whisper --runs 7`. Takes 30 minutes, half of them
# for Parakeet, and 15 more the first time, to install the peers (12 GB in .cache, 5.5 of them
# PyTorch). Run it on an idle machine: other load makes the times unreliable.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

cache=.cache/bench-peers
clips=/usr/share/pocketsphinx/test/data
binary="${CARGO_TARGET_DIR:-target}/release/scriptorium"

needs_build_tools
needs_python ensurepip python3-venv
needs "$clips/librivox" pocketsphinx-testdata
install_missing
mkdir -p "$cache"

cargo build --release --locked -p cli --bin scriptorium
cargo build --release --locked -p speech --example parakeet --example segmentation \
    --example speaker_encoder
"$binary" models pull fsmn-vad
exec python3 scripts/bench_peers.py --binary "$binary" --cache "$cache" --recordings "$clips" \
    --vad "$("$binary" models path fsmn-vad)" "$@"
