"""The part of bench_peers.py that measures the speaker encoder, CAM++."""

import array
import gzip
import re

import compare
from bench_systems import SCRIPTS, Peer, Unavailable, command, python_environment

FRAMES, BINS = 150, 80
WINDOWS = (1, 16)


def speaker_encoder(bench):
    """Compares windows of 1.5 s, alone and 16 at a time. Times are those of one window.

    onnxruntime starts from features, Scriptorium from samples. The weights are those of the
    fixture: made up, but of the real sizes.
    """
    fixture = SCRIPTS.parent / "tests" / "fixtures" / "campplus" / "model.onnx.gz"
    example = bench.arguments.binary.parent / "examples" / "speaker_encoder"
    if not example.exists():
        raise Unavailable(f"{example} is missing: run `cargo build --release -p speech --examples`")
    model = bench.folder / "campplus"
    model.mkdir()
    (model / "model.onnx").write_bytes(gzip.decompress(fixture.read_bytes()))

    def start():
        python = python_environment(bench.cache / "onnxruntime-newest", "onnxruntime")
        return Peer(python, "OnnxWindows", {"model": str(model / "model.onnx")})

    pcm = array.array("h", compare.read_samples(bench.recording(1)))
    samples = bench.folder / "speaker-encoder.f32"
    samples.write_bytes(array.array("f", (value / 32768 for value in pcm)).tobytes())
    with bench.available({"onnxruntime, newest": start}) as peers:
        for windows in WINDOWS:
            given = {"shape": [windows, FRAMES, BINS]}
            run_peers = {
                label: (
                    peer.version,
                    lambda peer=peer, given=given: (
                        peer.cpu_seconds(repeat=5, **given) / given["shape"][0]
                    ),
                )
                for label, peer in peers.items()
            }

            def run_scriptorium(windows=windows):
                output = command([example, model, samples, windows], example.name)
                return float(re.search(r"([\d.]+) ms of CPU each", output)[1]) / 1e3

            work = f"CAM++, window of 1.5 s, batch of {windows}"
            bench.measure_pairs(work, 1.5, run_peers, run_scriptorium)
