#!/usr/bin/env bash
# From a fresh Debian 12 with Rust to transcripts of real recordings: installs what is missing,
# builds, gets the default models, transcribes five LibriVox clips whose words are known.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

binary="${CARGO_TARGET_DIR:-target}/debug/scriptorium"
clips=/usr/share/pocketsphinx/test/data/librivox
out="$(mktemp -d)"
trap 'rm -rf "$out"' EXIT

# step TEXT COMMAND...: says what is done and how long it took; shows the output only of a failure.
step() {
    local text=$1 begun=$SECONDS
    shift
    printf '%-48s ' "$text ..."
    if ! "$@" >"$out/stdout" 2>"$out/stderr"; then
        printf 'failed after %d s\n\n' $((SECONDS - begun))
        cat "$out/stdout" "$out/stderr" >&2
        exit 1
    fi
    printf '%4d s\n' $((SECONDS - begun))
}

needs_to_build
needs "$clips/transcription" pocketsphinx-testdata

if [ ${#missing[@]} -gt 0 ]; then
    step "Installing ${missing[*]}" install_missing
fi
step "Building scriptorium (minutes, the first time)" cargo build --locked -p cli
step "Getting the models whisper-tiny.en and fsmn-vad" \
    "$binary" models pull whisper-tiny.en fsmn-vad
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
