"""The part of bench_peers.py that measures Parakeet-TDT, beside onnx-asr."""

import json
import sys

import bench_report
from bench_systems import SCRIPTS, Peer, Unavailable, command, python_environment

SECONDS = (10, 30)
# Steps of the decoder that are measured together, as in the example: about 30 s of speech.
STEPS = 200
# The files of the peer, and the ratio that we want to reach, of the encoder.
PRECISIONS = {"int8": ("int8", 1.6), "bf16": (None, 1.9), "f32": (None, 1.15)}
STEP_GOALS = {"int8": "at most 0.12 ms", "bf16": "at most 0.12 ms", "f32": None}
MEMORY_GOALS = {
    "opened_mb": ("resident after load", "at most 900 MB"),
    "peak_mb": ("peak memory of 30 s", "at most 1100 MB"),
}


def parakeet(bench):
    """Compares the encoder on segments, a step of the decoder, and memory.

    Weights are random, and their text is no measure: it has a token in almost every step. So the
    encoder and a step, which is a token or a blank, are measured apart. onnx-asr starts from
    features, Scriptorium's encoder from samples. Scriptorium quantizes the floats itself, as it does
    by default; onnx-asr reads the published kind of int8 files.
    """
    example = bench.arguments.binary.parent / "examples" / "parakeet"
    if not example.exists():
        raise Unavailable(f"{example} is missing: run `cargo build --release -p speech --examples`")
    model = inflate(bench)
    for precision, (quantization, goal) in PRECISIONS.items():
        with bench.available(onnx_asr(bench, model, quantization)) as peers:
            compare(bench, example, model, precision, goal, peers)


def inflate(bench):
    """Makes a model of random weights, unless it exists, and returns its directory."""
    out = bench.cache / "parakeet"
    # The file that is written last.
    if not (out / "onnx-asr" / "config.json").exists():
        print(f"Making {out} (takes a minute and 3.2 GB)", file=sys.stderr)
        script = SCRIPTS / "inflate_parakeet.py"
        command([bench.funasr_python(), script, out, "onnx-asr"], script.name)
    return out / "onnx-asr"


def onnx_asr(bench, model, quantization):
    """Returns functions that start onnx-asr, with the fastest onnxruntime and with the newest."""

    def start(name):
        python = python_environment(bench.cache / name, name)
        return Peer(python, "OnnxAsr", {"model": model, "quantization": quantization or ""})

    return {
        "onnx-asr 0.12.0, onnxruntime 1.20.1": lambda: start("onnx_asr"),
        "onnx-asr 0.12.0, onnxruntime, newest": lambda: start("onnx_asr-newest"),
    }


def compare(bench, example, model, precision, goal, peers):
    """Measures pairs of runs of the example and of each peer, in one precision."""
    results = {}

    def run_scriptorium(seconds, figure):
        words = [example, model, precision, seconds]
        result = json.loads(command(words, example.name))
        results.setdefault(seconds, []).append(result)
        return result[figure]

    def pairs(work, goal, figure, seconds, given, scale=1):
        run_peers = {
            label: (peer.version, lambda peer=peer: peer.cpu_seconds(repeat=3, **given) / scale)
            for label, peer in peers.items()
        }
        bench.measure_pairs(work, goal, run_peers, lambda: run_scriptorium(seconds, figure))

    name = f"Parakeet-TDT 0.6b {precision}"
    for seconds in SECONDS:
        work = f"{name}, encoder, {seconds} s"
        pairs(work, goal, "encoder_seconds", seconds, {"seconds": seconds})
    # Half of ours are blanks, as of speech; theirs cost the same.
    work = f"{name}, step of the decoder"
    given = {"steps": STEPS}
    pairs(work, STEP_GOALS[precision], "step_seconds", SECONDS[0], given, scale=STEPS)
    # What the runs above needed: the peer's peak is that of all its runs, 30 s at most.
    for label, peer in peers.items():
        theirs = {
            "opened_mb": peer.load_report["resident_mb"],
            "peak_mb": peer.last_run["peak_mb"],
        }
        for figure, (what, goal) in MEMORY_GOALS.items():
            ours = [result[figure] for result in results.get(SECONDS[-1], [])]
            values = [(theirs[figure], value) for value in ours] or [(theirs[figure], None)]
            goal = goal if precision == "int8" else None
            row = bench_report.row(f"{what}, {name}", label, peer.version, goal, values, "MB")
            bench.rows.append(row)
