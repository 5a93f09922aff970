#!/usr/bin/env bash
# Compares subtitles with those that whisper-ctranslate2 makes of the same recordings with the same weights, by
# the rules of check_subtitles.py. Passes its arguments to compare_subtitles.py: recordings of your own, and
# `--before OTHER-BINARY` for what another build makes of them. COMPARE_BINARY is used instead of a build, and
# COMPARE_MODELS instead of pulled models: directories in the CTranslate2 format, separated by spaces.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

venv=.cache/compare-subtitles/venv
clips=/usr/share/pocketsphinx/test/data
binary="${COMPARE_BINARY:-${CARGO_TARGET_DIR:-target}/release/scriptorium}"

[ -n "${COMPARE_BINARY:-}" ] || needs_build_tools
needs "$clips/librivox" pocketsphinx-testdata
make_venv "$venv" -r scripts/requirements/whisper_ctranslate2.txt

[ -n "${COMPARE_BINARY:-}" ] || cargo build --release --locked -p cli
if [ -z "${COMPARE_MODELS:-}" ]; then
    "$binary" models pull whisper-tiny.en whisper-base fsmn-vad
    COMPARE_MODELS="$("$binary" models path whisper-base) $("$binary" models path whisper-tiny.en)"
fi
models=()
for model in $COMPARE_MODELS; do models+=(--model "$model"); done
exec "$venv/bin/python" scripts/compare_subtitles.py --binary "$binary" "${models[@]}" \
    --clips "$clips/librivox" "$@"
