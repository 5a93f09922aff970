#!/usr/bin/env bash
# Builds and tests Scriptorium for aarch64 on Debian 12 on amd64 with its security repository:
# `make arm`, `make mca`.
#
#   scripts/arm.sh build   builds the command line tool
#   scripts/arm.sh test    builds, and runs the tests of kernels and engine on emulated processors
#   scripts/arm.sh mca     compares the inner loops with the peak of Arm's cores (scripts/mca.py)
#
# Emulation shows whether results are right, not how fast they are.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

# One processor with everything up to Armv9 (i8mm, bf16), one with dotprod alone, one with neither.
# The first has vectors of 128 bits, as Neoverse N2 and V2. With 512 bits and more, which no such CPU
# has, tract's own SVE2 kernels compute wrong results.
processors=("max,sve-max-vq=1" neoverse-n1 cortex-a72)
target=aarch64-unknown-linux-gnu
# Separate from the host's build, which another compiler makes.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/arm"

# The compiler is the one that Debian's security repository provides for browsers: rustup's server is
# the only source of a standard library for aarch64 that fits rustup's compiler.
arm_cargo() { cargo --config .cargo/arm.toml "$@"; }

install_packages() {
    if [ "$(dpkg --print-architecture)" != amd64 ]; then
        echo "needs Debian on amd64; on aarch64 use \`cargo test\`" >&2
        exit 1
    fi
    needs_to_build
    # By package name, because the package rustc installs the same file with an older compiler.
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

# Always the same packages and targets, so that features are the same and nothing is compiled twice.
chosen=(--locked --profile emulated -p kernels -p engine -p cli --lib)
# Whole networks take minutes, so they run on the first processor only.
networks=(--test funasr)
small=(-- --skip quantized_layers_of_models --skip what_no_rule_fused)

build() { arm_cargo build "${chosen[@]}" "${networks[@]}" --bins; }

run_tests() {
    local processor more=("${networks[@]}") binary=$CARGO_TARGET_DIR/$target/emulated/scriptorium
    QEMU_CPU=${processors[0]} timeout 60 qemu-aarch64-static "$binary" --version
    for processor in "${processors[@]}"; do
        printf '\n-- %s\n' "$processor"
        # .cargo/arm.toml sets the emulator and its timeout.
        QEMU_CPU=$processor arm_cargo test --quiet "${chosen[@]}" "${more[@]}"
        more=("${small[@]}")
    done
}

count_cycles() {
    # The build of the tests, but of this crate alone, as one unit, and without warnings in code that
    # is compiled for Arm only.
    local assembly=$CARGO_TARGET_DIR/kernels.s
    mkdir -p "$CARGO_TARGET_DIR"
    # Cargo does not track the assembly, and would find nothing to do.
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
test) build && run_tests ;;
mca) count_cycles ;;
esac
