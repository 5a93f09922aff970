#!/usr/bin/env bash
# Builds the release, and installs the program, its manual pages and its completions; `make install` calls it.
#
#   [PREFIX=DIR] [DESTDIR=DIR] [BINARY=FILE] scripts/install.sh
#
# PREFIX is /usr/local by default. DESTDIR is put before it, for packages. BINARY is installed instead of a build.
# Needs Rust and what `make demo` installs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

root=${DESTDIR:-}${PREFIX:-/usr/local}
binary=${BINARY:-}
if [[ -z $binary ]]; then
    needs_build_tools
    install_missing
    cargo build --release --locked -p cli
    binary=${CARGO_TARGET_DIR:-target}/release/scriptorium
fi

umask 022
pages=$(mktemp -d)
trap 'rm -rf "$pages"' EXIT
scripts/package.sh pages "$binary" "$pages"
install -D -m 755 "$binary" "$root/bin/scriptorium"
# Names of functions stay, for backtraces.
strip --strip-debug "$root/bin/scriptorium"
install -D -m 644 -t "$root/share/man/man1" "$pages"/man1/*.1
install -D -m 644 "$pages/completions/scriptorium.bash" "$root/share/bash-completion/completions/scriptorium"
install -D -m 644 -t "$root/share/zsh/site-functions" "$pages/completions/_scriptorium"
install -D -m 644 -t "$root/share/fish/vendor_completions.d" "$pages/completions/scriptorium.fish"
echo "installed $root/bin/scriptorium, manual pages and completions below $root/share"
