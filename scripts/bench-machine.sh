#!/usr/bin/env bash
# Measures recognizers on this machine with the recordings of `make demo`: builds the release, pulls the models,
# runs `scriptorium bench` on each, and writes DIR/MODEL-PRECISION.json and DIR/table.md.
#
#   scripts/bench-machine.sh [--runs N] [--out DIR] [MODEL...]     default: figures, whisper-base
#
# SCRIPTORIUM names a binary to measure instead of building one. A model that cannot be pulled is left out, and
# the table says so.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

runs=5 out=figures
while [ $# -gt 0 ]; do
    case $1 in
    --runs) runs=${2:?} && shift 2 ;;
    --out) out=${2:?} && shift 2 ;;
    -*)
        sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
    *) break ;;
    esac
done
[ $# -gt 0 ] || set -- whisper-base

clips=/usr/share/pocketsphinx/test/data/librivox
needs_build_tools
needs "$clips/transcription" pocketsphinx-testdata
needs python3 python3
install_missing

export SCRIPTORIUM__MODELS__DIRECTORY=${SCRIPTORIUM__MODELS__DIRECTORY:-$PWD/.cache/models}
if [ -z "${SCRIPTORIUM:-}" ]; then
    cargo build --locked --release -p cli
    SCRIPTORIUM=${CARGO_TARGET_DIR:-target}/release/scriptorium
fi
mkdir -p "$out"
rm -f "$out"/*.json
python3 scripts/bench_table.py join "$out/demo.wav" "$clips"/*.wav
"$SCRIPTORIUM" models pull fsmn-vad

left_out=()
for model in "$@"; do
    if ! "$SCRIPTORIUM" models pull "$model"; then
        left_out+=("$model")
        printf '\n!! SKIPPED: %s cannot be pulled\n\n' "$model" >&2
        continue
    fi
    for precision in int8 bf16; do
        # Some directories have no floats to make bf16 of.
        "$SCRIPTORIUM" bench --model "$model" --precision "$precision" --audio "$out/demo.wav" --runs "$runs" \
            --pipeline --json >"$out/$model-$precision.json" || rm "$out/$model-$precision.json"
    done
done
python3 scripts/bench_table.py table "$out"/*.json >"$out/table.md"
[ ${#left_out[@]} -eq 0 ] || printf '\nNot measured, because they could not be pulled: %s\n' "${left_out[*]}" >>"$out/table.md"
rm "$out/demo.wav"
cat "$out/table.md"
