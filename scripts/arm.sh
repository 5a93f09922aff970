#!/usr/bin/env bash
# Scriptorium for aarch64 on Debian 12 on amd64 with its security repository: `make arm`, `make mca`.
#
#   scripts/arm.sh build   the command line tool
#   scripts/arm.sh test    that, and the tests of kernels and engine on emulated processors
#   scripts/arm.sh mca     how near the inner loops come to what Arm's cores can do (scripts/mca.py)
#
# Emulation tells whether results are right, never how fast they come.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/packages.sh
source scripts/packages.sh

# One with everything up to Armv9 (i8mm, bf16), one with dotprod alone, one with neither. The first
# has vectors of 128 bits, as Neoverse N2 and V2: from 512 bits on, which no such machine has, tract's
# own SVE2 kernels give wrong products.
processors=("max,sve-max-vq=1" neoverse-n1 cortex-a72)
target=aarch64-unknown-linux-gnu
# Beside what is built for this machine, never among it: it is another compiler's.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/arm"

# The compiler is the one that Debian's security repository has for browsers: rustup's has no standard
# library for aarch64 unless it is fetched from rustup's own server.
arm_cargo() { cargo --config .cargo/arm.toml "$@"; }

install_packages() {
    if [ "$(dpkg --print-architecture)" != amd64 ]; then
        echo "this is for Debian on amd64; on aarch64 \`cargo test\` does it by itself" >&2
        exit 1
    fi
    needs_to_build
    # By name: the package rustc has the same file, and an older compiler.
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

# The same packages and kinds of targets each time: then features are the same, and nothing is
# compiled twice.
chosen=(--locked --profile emulated -p kernels -p engine -p cli --lib)
# Whole networks take minutes: they run on the first processor only.
networks=(--test funasr)
small=(-- --skip quantized_layers_of_models --skip what_no_rule_fused)

build() { arm_cargo build "${chosen[@]}" "${networks[@]}" --bins; }

run_tests() {
    local processor more=("${networks[@]}") binary=$CARGO_TARGET_DIR/$target/emulated/scriptorium
    QEMU_CPU=${processors[0]} timeout 60 qemu-aarch64-static "$binary" --version
    for processor in "${processors[@]}"; do
        printf '\n-- %s\n' "$processor"
        # What Cargo runs is in .cargo/arm.toml, with a timeout.
        QEMU_CPU=$processor arm_cargo test --quiet "${chosen[@]}" "${more[@]}"
        more=("${small[@]}")
    done
}

count_cycles() {
    # As it is built, but by itself, in one piece, and without warnings in what only Arm compiles.
    local assembly=$CARGO_TARGET_DIR/kernels.s
    mkdir -p "$CARGO_TARGET_DIR"
    # Cargo does not know of the assembly: it would find nothing to do.
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
