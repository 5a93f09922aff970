# shellcheck shell=bash
# Sourced: finds out which Debian packages are missing, and installs those.

missing=()

# needs THING PACKAGE: THING is a command or a file that PACKAGE brings.
needs() { command -v "$1" >/dev/null || [ -e "$1" ] || missing+=("$2"); }

# needs_python MODULE PACKAGE
needs_python() { python3 -c "import $1" >/dev/null 2>&1 || missing+=("$2"); }

# needs_package PACKAGE: where nothing that it brings tells it from another.
needs_package() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] || missing+=("$1")
}

# needs_to_build: what `cargo build` takes, and what pulls models.
needs_to_build() {
    if ! command -v cargo >/dev/null; then
        echo "cargo is not on the PATH: install Rust (see rust-version in Cargo.toml) and come again" >&2
        return 1
    fi
    # The C and C++ tools are for libopus and the TLS library; pip fetches the models.
    needs gcc gcc
    needs g++ g++
    needs make make
    needs cmake cmake
    needs python3 python3
    needs_python pip python3-pip
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "not root, and no sudo: install these Debian packages by hand: ${missing[*]}" >&2
        return 1
    fi
}

install_missing() {
    [ ${#missing[@]} -gt 0 ] || return 0
    as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
