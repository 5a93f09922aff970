#!/usr/bin/env bash
# Makes a release's archive and Debian package from a binary that was built before.
#
#   scripts/package.sh pages BINARY DIR            man pages and completions; BINARY runs on this machine
#   scripts/package.sh licences FILE               licences of the crates in the program
#   scripts/package.sh archive BINARY TARGET DIR   DIR/scriptorium-vVERSION-TARGET.tar.gz
#   scripts/package.sh deb BINARY TARGET DIR       DIR/scriptorium_VERSION_ARCHITECTURE.deb
#
# TARGET is a Rust target, as x86_64-unknown-linux-gnu. `archive` and `deb` take pages and licences from
# PAGES (default: DIR/pages) and LICENCES (default: DIR/THIRD-PARTY-LICENCES). The same inputs give the same
# bytes: all times are SOURCE_DATE_EPOCH, by default that of the last commit.
#
# crates/cli/Cargo.toml names the archives for `cargo binstall`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
    sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

fail() {
    echo "package.sh: $*" >&2
    exit 1
}

version() { sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml; }

# Whatever that of whoever builds is, it must not show.
umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
fi
export SOURCE_DATE_EPOCH

pages() {
    local binary=$1 pages=$2
    mkdir -p "$pages"/man1 "$pages"/completions
    "$binary" man --out "$pages/man1"
    "$binary" completions bash >"$pages/completions/scriptorium.bash"
    "$binary" completions zsh >"$pages/completions/_scriptorium"
    "$binary" completions fish >"$pages/completions/scriptorium.fish"
}

# Copies the binary without its debug information, and checks that it is of the target's architecture. Names of
# functions stay, for backtraces, and so does a binary that was stripped for the image.
take_binary() {
    local binary=$1 target=$2 to=$3 machine strip=strip
    case $target in
    x86_64-unknown-linux-gnu) machine='Advanced Micro Devices X86-64' ;;
    aarch64-unknown-linux-gnu) machine=AArch64 ;;
    *) fail "no packages are made for $target" ;;
    esac
    LC_ALL=C readelf -h "$binary" | grep -q "Machine: *$machine$" ||
        fail "$binary is not a program for $target"
    if ! LC_ALL=C readelf -h /proc/self/exe | grep -q "Machine: *$machine$"; then
        strip=${target%%-*}-linux-gnu-strip
    fi
    install -m 755 "$binary" "$to"
    "$strip" --strip-debug "$to"
}

