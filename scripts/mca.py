#!/usr/bin/env python3
"""Counts the cycles of the inner loops for Arm: `make mca`.

usage: mca.py ASSEMBLY

Takes the loops from the compiler's assembly of `kernels`, runs them in llvm-mca on its models of
Neoverse cores, and compares the cycles per iteration with a lower bound from Arm's Software
Optimization Guides. USMMLA, BFMMLA, SDOT and FMLA on 128 bits issue to any SIMD pipeline, one per
cycle each (tables "ASIMD integer", "ASIMD BFloat16" and "ASIMD floating-point instructions"), so
the bound is the number of these instructions divided by the number of SIMD pipelines. Everything
else that the compiler adds to a loop, especially accumulators spilled to the stack, counts against
it.

Fails if

- no loop has loads and the number of these instructions that a tile has;
- a loop keeps the load pipelines (an `ldp` takes two slots) or the dispatch stage (section
  "Dispatch constraints") busy for longer than the SIMD pipelines, whatever llvm-mca reports;
- a loop does not reach MIN_SHARE of the bound.

Caches are not modelled: all operands are assumed to be in the first-level cache, for which panels
of weights and tiles of rows are sized.
"""

import re
import shutil
import subprocess
import sys
from typing import NamedTuple

MIN_SHARE = 0.9
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
# Name, instruction, how often an iteration of the full tile has it (smaller tiles compute the
# remaining rows), multiply-accumulates per instruction, cores that support it. The f32 loop is for
# cores with bfloat16; the Neoverse N1 uses dotprod.
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
    """Counts the instructions with this mnemonic."""
    return sum(line.split()[0] == mnemonic for line in loop)


def load_slots(loop):
    """Counts the slots that the loop takes in the load pipelines."""
    return sum(2 if line.startswith("ldp") else 1 for line in loop if line.startswith("ld"))


def cycles(loop, core, mca):
    """Returns the cycles per iteration that llvm-mca reports."""
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
        assembly_loops = list(loops(file))
    failures = []
    print("loop          core            instrs   bound  cycles  reached  MAC/cycle")
    for name, mnemonic, instructions, macs, cores in LOOPS:
        tiles = [
            loop
            for loop in assembly_loops
            if count(loop, mnemonic) == instructions and load_slots(loop)
        ]
        if not tiles:
            failures.append(f"{name}: no loop with loads and {instructions} {mnemonic}")
            continue
        # If there are several, the one with the most other instructions.
        loop = max(tiles, key=len)
        for core in cores:
            bound, taken = instructions / core.simd, cycles(loop, core, mca)
            print(
                f"{name:14}{core.name:13}{instructions:9}{bound:8.1f}{taken:8.1f}"
                f"{bound / taken:9.1%}{instructions * macs / taken:11.1f}"
            )
            others = {
                "loads": load_slots(loop) / core.loads,
                "instructions": len(loop) / core.dispatch,
            }
            for resource, needed in others.items():
                if needed > bound:
                    failures.append(
                        f"{name}, {core.name}: its {resource} alone take {needed:.1f} cycles, more "
                        f"than the bound of {bound:.1f}"
                    )
            if bound / taken < MIN_SHARE:
                failures.append(f"{name}, {core.name}: less than {MIN_SHARE:.0%} of the bound")
    if failures:
        sys.exit("\n".join(["", *failures]))


if __name__ == "__main__":
    main()
