#!/usr/bin/env bash
# Builds and tests Scriptorium for aarch64 (`make arm`, `make mca`). Needs Debian 12 on amd64 with
# Debian's security repository.
#
#   scripts/arm.sh build   builds the command line tool, and runs it once on an emulated CPU
#   scripts/arm.sh test    runs the tests of kernels and engine on emulated CPUs
#   scripts/arm.sh mca     compares the inner loops with the peak of Arm's cores (scripts/mca.py)
#
# Emulation shows whether results are correct, not how fast they are.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

# One CPU with everything up to Armv9 (i8mm, bf16), one with only dotprod, one with neither. The
# first has vectors of 128 bits, like Neoverse N2 and V2. With 512 bits and more, which no such CPU
# has, tract's own SVE2 kernels compute wrong results.
cpus=("max,sve-max-vq=1" neoverse-n1 cortex-a72)
target=aarch64-unknown-linux-gnu
# Separate from the host's build, which uses another compiler.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/arm"

# Uses the compiler that Debian's security repository provides for browsers, which has a standard
# library for aarch64. For rustup's compiler only rustup's server has one.
arm_cargo() { cargo --config .cargo/arm.toml "$@"; }

install_packages() {
    if [ "$(dpkg --print-architecture)" != amd64 ]; then
        echo "scripts/arm.sh needs Debian on amd64; on aarch64 use \`cargo test\`" >&2
        exit 1
    fi
    needs_build_tools
    # Checked by package name, because the package rustc installs the same file with an older
    # compiler.
    needs_package rustc-web
    needs aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
    needs aarch64-linux-gnu-g++ g++-aarch64-linux-gnu
    needs /usr/aarch64-linux-gnu/include/stdio.h libc6-dev-arm64-cross
    needs qemu-aarch64-static qemu-user-static
    needs_package libstd-rust-web-dev:amd64
    needs_package libstd-rust-web-dev:arm64
    dpkg --print-foreign-architectures | grep -qx arm64 || as_root dpkg --add-architecture arm64
    [ "$1" != mca ] || needs llvm-mca-22 llvm-22
    install_missing
    echo "$(/usr/bin/rustc --version), $(qemu-aarch64-static --version | head -n 1)"
}

# Without the command line tool, which takes minutes more to build: CI on Arm machines runs all tests.
selection=(--locked --profile emulated -p kernels -p engine --lib)
# Tests of whole networks take minutes, so they run on the first CPU only.
networks=(--test funasr)
no_networks=(
    -- --skip quantized_layers_of_models --skip unfused_nodes_of_large_networks_are_reported
)

build() {
    arm_cargo build --locked --profile emulated -p cli
    local binary=$CARGO_TARGET_DIR/$target/emulated/scriptorium
    QEMU_CPU=${cpus[0]} timeout 60 qemu-aarch64-static "$binary" --version
}

run_tests() {
    local cpu tests=("${networks[@]}")
    for cpu in "${cpus[@]}"; do
        printf '\n-- %s\n' "$cpu"
        # .cargo/arm.toml sets the emulator and its timeout.
        QEMU_CPU=$cpu arm_cargo test --quiet "${selection[@]}" "${tests[@]}"
        tests=("${no_networks[@]}")
    done
}

count_cycles() {
    # Builds this crate only, with the profile of the tests but as one codegen unit, and treats
    # warnings as errors: nothing else checks the code that is compiled for Arm only.
    local assembly=$CARGO_TARGET_DIR/kernels.s
    mkdir -p "$CARGO_TARGET_DIR"
    # Cargo does not track the assembly file: if it is missing, only a new build writes it.
    [ -e "$assembly" ] || rm -rf "$CARGO_TARGET_DIR/$target/emulated/.fingerprint"/kernels-*
    arm_cargo rustc --locked --quiet --profile emulated -p kernels --lib -- \
        -D warnings -C codegen-units=1 "--emit=asm=$assembly"
    python3 scripts/mca.py "$assembly"
}

case ${1:-} in
build | test | mca) install_packages "$1" ;;
*)
    sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
case $1 in
build) build ;;
test) run_tests ;;
mca) count_cycles ;;
esac
