#!/usr/bin/env python3
"""Counts the cycles of Arm's inner loops: `make mca`.

usage: mca.py ASSEMBLY

Takes the loops from the assembly that the compiler makes of `kernels`, runs them in llvm-mca on its
models of Neoverse cores, and compares the cycles per iteration with a lower limit from Arm's
Software Optimization Guides. USMMLA, BFMMLA, SDOT and FMLA on 128 bits issue to any SIMD pipeline,
one per cycle each (tables "ASIMD integer", "ASIMD BFloat16" and "ASIMD floating-point
instructions"), so that the limit is the number of these instructions divided by the number of SIMD
pipelines. Everything else that the compiler adds to a loop, above all sums spilled to the stack,
counts against the loop.

Fails if a loop

- is not found, with the number of these instructions that its tile has, and with loads;
- needs its load pipelines (an `ldp` takes two slots) or the dispatch stage (section "Dispatch
  constraints") for longer than its SIMD pipelines, whatever llvm-mca reports;
- does not reach SHARE of the limit.

Caches are not modelled: all operands are assumed to be in the first level, which strips of weights
and tiles of rows are sized for.
"""

import re
import shutil
import subprocess
import sys
from typing import NamedTuple

SHARE = 0.9
ITERATIONS = 1000
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
# Name, instruction, its number in an iteration of the whole tile (smaller tiles compute the
# remaining rows), multiply-accumulates per instruction, cores that have it. f32 is for cores with
# bfloat16: the Neoverse N1 computes with dotprod.
LOOPS = [
    ("int8 dotprod", "sdot", 96, 16, CORES),
    ("int8 i8mm", "usmmla", 48, 32, CORES[1:]),
    ("bf16", "bfmmla", 48, 16, CORES[1:]),
    ("f32", "fmla", 128, 4, CORES[1:]),
]


def loops(assembly):
    """Yields the instructions of every innermost loop, which ends in `b.ne` to an earlier label."""
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


def loads(loop):
    return sum(2 if line.startswith("ldp") else 1 for line in loop if line.startswith("ld"))


def cycles(loop, core, mca):
    source = "\n".join(["loop:", *loop[:-1], "b.ne loop", ""])
    command = [mca, "-mtriple=aarch64", f"-mcpu={core.name}", f"-iterations={ITERATIONS}"]
    report = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    return int(re.search(r"Total Cycles:\s+(\d+)", report.stdout)[1]) / ITERATIONS


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    mca = shutil.which("llvm-mca-22")
    if mca is None:
        sys.exit("llvm-mca-22 is missing; install Debian's package llvm-22")
    with open(sys.argv[1], encoding="utf-8") as file:
        found = list(loops(file))
    failures = []
    print("loop          core            instrs   limit  cycles  reached  MAC/cycle")
    for name, mnemonic, instructions, macs, cores in LOOPS:
        tiles = [loop for loop in found if count(loop, mnemonic) == instructions and loads(loop)]
        if not tiles:
            failures.append(f"{name}: no loop with loads and {instructions} {mnemonic}")
            continue
        # If there are several, the one with most other instructions.
        loop = max(tiles, key=len)
        for core in cores:
            limit, taken = instructions / core.simd, cycles(loop, core, mca)
            print(
                f"{name:14}{core.name:13}{instructions:9}{limit:8.1f}{taken:8.1f}"
                f"{limit / taken:9.1%}{instructions * macs / taken:11.1f}"
            )
            others = {
                "loads": loads(loop) / core.loads,
                "instructions": len(loop) / core.dispatch,
            }
            for what, needed in others.items():
                if needed > limit:
                    failures.append(f"{name}, {core.name}: {needed:.1f} cycles for its {what} alone")
            if limit / taken < SHARE:
                failures.append(f"{name}, {core.name}: less than {SHARE:.0%} of the limit")
    if failures:
        sys.exit("\n".join(["", *failures]))


if __name__ == "__main__":
    main()
