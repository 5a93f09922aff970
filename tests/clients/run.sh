#!/usr/bin/env bash
# Runs the programs of examples/clients against a real broker and a real worker: each submits a good recording and one
# that does not exist. Needs what tests/services/start.sh and tests/run.sh export.
#
#   tests/clients/run.sh    # SCRIPTORIUM_BIN: the program, by default the build of the development profile
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/node.sh
source scripts/node.sh

: "${SCRIPTORIUM_TEST_AMQP_URL:?start the services: eval \"\$(tests/services/start.sh DIR)\"}"
: "${SCRIPTORIUM_TEST_AMQP_MANAGEMENT_URL:?}" "${SCRIPTORIUM_TEST_MODELS:?}"
scriptorium=${SCRIPTORIUM_BIN:-${CARGO_TARGET_DIR:-target}/debug/scriptorium}
tools=$PWD/.cache/clients
folder=$(mktemp -d)
worker=

clean_up() {
    if [[ -n $worker ]]; then
        kill "$worker" 2>/dev/null || true
        wait "$worker" || true
    fi
    rm -rf "$folder"
}
trap clean_up EXIT

needs curl curl
needs jq jq
make_venv "$tools/python" --requirement examples/clients/python/requirements.txt

export AMQP_URL=$SCRIPTORIUM_TEST_AMQP_URL RABBITMQ=$SCRIPTORIUM_TEST_AMQP_MANAGEMENT_URL
export VHOST=${AMQP_URL##*/}
SCRIPTORIUM_PREFIX=clients-$(cat /proc/sys/kernel/random/uuid)
export SCRIPTORIUM_PREFIX
mkdir "$folder/in" "$folder/out"
cp tests/fixtures/speech/sentence.wav "$folder/in/a.wav"

start_worker() {
    HOME=$folder \
        SCRIPTORIUM__QUEUE__URL=$AMQP_URL \
        SCRIPTORIUM__QUEUE__PREFIX=$SCRIPTORIUM_PREFIX \
        SCRIPTORIUM__MODELS__DIRECTORY=$SCRIPTORIUM_TEST_MODELS \
        SCRIPTORIUM__MODELS__RECOGNIZER=whisper-tiny.en \
        SCRIPTORIUM__WORKER__EVENTS=confirmed \
        SCRIPTORIUM__WORKER__SOURCES=$folder/in \
        SCRIPTORIUM__WORKER__OUTPUTS=$folder/out \
        "$scriptorium" worker >"$folder/worker.log" 2>&1 &
    worker=$!
    for _ in $(seq 600); do
        ! grep -q 'leasing jobs' "$folder/worker.log" || return 0
        kill -0 "$worker" 2>/dev/null || break
        sleep 0.2
    done
    cat "$folder/worker.log" >&2
    return 1
}

# fails PATTERN COMMAND...: the command must fail, and say why.
fails() {
    local pattern=$1 said
    shift
    if said=$("$@" 2>&1); then
        echo "did not fail: $*" >&2
        return 1
    fi
    grep -q "$pattern" <<<"$said" || {
        printf '%s\nsaid, and not %s:\n%s\n' "$*" "$pattern" "$said" >&2
        return 1
    }
}

# try NAME COMMAND...: what a client does without a worker, with a recording, and without one.
try() {
    local name=$1 transcript
    shift
    transcript=$("$@" "file://$folder/in/a.wav" "file://$folder/out/$name")
    [[ $transcript == "file://$folder/out/$name.json" ]] || {
        echo "$name printed: $transcript" >&2
        return 1
    }
    grep -q 'amiable himself' "$folder/out/$name.json"
    fails '^source_missing: ' "$@" "file://$folder/in/none.wav" "file://$folder/out/$name-none"
    [[ -e $folder/out/$name-none.error.json ]]
    SCRIPTORIUM_PREFIX=$unused fails "there is no queue $unused.jobs" "$@" "file://$folder/in/a.wav" "file://$folder/x"
    echo "-- $name: submitted, told of the end, and of failures"
}

start_worker
# A prefix whose exchange of events exists, and whose queues do not.
unused=$SCRIPTORIUM_PREFIX-unused
"$tools/python/bin/python" - "$unused.events" <<'PYTHON'
import os, sys, pika

channel = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])).channel()
channel.exchange_declare(sys.argv[1], exchange_type="topic", durable=True)
PYTHON

try python "$tools/python/bin/python" examples/clients/python/submit.py
try shell examples/clients/shell/submit.sh
node=$(node_for examples/clients/node "$tools/node") || {
    status=$?
    [[ $status -eq 75 ]] || exit "$status"
    printf '\n!! SKIPPED: the client for Node is not run: there is no Node for this platform\n\n' >&2
    exit 0
}
try node env NODE_PATH="$tools/node/npm/node_modules" "$node" examples/clients/node/submit.js