archive() {
    local binary=$1 target=$2 out=$3 name
    name=scriptorium-v$(version)-$target
    local root=$work/$name
    mkdir -p "$root"
    take_binary "$binary" "$target" "$root/scriptorium"
    install -m 644 LICENSE NOTICE README.md CHANGELOG.md "$root"
    install -m 644 "$licences" "$root/THIRD-PARTY-LICENCES"
    mkdir "$root/man" "$root/completions"
    cp -r "$pages/man1" "$root/man"
    cp "$pages"/completions/* "$root/completions"
    chmod -R u=rwX,go=rX "$root"
    tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        --format=gnu -cf - "$name" | gzip "-${LEVEL:-9}n" >"$out/$name.tar.gz"
    echo "$out/$name.tar.gz"
}

# The Debian packages of the shared libraries, with the least versions that have the symbols. An unknown
# library ends the script, because a package that lacks a dependency is found only where it is missing.
libraries() {
    local binary=$1 library glibc packages=()
    while read -r library; do
        case $library in
        libc.so.6 | libm.so.6 | ld-linux-*)
            glibc=$(LC_ALL=C readelf -W --dyn-syms "$binary" | grep -o '@GLIBC_[0-9.]*' | sort -uV | tail -n 1)
            packages+=("libc6 (>= ${glibc#@GLIBC_})")
            ;;
        libgcc_s.so.1) packages+=('libgcc-s1 (>= 4.2)') ;;
        *) fail "no package is known for the library $library" ;;
        esac
    done < <(LC_ALL=C readelf -d "$binary" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
    [ ${#packages[@]} -gt 0 ] || fail "$binary has no shared libraries"
    printf '%s\n' "${packages[@]}" | sort -u | paste -sd , | sed 's/,/, /g'
}

deb() {
    local binary=$1 target=$2 out=$3 architecture root=$work/root doc file libraries
    case $target in
    x86_64-*) architecture=amd64 ;;
    aarch64-*) architecture=arm64 ;;
    esac
    doc=$root/usr/share/doc/scriptorium
    mkdir -p "$root/DEBIAN" "$root/usr/bin" "$root/usr/share/man/man1" "$doc" "$root/var/lib/scriptorium/models"
    take_binary "$binary" "$target" "$root/usr/bin/scriptorium"
    libraries=$(libraries "$root/usr/bin/scriptorium")

    install -D -m 644 infra/debian/config.toml "$root/etc/scriptorium/config.toml"
    install -D -m 640 infra/debian/default "$root/etc/default/scriptorium"
    install -D -m 644 -t "$root/lib/systemd/system" infra/debian/scriptorium-worker.service
    install -D -m 644 "$pages/completions/scriptorium.bash" \
        "$root/usr/share/bash-completion/completions/scriptorium"
    install -D -m 644 -t "$root/usr/share/zsh/vendor-completions" "$pages/completions/_scriptorium"
    install -D -m 644 -t "$root/usr/share/fish/vendor_completions.d" "$pages/completions/scriptorium.fish"
    install -m 644 infra/debian/copyright NOTICE "$doc"
    install -D -m 644 infra/debian/lintian-overrides "$root/usr/share/lintian/overrides/scriptorium"
    for file in "$pages"/man1/*.1; do
        gzip -9nc "$file" >"$root/usr/share/man/man1/${file##*/}.gz"
    done
    gzip -9n <CHANGELOG.md >"$doc/CHANGELOG.md.gz"
    # Debian's own format. Nobody reads it for more than the version.
    printf '%s (%s) stable; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n -- %s  %s\n' \
        scriptorium "$(version | tr - '~')" \
        "$(sed -n 's/^Maintainer: //p' infra/debian/control.in)" \
        "$(LC_ALL=C date --utc --rfc-email --date "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$doc/changelog.gz"
    gzip -9n <"$licences" >"$doc/THIRD-PARTY-LICENCES.gz"

    # In Debian's order 1.2.0~rc.1 comes before 1.2.0, and 1.2.0-rc.1 after it.
    sed -e "s/@VERSION@/$(version | tr - '~')/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@LIBRARIES@/$libraries/" \
        -e "s/@SIZE@/$(du -sk --exclude=DEBIAN "$root" | cut -f 1)/" \
        infra/debian/control.in >"$root/DEBIAN/control"
    install -m 644 infra/debian/conffiles "$root/DEBIAN"
    install -m 755 infra/debian/{postinst,prerm,postrm} "$root/DEBIAN"
    (cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | sort -z | xargs -0 md5sum) \
        >"$root/DEBIAN/md5sums"
    # mktemp makes folders that only their owner may read.
    chmod 755 "$root"
    find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    file=$out/scriptorium_$(version)_$architecture.deb
    # Tests set LEVEL, because they do not wait for the smallest package.
    dpkg-deb --root-owner-group -Zxz "-z${LEVEL:-9}" --build "$root" "$file" >/dev/null
    echo "$file"
}

case ${1:-}:$# in
pages:3) pages "$2" "$3" ;;
licences:2) scripts/third_party_licences.py >"$2" ;;
archive:4 | deb:4)
    mkdir -p "$4"
    pages=${PAGES:-$4/pages} licences=${LICENCES:-$4/THIRD-PARTY-LICENCES}
    [ -d "$pages/man1" ] || fail "no man pages in $pages: call \`package.sh pages\` first"
    [ -s "$licences" ] || fail "no licences in $licences: call \`package.sh licences\` first"
    "$1" "$2" "$3" "$4"
    ;;
*) usage ;;
esac
