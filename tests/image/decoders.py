"""Compares the ffmpeg of the image with Debian's, which has all demuxers and decoders: decoders.py FFMPEG.

Decodes the fixtures with both, as the worker does. The samples may differ by rounding: the image's has no assembly.
"""

import array
import subprocess
import sys
from pathlib import Path

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
# Of full scale 1.0: half a step of 16 bits.
TOLERANCE = 1.6e-5


def decode(ffmpeg: str, path: Path) -> array.array:
    """Returns the samples of the first track; none if it cannot be decoded."""
    command = [ffmpeg, "-nostdin", "-loglevel", "error", "-threads", "1", "-vn", "-sn", "-dn", "-i", str(path)]
    output = ["-map", "0:a:0", "-af", "aresample=async=1:first_pts=0", "-c:a", "pcm_f32le", "-f", "wav", "pipe:1"]
    wav = subprocess.run([*command, *output], capture_output=True, check=False).stdout
    start = wav.find(b"data") + 8
    samples = array.array("f")
    if start > 8:
        samples.frombytes(wav[start : start + (len(wav) - start) // 4 * 4])
    return samples


def main() -> None:
    (ffmpeg,) = sys.argv[1:]
    compared, wrong = 0, []
    for path in sorted([*FIXTURES.glob("audio/*.*"), *FIXTURES.glob("codecs/*.*"), *FIXTURES.glob("speech/*.*")]):
        if path.suffix in (".md", ".sh"):
            continue
        theirs, ours = decode("ffmpeg", path), decode(ffmpeg, path)
        difference = max((abs(a - b) for a, b in zip(theirs, ours, strict=False)), default=0.0)
        if len(theirs) != len(ours) or difference > TOLERANCE:
            wrong.append(f"{path.name}: {len(ours)} samples instead of {len(theirs)}, difference {difference:.2g}")
        compared += bool(theirs)
    print(f"ffmpeg of the image decodes {compared} recordings like Debian's")
    if wrong or compared < 40:
        sys.exit("decoded differently than by Debian's ffmpeg:\n" + "\n".join(wrong))


if __name__ == "__main__":
    main()
