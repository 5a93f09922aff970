#!/usr/bin/env bash
# Finds the speakers of a recording of ten hours: peak memory, CPU seconds of each stage, and how right it is. Passes its
# arguments to ten_hours.py, for example `scripts/speakers/ten_hours.sh --hours 1`. Takes some 40 minutes on two cores, and
# 1.2 GB in .cache/compare-speakers.
set -euo pipefail
cd "$(dirname "$0")/../.."
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
exec "$cache/venv/bin/python" scripts/speakers/ten_hours.py --binary "$binary" --cache "$cache" "$@"
