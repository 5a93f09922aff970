#!/usr/bin/env python3
"""Makes a full-size Paraformer directory, float and int8, from the graph without weights.

usage: inflate_paraformer.py FIXTURE OUT   (needs onnx 1.17, onnxruntime 1.20.1, numpy)

Weights are centre + scale * uniform(-1, 1), by splitmix64 from each tensor's seed. OUT must be new,
empty, or what an earlier run left unfinished: nobody's model is overwritten.
"""

import json
import lzma
import pathlib
import shutil
import sys

import numpy as np
import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

RECIPE = "@splitmix64-uniform"
VOCABULARY = ["<blank>", "<s>", "</s>"] + [chr(0x4E00 + i) for i in range(8400)] + ["<unk>"]
CONFIG = """\
model: Paraformer
model_conf:
  predictor_bias: 1
predictor_conf:
  tail_threshold: 0.45
frontend_conf:
  fs: 16000
  window: hamming
  n_mels: 80
  frame_length: 25
  frame_shift: 10
  dither: 0.0
  lfr_m: 7
  lfr_n: 6
lang: zh-cn
"""


# Is there from the first to the last moment of a run.
UNFINISHED = "inflate.unfinished"


def claim(out):
    """Begins an export in `out`; refuses a directory that holds anything else."""
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()) and not (out / UNFINISHED).exists():
        sys.exit(f"{out} holds files that this script did not leave unfinished: name a new directory")
    (out / UNFINISHED).touch()


def uniform(seed, count, centre, scale):
    with np.errstate(over="ignore"):
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z += np.uint64(seed)
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    unit = (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    return np.float32(centre) + np.float32(scale) * (np.float32(2) * unit - np.float32(1))


def graphs(graph):
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from graphs(attribute.g)


def inflate(model):
    for graph in graphs(model.graph):
        for tensor in graph.initializer:
            recipe = {entry.key: entry.value for entry in tensor.external_data}
            if recipe.get("location") != RECIPE:
                continue
            count = int(np.prod(tensor.dims))
            centre, scale = float(recipe["center"]), float(recipe["scale"])
            values = uniform(int(recipe["seed"]), count, centre, scale)
            tensor.ClearField("data_location")
            del tensor.external_data[:]
            tensor.raw_data = values.tobytes()


def quantize(source, target):
    """As FunASR's `export_utils` does it."""
    names = [node.name for node in onnx.load(source).graph.node]
    words = ("output", "bias_encoder", "bias_decoder")
    quantize_dynamic(
        model_input=source,
        model_output=target,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        reduce_range=False,
        weight_type=QuantType.QUInt8,
        nodes_to_exclude=[name for name in names if any(word in name for word in words)],
    )


def main():
    fixture, out = map(pathlib.Path, sys.argv[1:])
    claim(out)
    skeleton = lzma.decompress((fixture / "paraformer-large.skeleton.onnx.xz").read_bytes())
    model = onnx.ModelProto.FromString(skeleton)
    inflate(model)
    (out / "model.onnx").write_bytes(model.SerializeToString())
    del model
    (out / "tokens.json").write_text(json.dumps(VOCABULARY, ensure_ascii=False), encoding="utf-8")
    (out / "config.yaml").write_text(CONFIG, encoding="utf-8")
    shutil.copy(fixture.parent / "frontend" / "paraformer.mvn", out / "am.mvn")
    # Last, and in one step: what is there is whole.
    quantize(str(out / "model.onnx"), str(out / "model_quant.onnx.part"))
    (out / "model_quant.onnx.part").rename(out / "model_quant.onnx")
    (out / UNFINISHED).unlink()


if __name__ == "__main__":
    main()
