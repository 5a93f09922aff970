#!/usr/bin/env python3
"""Counts the cycles of Arm's inner loops: `make mca`.

usage: mca.py ASSEMBLY

Takes the loops out of the assembly that the compiler made of `kernels`, has llvm-mca run them on its
models of Neoverse cores, and compares the cycles per pass with the least that the core needs by Arm's
Software Optimization Guides. Fails if a loop does not reach SHARE of that limit.

The limit is the greatest of three, each the number of operations in the loop by what the core takes
of them per cycle:

- products: SIMD pipelines. USMMLA, BFMMLA, SDOT and FMLA on 128 bits go to any of them (tables
  "ASIMD integer", "ASIMD BFloat16" and "ASIMD floating-point instructions"), one per cycle each.
- loads of 128 bits: load pipelines; `ldp` of two takes two slots.
- instructions: what the dispatch stage takes (section "Dispatch constraints").

It says nothing of caches: all operands are taken to be in the first level, as strips of weights and
tiles of rows are meant to be.
"""

import re
import shutil
import subprocess
import sys
from typing import NamedTuple

SHARE = 0.9
PASSES = 1000
BRANCH = re.compile(r"(b|bl|br|blr|ret|cbn?z|tbn?z)\b")


class Core(NamedTuple):
    name: str
    simd: int
    loads: int
    dispatch: int


CORES = [
    Core("neoverse-n1", simd=2, loads=2, dispatch=4),
    Core("neoverse-n2", simd=2, loads=3, dispatch=5),
    Core("neoverse-v1", simd=4, loads=3, dispatch=8),
    Core("neoverse-v2", simd=4, loads=3, dispatch=8),
]
# What is counted, products of numbers in each, the cores that have it. f32 is for cores with
# bfloat16: what the Neoverse N1 is for is dotprod.
LOOPS = [
    ("sdot", "int8 dotprod", 16, CORES),
    ("usmmla", "int8 i8mm", 32, CORES[1:]),
    ("bfmmla", "bf16", 16, CORES[1:]),
    ("fmla", "f32", 4, CORES[1:]),
]


def loops(assembly):
    """The instructions of every innermost loop that ends in `b.ne` to a label before it."""
    labels, lines = {}, []
    for line in assembly:
        code = line.split("//")[0].strip()
        if label := re.fullmatch(r"(\.?\w+):", code):
            labels[label[1]] = len(lines)
        elif code and not code.startswith("."):
            lines.append(code)
            branch = re.fullmatch(r"b\.ne\s+(\.?\w+)", code)
            if branch and branch[1] in labels:
                loop = lines[labels[branch[1]] :]
                if not any(BRANCH.match(line) for line in loop[:-1]):
                    yield loop


def count(loop, mnemonic):
    return sum(line.split()[0] == mnemonic for line in loop)


def limit(loop, mnemonic, core):
    loads = count(loop, "ldr") + 2 * count(loop, "ldp")
    products = count(loop, mnemonic)
    return max(products / core.simd, loads / core.loads, len(loop) / core.dispatch)


def cycles(loop, core, mca):
    source = "\n".join(["pass:", *loop[:-1], "b.ne pass", ""])
    command = [mca, "-mtriple=aarch64", f"-mcpu={core.name}", f"-iterations={PASSES}"]
    report = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    return int(re.search(r"Total Cycles:\s+(\d+)", report.stdout)[1]) / PASSES


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    mca = shutil.which("llvm-mca-22")
    if mca is None:
        sys.exit("llvm-mca-22 is missing: it is in Debian's package llvm-22")
    with open(sys.argv[1], encoding="utf-8") as file:
        found = list(loops(file))
    failed = False
    print("loop          core          products   limit  cycles  reached  MAC/cycle")
    for mnemonic, name, macs, cores in LOOPS:
        # The whole tile: others take what is left of the rows.
        loop = max(found, key=lambda loop: count(loop, mnemonic), default=[])
        if count(loop, mnemonic) < 16:
            sys.exit(f"no loop of {mnemonic} in {sys.argv[1]}")
        for core in cores:
            least, taken = limit(loop, mnemonic, core), cycles(loop, core, mca)
            products = count(loop, mnemonic)
            failed |= least / taken < SHARE
            print(
                f"{name:14}{core.name:13}{products:9}{least:8.1f}{taken:8.1f}"
                f"{least / taken:9.1%}{products * macs / taken:11.1f}"
            )
    if failed:
        sys.exit(f"a loop does not reach {SHARE:.0%} of its limit")


if __name__ == "__main__":
    main()
