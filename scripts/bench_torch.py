"""Paraformer-large in PyTorch: FunASR's own encoder, predictor and decoder, an ONNX file's weights.

FunASR's model class joins the three as `Network` does, but imports code that reads audio and
downloads models; the three parts need only PyTorch. Sizes are those of the published `config.yaml`.
"""

import contextlib
import importlib.metadata

import onnx
import torch
from onnx import numpy_helper

from funasr.models.paraformer.cif_predictor import CifPredictorV2
from funasr.models.paraformer.decoder import ParaformerSANMDecoder
from funasr.models.sanm.encoder import SANMEncoder

SIZE, FRAME, VOCABULARY = 512, 560, 8404
LAYER = {"attention_heads": 4, "linear_units": 2048, "kernel_size": 11, "sanm_shfit": 0}


class Network(torch.nn.Module):
    """Maps features [1, frames, 560] to log-probabilities [1, tokens, 8404]."""

    def __init__(self):
        super().__init__()
        self.encoder = SANMEncoder(
            input_size=FRAME, output_size=SIZE, num_blocks=50, input_layer="pe",
            selfattention_layer_type="sanm", **LAYER
        )  # fmt: skip
        self.predictor = CifPredictorV2(SIZE, l_order=1, r_order=1, tail_threshold=0.45)
        self.decoder = ParaformerSANMDecoder(
            vocab_size=VOCABULARY,
            encoder_output_size=SIZE,
            num_blocks=16,
            att_layer_num=16,
            **LAYER,
        )
        self.decoder.embed = None  # embeds the reference tokens, in training only

    def forward(self, features):
        lengths = torch.tensor([features.shape[1]])
        hidden, lengths, _ = self.encoder(features, lengths)
        mask = torch.ones(1, 1, hidden.shape[1], dtype=torch.bool)
        # As the predictor's own `autocast(False)` intends: it accumulates sums, for which bf16 is
        # too inaccurate.
        with torch.autocast("cpu", enabled=False):
            embeddings, count, _, _ = self.predictor(hidden.float(), None, mask, ignore_id=-1)
        scores, _ = self.decoder(hidden, lengths, embeddings, count.round().long())
        return torch.log_softmax(scores, dim=-1)


def paraformer_large(path):
    """Returns the network with the weights of `path`, an f32 export of FunASR's with node names."""
    graph = onnx.load(path).graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    weights = {}
    for node in graph.node:
        for name in node.input:
            if name in tensors:
                value = torch.from_numpy(numpy_helper.to_array(tensors[name]).copy())
                # Matrices are stored transposed under a number; the node's name has the module's.
                if node.op_type == "MatMul":
                    weights[f"{module(node.name)}.weight"] = value.T.contiguous()
                else:
                    weights[name.replace(".model.", ".")] = value
    network = Network()
    network.load_state_dict(weights)
    return network.eval()


def module(name):
    """Returns the module of a node: `encoder.encoders.0.norm1` for
    `/encoder/encoders/encoders.0/norm1/Mul`."""
    parts = name.strip("/").split("/")[:-1]
    following = [*parts[1:], ""]
    return ".".join(a for a, b in zip(parts, following, strict=True) if not b.startswith(f"{a}."))


def contexts(mode):
    """Sets how GEMMs compute, until the returned stack is closed."""
    if mode == "fast-math":  # in addition to ONEDNN_DEFAULT_FPMATH_MODE in the environment
        torch.set_float32_matmul_precision("medium")
    stack = contextlib.ExitStack()
    stack.enter_context(torch.inference_mode())
    if mode == "autocast":
        stack.enter_context(torch.autocast("cpu", dtype=torch.bfloat16))
    return stack


def funasr_version():
    return importlib.metadata.version("funasr")
