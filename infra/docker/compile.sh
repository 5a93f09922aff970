#!/bin/sh
# Compiles the program for an architecture: compile.sh amd64|arm64 PROFILE OUTPUT. Writes OUTPUT/ARCHITECTURE/scriptorium.
# Runs in the Dockerfile, and wherever Rust has the target and Debian's cross compilers are installed.
set -eu
architecture=$1
profile=$2
output=$3

case $architecture in
amd64) target=x86_64-unknown-linux-gnu triple=x86_64-linux-gnu ;;
arm64) target=aarch64-unknown-linux-gnu triple=aarch64-linux-gnu ;;
*) echo "compile.sh: unknown architecture $architecture" >&2 && exit 2 ;;
esac
folder=$profile
[ "$profile" != dev ] || folder=debug

export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
# The same bytes wherever the sources are.
separator=$(printf '\037')
export CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=$PWD=/src$separator--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo"
cargo build --locked --profile "$profile" --target "$target" --package cli --bin scriptorium
mkdir -p "$output/$architecture"
# Names of functions stay, for backtraces; the lines of the source do not: they are most of the file.
"$triple-strip" --strip-debug --enable-deterministic-archives \
    -o "$output/$architecture/scriptorium" "${CARGO_TARGET_DIR:-target}/$target/$folder/scriptorium"
