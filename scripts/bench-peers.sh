#!/usr/bin/env bash
# Scriptorium beside onnxruntime, PyTorch, funasr_onnx, sherpa-onnx and faster-whisper, one thread, the
# same weights: see bench_peers.py, to which arguments go, e.g. `scripts/bench-peers.sh --only
# paraformer-int8,whisper --runs 7`. A quarter of an hour, and the first time as long again for
# setting up (8 GB in .cache, of which PyTorch is 5.5). For times to be trusted, on an idle machine.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

cache=.cache/bench-peers
clips=/usr/share/pocketsphinx/test/data
binary="${CARGO_TARGET_DIR:-target}/release/scriptorium"

needs_to_build
needs_python ensurepip python3-venv
needs "$clips/librivox" pocketsphinx-testdata
install_missing
mkdir -p "$cache"

cargo build --release --locked -p cli --bin scriptorium
"$binary" models pull fsmn-vad
exec python3 scripts/bench_peers.py --binary "$binary" --cache "$cache" --recordings "$clips" \
    --vad "$("$binary" models path fsmn-vad)" "$@"
