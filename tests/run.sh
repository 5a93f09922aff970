#!/usr/bin/env bash
# Everything from a fresh Debian 12 with Rust to the test runner's summary; `make test` calls it.
# Installs what is missing, builds, fetches the test models, starts the services, runs every test,
# and stops the services again. Arguments go to the runner: tests/run.sh -p queue
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
models=${SCRIPTORIUM_TEST_MODELS:-$root/.cache/models}

install_packages() {
    local package missing=()
    for package in "$@"; do
        if [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) != installed ]]; then
            missing+=("$package")
        fi
    done
    [[ ${#missing[@]} -eq 0 ]] && return
    echo "installing ${missing[*]}"
    local as_root=(env DEBIAN_FRONTEND=noninteractive)
    [[ $(id -u) -eq 0 ]] || as_root=(sudo "${as_root[@]}")
    # No daemon of a package's own may start: the tests start theirs. The package's start scripts
    # ask this file.
    if [[ ! -e /usr/sbin/policy-rc.d ]]; then
        printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" install -m 755 /dev/stdin /usr/sbin/policy-rc.d
        # shellcheck disable=SC2064 # expanded now: what it names is local
        trap "${as_root[*]} rm -f /usr/sbin/policy-rc.d" RETURN
    fi
    local log
    log=$(mktemp)
    if ! { "${as_root[@]}" apt-get update -q &&
        "${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 30 "$log" >&2
        return 1
    fi
    rm -f "$log"
}

pull_models() {
    mkdir -p "$models"
    SCRIPTORIUM__MODELS__DIRECTORY=$models target/debug/scriptorium models pull \
        whisper-tiny.en fsmn-vad
}

have_nextest() {
    cargo nextest --version >/dev/null 2>&1
}

services=
stop_services() {
    [[ -z $services ]] || tests/services/stop.sh "$services/run"
    [[ -z $services ]] || rm -rf -- "$services"
    services=
}

start_services() {
    services=$(mktemp -d "${TMPDIR:-/tmp}/scriptorium-test.XXXXXX")
    local variables
    variables=$(tests/services/start.sh "$services/run")
    eval "$variables"
    export SCRIPTORIUM_TEST_SERVICES=1
}

trap stop_services EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# cmake and a C++ compiler build libopus and the TLS library.
install_packages cmake g++ rabbitmq-server ceph-common ceph-mon ceph-osd radosgw \
    pocketsphinx-testdata

# With the tests, so that nothing is compiled a second time for them.
cargo build --workspace --all-targets

pull_models
export SCRIPTORIUM_TEST_MODELS=$models

start_services

# The summary is the last thing printed, so the services stop in silence.
if have_nextest; then
    cargo nextest run --workspace --no-fail-fast "$@"
else
    cargo test --workspace --no-fail-fast "$@"
fi
