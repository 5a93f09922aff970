#!/usr/bin/env bash
# Has docs/schemas/asyncapi.json read by the parser of AsyncAPI, and shows that it complains of a damaged one. That the
# file is up to date is checked by the test `published_schema` of the crate `worker`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/node.sh
source scripts/node.sh

tools=$PWD/.cache/asyncapi
node=$(node_for tests/asyncapi "$tools") || {
    status=$?
    [[ $status -eq 75 ]] || exit "$status"
    printf '\n!! SKIPPED: the AsyncAPI document is not checked: there is no Node for this platform\n\n' >&2
    exit 0
}

"$node" tests/asyncapi/check.js "$tools/npm" docs/schemas/asyncapi.json

damaged=$(mktemp)
trap 'rm -f "$damaged"' EXIT
sed 's|#/channels/events|#/channels/nowhere|' docs/schemas/asyncapi.json >"$damaged"
if "$node" tests/asyncapi/check.js "$tools/npm" "$damaged" 2>/dev/null; then
    echo 'the parser accepts a reference to a channel that does not exist' >&2
    exit 1
fi
