#!/usr/bin/env bash
# Runs one fuzzer. Inputs that it finds interesting are kept in the target folder, inputs that fail in
# tests/fuzz/artifacts. Needs the nightly compiler and cargo-fuzz (`cargo install --locked cargo-fuzz`).
# Usage: tests/fuzz/run.sh TARGET [SECONDS]
#        tests/fuzz/run.sh TARGET minimize    chooses the inputs in tests/fuzz/corpus/TARGET again, from those
#                                             and from what was found
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

target=$1
seconds=${2:-600}
kept=tests/fuzz/corpus/$target
found=${CARGO_TARGET_DIR:-target}/fuzz-corpus/$target
mkdir -p "$kept" "$found" "tests/fuzz/regressions/$target" "tests/fuzz/artifacts/$target"
# The versions that the product is built with.
cp Cargo.lock tests/fuzz/Cargo.lock
# A target needs the crates of its group only.
group=$(sed -n "/^name = \"$target\"/,/^\[/s/^required-features = \[\"\(.*\)\"\]/\1/p" tests/fuzz/Cargo.toml)
fuzz() {
    local command=$1
    shift
    cargo +nightly fuzz "$command" --fuzz-dir tests/fuzz --codegen-units 4 --no-default-features --features "$group" \
        "$target" "$@"
}
limits=(-timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=256 -max_len=16384)

if [[ $seconds == minimize ]]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir "$work/merged"
    fuzz run "$work/merged" "$kept" "$found" -- -set_cover_merge=1 -use_counters=0 \
        -merge_control_file="$work/control" "${limits[@]}"
    tests/fuzz/choose.py "$work/control" "$kept"
    exit
fi
dictionary=tests/fuzz/dictionaries/$target.dict
[[ ! -e $dictionary ]] || limits+=("-dict=$dictionary")
fuzz run "$found" "$kept" "tests/fuzz/regressions/$target" -- "${limits[@]}" -max_total_time="$seconds" -print_final_stats=1
