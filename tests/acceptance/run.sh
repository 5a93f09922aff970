#!/usr/bin/env bash
# Tests scripts/acceptance.sh on a cluster that is played, and runs it where there is a real one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

python3 tests/acceptance/test_acceptance.py
# On a developer's machine, a cluster may be one that must not be touched.
if [[ -n ${SCRIPTORIUM_TEST_CLUSTER:-} ]]; then
    scripts/acceptance.sh --context "$SCRIPTORIUM_TEST_CLUSTER"
else
    printf '\n!! SKIPPED: the acceptance test needs a cluster: set SCRIPTORIUM_TEST_CLUSTER to a context of kubectl\n\n' >&2
fi
