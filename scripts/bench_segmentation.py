"""The part of bench_peers.py that measures the segmentation network, which finds who speaks when."""

import array
import re

import compare
from bench_systems import SCRIPTS, Peer, Unavailable, command, python_environment

CHUNK, FRAME = 160_000, 270
CHUNKS = 8
# Frames from one chunk to the next, about 1 s and 2.5 s.
STEPS = (59, 148)


def segmentation(bench):
    """Compares batches of chunks that overlap, by their samples.

    onnxruntime computes each chunk by itself; Scriptorium is given the recording that they are
    chunks of, as in a transcription, and computes the filters that they share once. Times are those
    of one chunk.
    """
    model = SCRIPTS.parent / "tests" / "fixtures" / "segmentation"
    example = bench.arguments.binary.parent / "examples" / "segmentation"
    if not example.exists():
        raise Unavailable(f"{example} is missing: run `cargo build --release -p speech --examples`")

    def start():
        python = python_environment(bench.cache / "onnxruntime-newest", "onnxruntime")
        return Peer(python, "OnnxChunks", {"model": model / "model.onnx"})

    wav = compare.read_samples(bench.recording(1))
    values = array.array("f", (value / 32768 for value in array.array("h", wav)))
    samples = bench.folder / "segmentation.f32"
    samples.write_bytes(values.tobytes())
    with bench.available({"onnxruntime, newest": start}) as peers:
        for frames in STEPS:
            step = frames * FRAME
            given = {"samples": str(samples), "chunk": CHUNK, "step": step, "chunks": CHUNKS}
            run_peers = {
                label: (
                    peer.version,
                    lambda peer=peer, given=given: peer.cpu_seconds(repeat=3, **given) / CHUNKS,
                )
                for label, peer in peers.items()
            }

            def run_scriptorium(step=step):
                output = command([example, model, samples, step, CHUNKS], example.name)
                return float(re.search(r"([\d.]+) ms of CPU each", output)[1]) / 1e3

            work = f"segmentation-3.0, chunk of 10 s, step {step / 16_000:.1f} s, batch of {CHUNKS}"
            bench.measure_pairs(work, 1.5, run_peers, run_scriptorium)
