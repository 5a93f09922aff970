#!/usr/bin/env bash
# Makes the archive and the Debian package of a binary, looks into both, and installs the package in a
# minimal Debian.
#
#   tests/packages/run.sh [BINARY]     default: the development build
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

binary=${1:-${CARGO_TARGET_DIR:-target}/debug/scriptorium}
target=$(dpkg --print-architecture | sed 's/amd64/x86_64/; s/arm64/aarch64/')-unknown-linux-gnu
passed=0
work=$(mktemp -d "${TMPDIR:-/tmp}/scriptorium-packages.XXXXXX")
trap 'rm -rf "$work"' EXIT

pass() {
    echo "ok   $*"
    passed=$((passed + 1))
}

fail() {
    echo "FAIL $*" >&2
    exit 1
}

needs readelf binutils
needs dpkg-deb dpkg
needs mmdebstrap mmdebstrap
needs man man-db
needs systemd-analyze systemd
needs lintian lintian
needs python3 python3
install_missing

export LEVEL=1
out=$work/out
mkdir "$out"
scripts/package.sh pages "$binary" "$out/pages"
scripts/package.sh licences "$out/THIRD-PARTY-LICENCES"
archive=$(scripts/package.sh archive "$binary" "$target" "$out")
deb=$(scripts/package.sh deb "$binary" "$target" "$out")
pass "made ${archive##*/} ($(du -h "$archive" | cut -f 1)) and ${deb##*/} ($(du -h "$deb" | cut -f 1))"

# The clock, the umask and the order of files must not show.
(
    umask 077
    PAGES=$out/pages LICENCES=$out/THIRD-PARTY-LICENCES
    export PAGES LICENCES
    scripts/package.sh archive "$binary" "$target" "$work/again" >/dev/null
    scripts/package.sh deb "$binary" "$target" "$work/again" >/dev/null
)
cmp "$archive" "$work/again/${archive##*/}" || fail "two archives of one binary differ"
cmp "$deb" "$work/again/${deb##*/}" || fail "two packages of one binary differ"
pass 'two builds are equal'

python3 tests/packages/check.py "$archive" "$target"
pass 'binstall finds the archive, which has all pages, completions and licences; NOTICE names every model'

for page in "$out"/pages/man1/*.1; do
    problems=$(LC_ALL=C.UTF-8 MANROFFSEQ='' MANWIDTH=80 man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)
    [[ -z $problems ]] || fail "$page: $problems"
done
pass 'manual pages have no mistakes'
completions=$out/pages/completions
bash -n "$completions/scriptorium.bash"
if command -v zsh >/dev/null; then zsh -n "$completions/_scriptorium"; fi
if command -v fish >/dev/null; then fish --no-execute "$completions/scriptorium.fish"; fi
pass 'completions have no mistakes'

unit=$work/root/lib/systemd/system/scriptorium-worker.service
dpkg-deb --extract "$deb" "$work/root"
# The program is where the unit says; systemd-analyze looks for it.
verified=$(systemd-analyze verify --man=no --recursive-errors=no --root="$work/root" "$unit" 2>&1) ||
    fail "systemd-analyze verify: $verified"
exposure=$(systemd-analyze security --offline=yes --threshold=25 --no-pager "$unit" 2>&1 | tail -n 1) ||
    fail "the unit is exposed: $exposure"
pass "the unit is hardened: ${exposure#*: }"

lintian=$(lintian --allow-root --fail-on error,warning --suppress-tags \
    initial-upload-closes-no-bugs "$deb" 2>&1) || fail "$lintian"
pass 'lintian finds neither errors nor warnings'
[[ -z $lintian ]] || printf '     %s\n' "${lintian//$'\n'/$'\n'     }"

install_in_debian() {
    local root=$work/debian
    mmdebstrap --quiet --variant=apt --include=ca-certificates bookworm "$root" ||
        { printf '\n!! SKIPPED: no minimal Debian to install the package in\n\n' >&2; return 0; }
    cp "$deb" "$root/tmp/new.deb"
    install -m 755 tests/packages/in-debian.sh "$root/tmp/test"
    chroot "$root" /tmp/test >"$work/installed" 2>&1 || fail "in a minimal Debian: $(cat "$work/installed")"
    pass "a minimal Debian installs, runs, removes and purges it: $(head -n 1 "$work/installed")"
}
install_in_debian

printf '\n%d passed, 0 failed\n' "$passed"
