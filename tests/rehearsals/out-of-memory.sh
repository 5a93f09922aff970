#!/usr/bin/env bash
# Rehearses a recording that takes all memory, among good ones: three workers, each in a cgroup of
# 600 MB and restarted whenever it dies, as Kubernetes would. Expects a transcript of each good recording
# and one dead letter.
#
#   tests/rehearsals/out-of-memory.sh MODELS [CONFIG=VALUE ...]
#
# MODELS is a model directory with whisper-tiny.en and fsmn-vad. With audio.max_packet_bytes as it is, the
# recording is refused; with SCRIPTORIUM__AUDIO__MAX_PACKET_BYTES=4000000000 it kills its workers.
# Needs root (cgroups), a build (cargo build), and the packages of the tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
models=$(realpath "${1:?usage: out-of-memory.sh MODELS [VARIABLE=VALUE ...]}")
shift
limit=600000000
scriptorium=$PWD/${CARGO_TARGET_DIR:-target}/debug/scriptorium
dir=$(mktemp -d)
cgroup_v2=/sys/fs/cgroup/scriptorium-rehearsal
cgroup_v1=/sys/fs/cgroup/memory/scriptorium-rehearsal
supervisors=()

clean_up() {
    touch "$dir/stop"
    for pid in "${supervisors[@]}"; do
        pkill -TERM -P "$pid" || true
        wait "$pid" || true
    done
    tests/services/stop.sh "$dir/services" || true
    rmdir "$cgroup_v1"/* "$cgroup_v1" "$cgroup_v2"/* "$cgroup_v2" 2>/dev/null || true
    rm -rf "$dir"
}
trap clean_up EXIT

# cgroup NAME: makes a cgroup with the limit and prints the file that takes processes in.
cgroup() {
    if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
        mkdir -p "$cgroup_v2/$1"
        echo +memory >"$cgroup_v2/cgroup.subtree_control"
        echo "$limit" >"$cgroup_v2/$1/memory.max"
        echo 0 >"$cgroup_v2/$1/memory.swap.max" 2>/dev/null || true
        echo "$cgroup_v2/$1/cgroup.procs"
    else
        mkdir -p "$cgroup_v1/$1"
        echo "$limit" >"$cgroup_v1/$1/memory.limit_in_bytes"
        echo "$cgroup_v1/$1/cgroup.procs"
    fi
}

# supervise NAME: keeps a worker running in a cgroup of its own.
supervise() {
    local procs deaths=0
    procs=$(cgroup "$1")
    while [[ ! -e $dir/stop ]]; do
        (
            echo "$BASHPID" >"$procs"
            exec "$scriptorium" worker --threads 1 2>>"$dir/$1.log"
        ) || {
            deaths=$((deaths + 1))
            echo "$1: death $deaths" >>"$dir/deaths"
        }
    done
}

variables=$(tests/services/start.sh "$dir/services")
eval "$variables"
export SCRIPTORIUM__MODELS__DIRECTORY=$models SCRIPTORIUM__MODELS__RECOGNIZER=whisper-tiny.en
export SCRIPTORIUM__QUEUE__URL=$SCRIPTORIUM_TEST_AMQP_URL
export SCRIPTORIUM__QUEUE__PREFIX=rehearsal SCRIPTORIUM__QUEUE__RETRY_DELAYS_SECONDS=1,2
export SCRIPTORIUM__WORKER__RETRY_DELAYS=1,1
export SCRIPTORIUM__WORKER__SOURCES=$dir/in SCRIPTORIUM__WORKER__OUTPUTS=$dir/out
for setting in "$@"; do export "${setting?}"; done

# The first packet of the bomb declares 1.5 GB, and the file has as many bytes (of zeros, on no disk).
mkdir "$dir/in" "$dir/out"
touch "$dir/deaths"
for n in $(seq 20); do cp tests/fixtures/speech/sentence.opus "$dir/in/$n.opus"; done
python3 - tests/fixtures/audio/aac-faststart.m4a "$dir/in/bomb.m4a" <<'PYTHON'
import sys
data = bytearray(open(sys.argv[1], "rb").read())
at = data.index(b"stsz") + 16
data[at:at + 4] = (1_500_000_000).to_bytes(4, "big")
with open(sys.argv[2], "wb") as out:
    out.write(data)
    out.truncate(2_000_000_000)
PYTHON

for name in one two three; do
    supervise "$name" &
    supervisors+=("$!")
done
status=0
"$scriptorium" submit "$dir/in" --out "$dir/out" --wait --json >"$dir/status.json" || status=$?
transcripts=$(find "$dir/out" -name '*.opus.json' | wc -l)
echo "transcripts: $transcripts of 20; deaths of workers: $(wc -l <"$dir/deaths")"
"$scriptorium" dead list
letters=$("$scriptorium" dead list --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)))')
[[ $status -eq 1 && $transcripts -eq 20 && $letters -eq 1 ]] || {
    tail -n 5 "$dir"/*.log >&2
    echo "FAILED: exit status $status, $transcripts transcripts, $letters dead letters" >&2
    exit 1
}
echo passed
