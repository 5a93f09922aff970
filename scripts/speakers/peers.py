"""Diarizes recordings with a peer, in a process of its own; started by compare.py.

    peers.py SYSTEM OPTIONS FILE...     SYSTEM: sherpa or senko; OPTIONS: JSON

Prints a line of JSON for each file: the turns, and the CPU seconds without loading. Files are WAV, 16 kHz mono.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time
import wave

import numpy as np

# sherpa-onnx reads from the files what it has to know. Names and values are those of its own exporters.
SEGMENTATION = {
    "model_type": "pyannote-segmentation-3.0", "version": "1", "num_speakers": "3", "powerset_max_classes": "2",
    "num_classes": "7", "sample_rate": "16000", "window_size": "160000", "receptive_field_size": "991",
    "receptive_field_shift": "270",
}  # fmt: skip
EMBEDDING = {
    "framework": "3d-speaker", "language": "Chinese-English", "sample_rate": "16000", "output_dim": "192",
    "normalize_samples": "1", "feature_normalize_type": "global-mean",
}  # fmt: skip


def with_metadata(source: pathlib.Path, metadata: dict[str, str], target: pathlib.Path, rectify: bool = False) -> str:
    """Copies an ONNX file and adds the metadata that it lacks, and if `rectify`, sets negative values of its output to 0."""
    import onnx

    model = onnx.load(source)
    if rectify:
        name = model.graph.output[0].name
        for node in model.graph.node:
            node.output[:] = ["as it was" if output == name else output for output in node.output]
        model.graph.node.append(onnx.helper.make_node("Relu", ["as it was"], [name]))
    known = {entry.key for entry in model.metadata_props}
    for key, value in metadata.items():
        if key not in known:
            model.metadata_props.add(key=key, value=value)
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, target)
    return str(target)


class Sherpa:
    def __init__(self, options: dict) -> None:
        import sherpa_onnx as sherpa

        folder = pathlib.Path(options["cache"])
        segmentation = with_metadata(options["segmentation"], SEGMENTATION, folder / "segmentation.onnx")
        rectify = options["rectify"]
        embedding = with_metadata(options["embedding"], EMBEDDING, folder / f"campplus-{rectify}.onnx", rectify)
        pyannote = sherpa.OfflineSpeakerSegmentationPyannoteModelConfig(model=segmentation)
        # No minimum durations, because all methods here are scored without.
        config = sherpa.OfflineSpeakerDiarizationConfig(
            segmentation=sherpa.OfflineSpeakerSegmentationModelConfig(pyannote=pyannote, num_threads=1),
            embedding=sherpa.SpeakerEmbeddingExtractorConfig(model=embedding, num_threads=1),
            clustering=sherpa.FastClusteringConfig(num_clusters=-1, threshold=options["threshold"]),
            min_duration_on=0.0,
            min_duration_off=0.0,
        )
        if not config.validate():
            sys.exit("sherpa-onnx refuses the models")
        self.diarizer = sherpa.OfflineSpeakerDiarization(config)

    def turns(self, path: str) -> list[dict]:
        with wave.open(path) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
        found = self.diarizer.process(samples).sort_by_start_time()
        return [{"start": turn.start, "end": turn.end, "speaker": str(turn.speaker)} for turn in found]


class Senko:
    def __init__(self, options: dict) -> None:
        import senko

        self.diarizer = senko.Diarizer(device="cpu", vad="silero", warmup=False, quiet=True)

    def turns(self, path: str) -> list[dict]:
        found = self.diarizer.diarize(path)
        return found["merged_segments"] if found else []


def main() -> None:
    system, options, *files = sys.argv[1:]
    # Libraries write to the standard output, too.
    answers, sys.stdout = sys.stdout, sys.stderr
    peer = {"sherpa": Sherpa, "senko": Senko}[system](json.loads(options))
    for path in files:
        start = time.process_time()
        turns = peer.turns(path)
        answer = {"file": path, "cpu": time.process_time() - start, "turns": turns}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
