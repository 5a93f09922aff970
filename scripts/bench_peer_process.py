#!/usr/bin/env python3
"""Runs one peer in a process of its own, as bench_peers.py requests.

usage: bench_peer_process.py PEER OPTIONS   (JSON; in the peer's own virtual environment)

Loads the peer's model, writes the time and memory of loading to standard output, then answers each
line of standard input (a request in JSON) with a line. CPU times are those of this process with all
its threads, of which one computes. Only the peer's work is timed: inputs are read and shaped
before.
"""

import json
import os
import pathlib
import re
import sys
import time


class OnnxRuntime:
    """The network alone, with the memory arena, on features computed before: its fastest use."""

    def __init__(self, model):
        import numpy
        import onnxruntime

        self.numpy, self.onnxruntime, self.model = numpy, onnxruntime, model
        self.version = onnxruntime.__version__

    def load(self):
        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = True
        options.log_severity_level = 3
        providers = ["CPUExecutionProvider"]
        self.session = self.onnxruntime.InferenceSession(self.model, options, providers=providers)

    def prepare(self, features):
        features = self.numpy.load(features)[None]
        values = {"speech": features, "speech_lengths": [features.shape[1]],
                  "language": [0], "textnorm": [15]}  # fmt: skip
        types = {"tensor(float)": "float32", "tensor(int32)": "int32"}
        return {
            node.name: self.numpy.asarray(values[node.name], types[node.type])
            for node in self.session.get_inputs()
        }

    def run(self, inputs):
        return self.session.run(None, inputs)

    def describe(self, outputs):
        scores, count = outputs[:2]
        return {
            "rows": scores.shape[1],
            "tokens": int(count[0]),
            "ids": scores[0].argmax(-1).tolist(),
        }


class OnnxChunks(OnnxRuntime):
    """A network that takes chunks of samples, on those of a recording, together."""

    def prepare(self, samples, chunk, step, chunks):
        samples = self.numpy.fromfile(samples, "float32")
        starts = range(0, chunks * step, step)
        array = self.numpy.stack([samples[start : start + chunk] for start in starts])[:, None]
        return {self.session.get_inputs()[0].name: array}

    def describe(self, outputs):
        return {"frames": outputs[0].shape[1]}


class OnnxWindows(OnnxRuntime):
    """A network that takes features of windows, on numbers of their size and shape."""

    def prepare(self, shape):
        features = self.numpy.random.default_rng(0).normal(0, 3, shape).astype("float32")
        return {self.session.get_inputs()[0].name: features}

    def describe(self, outputs):
        return {"values": outputs[0].shape[1]}


class OnnxAsr(OnnxRuntime):
    """onnx-asr's encoder, on numbers of the shape of features, and steps of its decoder."""

    def __init__(self, model, quantization):
        super().__init__(model)
        self.quantization = quantization or None

    def load(self):
        import onnx_asr

        options = self.onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.asr = onnx_asr.load_model(
            "nemo-conformer-tdt", self.model, quantization=self.quantization,
            sess_options=options, providers=["CPUExecutionProvider"],
        ).asr  # fmt: skip

    def prepare(self, seconds=None, steps=None):
        random = self.numpy.random.default_rng(0)
        if steps:
            # Any frame and state will do: a step is the same work.
            width = self.asr._encoder.get_outputs()[0].shape[1]
            return "steps", (steps, random.normal(size=width).astype("float32"))
        # As of real samples, a last frame that does not count.
        shape = (1, 128, 100 * seconds + 1)
        features = random.normal(size=shape).astype("float32")
        return "encoder", (features, self.numpy.array([100 * seconds]))

    def run(self, inputs):
        kind, values = inputs
        if kind == "encoder":
            return self.asr._encode(*values)[0]
        steps, frame = values
        tokens, state = [5], self.asr._create_state()
        for _ in range(steps):
            scores, _, state = self.asr._decode(tokens, state, frame)
        return scores

    def describe(self, outputs):
        return {"values": outputs.shape[-1]}


