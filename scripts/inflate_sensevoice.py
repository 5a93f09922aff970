#!/usr/bin/env python3
"""Makes a full-size SenseVoiceSmall directory, float and int8, from the small export of the tests.

usage: inflate_sensevoice.py FIXTURES OUT   (needs onnx 1.17, onnxruntime 1.20.1, numpy)

FIXTURES/funasr/sensevoice is what FunASR's exporter writes for a model of one block of each kind. The
full one has the same blocks, wider and more of them: nothing else in the graph depends on size. What
comes out equals the export of the full model node by node, but for the numbers in generated names.
Weights are uniform, by splitmix64 from the hash of each tensor's name, as wide as PyTorch makes them.
OUT must be new, empty, or what an earlier run left unfinished.
"""

import gzip
import json
import math
import pathlib
import shutil
import sys

import numpy as np
import onnx
from onnx import numpy_helper

from inflate_paraformer import UNFINISHED, claim, quantize, uniform

# The small model's sizes, and the full one's. Frames of 560 values stay as they are.
WIDTHS = {64: 512, 192: 1536, 128: 2048, 48: 25055}
BLOCKS = {"encoders": 49, "tp_encoders": 20}
CONSTANTS = [
    ([64, 64, 64], [512, 512, 512]),  # queries, keys and values in one product
    ([64], [512]),
    ([16], [128]),  # a head of four
    (16**-0.5, 128**-0.5),  # scores
    (64**0.5, 512**0.5),  # input
]
PIECES = ["<unk>", "<s>", "</s>"] + [chr(0x4E00 + i) for i in range(WIDTHS[48] - 3)]
CONFIG = """\
model: SenseVoiceSmall
frontend_conf:
  fs: 16000
  window: hamming
  n_mels: 80
  frame_length: 25
  frame_shift: 10
  dither: 0.0
  lfr_m: 7
  lfr_n: 6
"""


def widen(graph):
    """Sizes of constants, convolutions and weights; the weights' values come later."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "group":
                attribute.i = WIDTHS[attribute.i]
        if node.op_type != "Constant":
            continue
        value = numpy_helper.to_array(node.attribute[0].t)
        for small, full in CONSTANTS:
            if value.shape == np.shape(small) and np.allclose(value, small, rtol=1e-6):
                full = np.array(full, value.dtype)
                node.attribute[0].t.CopyFrom(numpy_helper.from_array(full))
    for tensor in graph.initializer:
        tensor.dims[:] = [WIDTHS.get(size, size) for size in tensor.dims]
    for output in graph.output:
        for size in output.type.tensor_type.shape.dim:
            if size.dim_value:
                size.dim_value = WIDTHS[size.dim_value]


def deepen(graph, kind, count):
    """Puts `count - 1` copies of the block `kind`.0 after it, each fed by the one before."""
    here = f"/{kind}.0/"
    block = [node for node in graph.node if here in node.name]
    inside = {name for node in block for name in node.output}
    used = {name for node in block for name in node.input}
    # Constants that the exporter folded and weights that it transposed bear numbers for names.
    own = [
        node
        for node in graph.node
        if node.op_type == "Constant" and node.output[0] in used - inside
    ]
    weights = [t for t in graph.initializer if t.name in used]
    numbered = {node.output[0] for node in own} | {t.name for t in weights if "::" in t.name}
    block = [node for node in graph.node if node in block or node in own]
    source, last = block_input(block, here), block[-1].output[0]

    def renamed(name, number):
        if name == source:
            return last.replace(here, f"/{kind}.{number - 1}/")
        if name in numbered:
            return f"{name}.{number}"
        return name.replace(here, f"/{kind}.{number}/").replace(f".{kind}.0.", f".{kind}.{number}.")

    copies = []
    for number in range(1, count):
        for node in block:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = renamed(node.name, number) if here in node.name else f"{node.name}.{number}"
            copy.input[:] = [renamed(name, number) for name in node.input]
            copy.output[:] = [renamed(name, number) for name in node.output]
            copies.append(copy)
        for tensor in weights:
            copy = graph.initializer.add(data_type=tensor.data_type, dims=tensor.dims)
            copy.name = renamed(tensor.name, number)

    nodes = list(graph.node)
    end = max(index for index, node in enumerate(nodes) if node in block) + 1
    for node in nodes[end:]:
        node.input[:] = [name.replace(here, f"/{kind}.{count - 1}/") for name in node.input]
    del graph.node[:]
    graph.node.extend(nodes[:end] + copies + nodes[end:])


def block_input(block, here):
    """The hidden states: what the block's first normalization reads."""
    return next(node.input[0] for node in block if node.name.endswith(f"{here}norm1/Cast"))


def fill(graph):
    """Weights as PyTorch initializes them, but normalizations, which would be ones and zeros."""
    reads = {name: node for node in graph.node for name in node.input}
    for tensor in graph.initializer:
        shape, operator = list(tensor.dims), reads[tensor.name]
        centre, scale = 0.0, 1 / math.sqrt(512)
        if operator.op_type == "Gather":
            scale = math.sqrt(3)
        elif operator.op_type == "Conv":
            scale = 1 / math.sqrt(shape[-1])
        elif operator.op_type == "MatMul":
            scale = 1 / math.sqrt(shape[0])
        elif "/norm" in operator.name or "_norm" in operator.name:
            centre, scale = (1.0, 0.2) if operator.op_type == "Mul" else (0.0, 0.1)
        values = uniform(fnv1a(tensor.name), math.prod(shape), centre, scale)
        tensor.ClearField("float_data")
        tensor.raw_data = values.tobytes()


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def main():
    fixtures, out = map(pathlib.Path, sys.argv[1:])
    claim(out)
    small = gzip.decompress((fixtures / "funasr" / "sensevoice" / "model.onnx.gz").read_bytes())
    model = onnx.ModelProto.FromString(small)
    widen(model.graph)
    for kind, count in BLOCKS.items():
        deepen(model.graph, kind, count)
    fill(model.graph)
    (out / "model.onnx").write_bytes(model.SerializeToString())
    del model
    (out / "tokens.json").write_text(json.dumps(PIECES, ensure_ascii=False), encoding="utf-8")
    (out / "config.yaml").write_text(CONFIG, encoding="utf-8")
    shutil.copy(fixtures / "frontend" / "paraformer.mvn", out / "am.mvn")
    # Last, and in one step: what is there is whole.
    quantize(str(out / "model.onnx"), str(out / "model_quant.onnx.part"))
    (out / "model_quant.onnx.part").rename(out / "model_quant.onnx")
    (out / UNFINISHED).unlink()


if __name__ == "__main__":
    main()
