#!/usr/bin/env bash
# Tries the HTML page of a transcript in Chromium: clicks, keys, search, names, hostile text, print, accessibility (axe), and a
# transcript of ten hours.
#
#   tests/html/run.sh                   # all tests
#   tests/html/run.sh -k search         # some
#   tests/html/run.sh --pictures DIR    # writes the pictures of the docs into DIR instead
#
# RENDER_HTML is the command that writes the page of a transcript to standard output; by default, the example of the crate
# `transcript`. CHROMIUM is the browser; by default, Debian's. Playwright and axe are installed under .cache/html.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

venv=$PWD/.cache/html
CHROMIUM=${CHROMIUM:-/usr/bin/chromium}

needs "$CHROMIUM" chromium
# The pictures have the fonts that most readers of Linux have.
needs /usr/share/fonts/truetype/noto/NotoSerif-Regular.ttf fonts-noto-core
# A change of the list installs anew.
if [[ ${#missing[@]} -gt 0 ]] || ! cmp -s scripts/requirements/html.txt "$venv/installed"; then
    make_venv "$venv" -r scripts/requirements/html.txt
    cp scripts/requirements/html.txt "$venv/installed"
fi

if [[ -z ${RENDER_HTML:-} ]]; then
    # With --workspace, because the features of dependencies, and with them what must be built, are those of all packages.
    cargo build --quiet --locked --workspace --example render_html
    RENDER_HTML=${CARGO_TARGET_DIR:-$PWD/target}/debug/examples/render_html
fi
export RENDER_HTML CHROMIUM
exec "$venv/bin/python" tests/html/check.py "$@"
