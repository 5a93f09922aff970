#!/usr/bin/env python3
"""Makes a model directory for sherpa-onnx from FunASR's Paraformer: the same network and weights.

usage: sherpa_model.py MODEL OUT   (needs onnx)

FunASR keeps settings in `config.yaml` and `am.mvn`; sherpa-onnx reads them from the metadata of the
ONNX file, under the names that its exporters for Paraformer write.
"""

import json
import pathlib
import re
import sys

import onnx


def statistics(mvn):
    """Reads the shift and the scale of the 560 features from a file in Kaldi's format."""
    text = mvn.read_text(encoding="utf-8")
    rows = re.findall(r"<LearnRateCoef> 0 \[([^\]]*)\]", text)
    shift, scale = (row.split() for row in rows)
    return shift, scale


def main():
    model, out = map(pathlib.Path, sys.argv[1:])
    tokens = json.loads((model / "tokens.json").read_text(encoding="utf-8"))
    shift, scale = statistics(model / "am.mvn")
    metadata = {
        "model_type": "paraformer",
        "version": "1",
        "vocab_size": str(len(tokens)),
        "lfr_window_size": "7",
        "lfr_window_shift": "6",
        "neg_mean": ",".join(shift),
        "inv_stddev": ",".join(scale),
    }
    network = onnx.load(model / "model_quant.onnx")
    for key, value in metadata.items():
        network.metadata_props.add(key=key, value=value)
    out.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{token} {id}\n" for id, token in enumerate(tokens))
    (out / "tokens.txt").write_text(lines, encoding="utf-8")
    # Renamed last, so that a model.int8.onnx that exists is complete.
    onnx.save(network, out / "model.int8.onnx.part")
    (out / "model.int8.onnx.part").rename(out / "model.int8.onnx")


if __name__ == "__main__":
    main()