class Torch:
    """FunASR's own classes with the weights of the ONNX file, on features computed before."""

    def __init__(self, model, mode):
        import torch

        import bench_torch

        self.torch, self.module, self.model, self.mode = torch, bench_torch, model, mode
        self.version = f"{torch.__version__}, funasr {bench_torch.funasr_version()}"

    def load(self):
        self.torch.set_num_threads(1)
        self.network = self.module.paraformer_large(self.model)
        # Never closed: the bf16 copies of the weights live as long as the context that made them.
        self.contexts = self.module.contexts(self.mode)

    def prepare(self, features):
        import numpy

        return self.torch.from_numpy(numpy.load(features)[None])

    def run(self, features):
        return self.network(features)

    def describe(self, outputs):
        ids = outputs.argmax(-1)[0].tolist()
        return {"rows": len(ids), "tokens": len(ids), "ids": ids}


class FunasrOnnx:
    """From samples to text, used as in its README."""

    def __init__(self, vad, model):
        import compare_funasr
        import funasr_onnx  # noqa: F401
        import importlib.metadata

        self.module, self.vad, self.model = compare_funasr, vad, model
        self.version = importlib.metadata.version("funasr_onnx")

    def load(self):
        self.peer = self.module.FunasrOnnx(self.vad, self.model)

    def prepare(self, wav):
        return self.module.read_floats(wav)

    def run(self, samples):
        return self.peer.transcribe(samples)

    def describe(self, text):
        return {"characters": len(text)}

    # Inputs of other peers.

    def segments(self, wav):
        return self.peer.segments(self.prepare(wav))

    def features(self, wav, out):
        import numpy

        numpy.save(out, self.peer.features(self.prepare(wav)))


class SherpaOnnx:
    """Recognition alone: it has no FSMN-VAD, so it gets segments, whose detection is not timed."""

    def __init__(self, model, tokens):
        import sherpa_onnx

        import compare_funasr

        self.sherpa_onnx, self.module = sherpa_onnx, compare_funasr
        self.model, self.tokens, self.version = model, tokens, sherpa_onnx.__version__

    def load(self):
        self.recognizer = self.sherpa_onnx.OfflineRecognizer.from_paraformer(
            paraformer=self.model, tokens=self.tokens, num_threads=1
        )

    def prepare(self, wav, segments):
        return self.module.cut(self.module.read_floats(wav), segments)

    def run(self, pieces):
        texts = []
        for piece in pieces:
            stream = self.recognizer.create_stream()
            stream.accept_waveform(16_000, piece)
            self.recognizer.decode_stream(stream)
            texts.append(stream.result.text)
        return " ".join(texts)

    def describe(self, text):
        return {"characters": len(text)}


CLASSES = (OnnxRuntime, OnnxChunks, OnnxWindows, OnnxAsr, Torch, FunasrOnnx, SherpaOnnx)
PEERS = {peer.__name__: peer for peer in CLASSES}


def memory_mb():
    """Returns resident and peak memory in units of 10^6 bytes; the kernel counts in 1024 bytes."""
    status = pathlib.Path("/proc/self/status").read_text(encoding="ascii")
    return {
        name: int(re.search(rf"Vm{field}:\s*(\d+)", status)[1]) * 1024 / 1e6
        for name, field in (("resident_mb", "RSS"), ("peak_mb", "HWM"))
    }


def reset_peak():
    """Resets the peak (proc(5)), so that later it is the peak of the work, not of loading."""
    pathlib.Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def timed(work):
    wall, cpu = time.monotonic(), time.process_time()
    result = work()
    return result, {"cpu": time.process_time() - cpu, "wall": time.monotonic() - wall}


def answer(peer, request):
    action = request.pop("action")
    if action in ("segments", "features"):
        return {action: getattr(peer, action)(**request)}
    repeat = request.pop("repeat")
    inputs = peer.prepare(**request)
    times = []
    for _ in range(repeat):
        result, time_used = timed(lambda: peer.run(inputs))
        times.append(time_used)
    return {"times": times, **peer.describe(result), **memory_mb()}


def main():
    # Only answers go to standard output; what libraries print there goes to standard error.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    name, options = sys.argv[1:]
    peer = PEERS[name](**json.loads(options))
    before = memory_mb()["resident_mb"]
    _, load = timed(peer.load)
    report = {"version": peer.version, "load": load, "before_load_mb": before, **memory_mb()}
    print(json.dumps(report), file=answers, flush=True)
    reset_peak()
    for line in sys.stdin:
        print(json.dumps(answer(peer, json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
