#!/usr/bin/env bash
# Transcribes five LibriVox clips on a fresh Debian 12 with Rust and prints the word error rate and
# the speed. Installs missing packages, builds scriptorium and pulls the default models first.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

binary="${CARGO_TARGET_DIR:-target}/debug/scriptorium"
clips=/usr/share/pocketsphinx/test/data/librivox
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT

# step TEXT COMMAND...: runs COMMAND; prints TEXT and the duration, and the output if it fails.
step() {
    local text=$1 start=$SECONDS
    shift
    printf '%-48s ' "$text ..."
    if ! "$@" >"$out/stdout" 2>"$out/stderr"; then
        printf 'failed after %d s\n\n' $((SECONDS - start))
        cat "$out/stdout" "$out/stderr" >&2
        exit 1
    fi
    printf '%4d s\n' $((SECONDS - start))
}

needs_build_tools
needs "$clips/transcription" pocketsphinx-testdata

if [ ${#missing[@]} -gt 0 ]; then
    step "Installing ${missing[*]}" install_missing
fi
step "Building scriptorium (first time: minutes)" cargo build --locked -p cli
step "Pulling the models whisper-base and fsmn-vad" "$binary" models pull
step "Transcribing five clips of 'Sense and Sensibility'" \
    "$binary" transcribe "$clips" --out "$out/transcripts" --format json --json
mv "$out/stdout" "$out/summary"

echo
python3 scripts/wer.py --reference "$clips/transcription" --transcripts "$out/transcripts"
python3 - "$out/summary" <<'PYTHON'
import json, sys
summary = json.load(open(sys.argv[1], encoding="utf-8"))
print("Speed: {audio_seconds:.1f} s of audio in {wall_seconds:.1f} s, "
      "{audio_seconds_per_core_second:.1f} seconds of audio per core-second".format(**summary))
PYTHON
