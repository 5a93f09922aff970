"""Transcribes recordings, reads every format with a library of others, and compares what it finds with
the JSON. Started by check-formats.sh, which installs the libraries."""

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
import wave
from pathlib import Path

import meeteval
import pysrt
import spyder
import tscribe
import webvtt
from pyannote.database.util import load_rttm

import read_formats

FORMATS = ["json", "jsonl", "srt", "vtt", "ass", "txt", "md", "docx", "tsv", "csv", "whisper-json", "verbose-json",
           "aws", "rttm", "ctm", "textgrid", "eaf"]
# Other formats in JSON, whose names also end with `.json`.
JSON_RENDERINGS = (".aws.json", ".whisper.json", ".verbose.json")
# Half a millisecond, in which the formats round, and the error of a sum.
TOLERANCE = 0.0006


def close(a, b):
    return abs(float(a) - float(b)) <= TOLERANCE


def letters(text):
    """The text without spaces and punctuation, which formats split off or leave out."""
    return "".join(c for c in text if c.isalnum())


def squeezed(text):
    return "".join(text.split())


class Transcript:
    """A transcript and the names of its renderings."""

    def __init__(self, path):
        self.json = json.loads(path.read_text(encoding="utf-8"))
        self.base = path.with_suffix("")
        self.segments = [s for s in self.json["segments"] if s["text"].strip()]
        self.text = " ".join(s["text"] for s in self.segments)

    def path(self, extension):
        return Path(f"{self.base}.{extension}")

    def read(self, extension):
        return self.path(extension).read_text(encoding="utf-8")

    def channel(self, segment):
        return str(segment.get("channel", 0) + 1)

    def words(self):
        """Channel, start, end and text of each word, or of each segment without words."""
        for segment in self.segments:
            for word in segment.get("words") or [segment]:
                yield self.channel(segment), word["start"], word["end"], word["text"]


def check_aws(transcript):
    job = tscribe.load_json(str(transcript.path("aws.json")))
    results = job["results"]
    assert results["transcripts"][0]["transcript"] == transcript.text
    items = results["items"]
    assert squeezed("".join(i["alternatives"][0]["content"] for i in items)) == squeezed(transcript.text)
    spoken = [i for i in items if i["type"] == "pronunciation"]
    words = [w for w in transcript.words() if letters(w[3])]
    assert len(spoken) == len(words), (len(spoken), len(words))
    for item, (_, start, end, text) in zip(spoken, words):
        assert close(item["start_time"], start) and close(item["end_time"], end), (item, start, end)
        assert letters(item["alternatives"][0]["content"]) == letters(text), (item, text)
    segments = results["audio_segments"]
    assert squeezed("".join(s["transcript"] for s in segments)) == squeezed(transcript.text)
    # What a converter makes of it: rows with the text of each speaker or channel. (Without either, it
    # writes punctuation twice.)
    rows = tscribe.decode_transcript(job)
    assert letters("".join(rows["comment"])) == letters(transcript.text), rows
    speakers = {s["speaker"] for s in transcript.segments if "speaker" in s}
    channels = {s["channel"] for s in transcript.segments if "channel" in s}
    if speakers or channels:
        assert squeezed("".join(rows["comment"])) == squeezed(transcript.text), rows
    if speakers:
        assert {f"spk_{s}" for s in speakers} <= set(rows["speaker"]), rows
    elif channels:
        assert {f"ch_{c}" for c in channels} == set(rows["speaker"]), rows
    languages = {s["language"] for s in transcript.segments if "language" in s}
    if len(languages) == 1:
        assert {results["language_code"]} == languages
    # The document that most people want from the converter.
    tscribe.write(str(transcript.path("aws.json")), format="docx", save_as=str(transcript.path("tscribe.docx")))
    assert transcript.path("tscribe.docx").stat().st_size > 10_000


def check_ctm(transcript):
    lines = meeteval.io.load(transcript.path("ctm"), format="ctm").lines
    words = [w for w in transcript.words() if letters(w[3])]
    words.sort(key=lambda word: (word[0], word[1]))
    assert len(lines) == len(words), (len(lines), len(words))
    for line, (channel, start, end, text) in zip(lines, words):
        assert line.channel == channel
        assert close(line.begin_time, start) and close(line.duration, end - start), (line, start, end)
        assert letters(line.word) == letters(text), (line, text)
        assert 0.0 <= float(line.confidence) <= 1.0


def check_rttm(transcript):
    lines = meeteval.io.load(transcript.path("rttm"), format="rttm").lines
    assert len(lines) >= len(transcript.segments)
    if len(lines) == len(transcript.segments):
        for line, segment in zip(lines, sorted(transcript.segments, key=lambda s: s["start"])):
            assert close(line.begin_time, segment["start"]), (line, segment)
            assert close(line.duration, segment["end"] - segment["start"]), (line, segment)
    speakers = {line.speaker_id for line in lines}
    known = {w.get("speaker", s["speaker"]) for s in transcript.segments if "speaker" in s
             for w in s.get("words") or [s]}
    if known:
        assert speakers == {f"spk_{speaker}" for speaker in known}, (speakers, known)
    elif any("channel" in s for s in transcript.segments):
        assert speakers == {f"ch_{s['channel']}" for s in transcript.segments}
    else:
        assert speakers <= {"unknown"}
    if not lines:
        return
    # pyannote reads it as a table.
    [annotation] = load_rttm(transcript.path("rttm")).values()
    assert set(annotation.labels()) == speakers
    assert close(annotation.get_timeline(copy=False).extent().start, min(l.begin_time for l in lines))
    # A diarization compared with itself has no error.
    turns = [(l.speaker_id, float(l.begin_time), float(l.begin_time + l.duration)) for l in lines]
    assert spyder.DER(turns, turns).der == 0.0


def check_tsv(transcript):
    with open(transcript.path("tsv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert len(rows) == len(transcript.segments)
    for row, segment in zip(rows, transcript.segments):
        assert close(int(row["start"]) / 1000, segment["start"]), (row, segment)
        assert close(int(row["end"]) / 1000, segment["end"]), (row, segment)
        assert row["text"] == segment["text"], (row, segment)


def check_subtitles(transcript):
    shown = sorted(letters(transcript.text))
    cues = webvtt.read(str(transcript.path("vtt")))
    assert sorted(letters("".join(cue.text for cue in cues))) == shown
    starts = [cue.start_in_seconds for cue in cues]
    assert starts == sorted(starts)
    has_voices = any("channel" in s or "speaker" in s for s in transcript.segments)
    assert all(bool(cue.voice) == has_voices for cue in cues)
    titles = pysrt.open(str(transcript.path("srt")), encoding="utf-8", error_handling=pysrt.ERROR_RAISE)
    assert [t.index for t in titles] == list(range(1, len(titles) + 1))
    text = "".join(t.text.split(": ", 1)[1] if has_voices else t.text for t in titles)
    assert sorted(letters(text)) == shown


def make_call(path, mono):
    """Writes a recording whose second channel says the same after the first has ended."""
    with wave.open(str(mono), "rb") as file:
        rate, samples = file.getframerate(), file.readframes(file.getnframes())
    silence = bytes(len(samples) + 2 * rate)
    left, right = samples + silence, silence + samples
    frames = b"".join(left[i:i + 2] + right[i:i + 2] for i in range(0, len(left), 2))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(frames)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, type=Path)
    parser.add_argument("recordings", nargs="*", type=Path, help="WAV files, mono, 16 bits")
    args = parser.parse_args()
    sentence = Path(__file__).parent.parent / "tests/fixtures/speech/sentence.wav"
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "in"
        source.mkdir()
        # White space and `;;` in names must not break formats that are divided by them.
        shutil.copy(sentence, source / "a ;; sentence.wav")
        for recording in args.recordings:
            shutil.copy(recording, source)
        make_call(source / "call.wav", sentence)
        speakers = ["--speakers", "--speaker-model", "campplus"]
        modes = [[], ["--channels", "split"], speakers, ["--no-word-times"],
                 [*speakers, "--channels", "split"]]
        for mode in modes:
            out = Path(directory) / "-".join(["out", *mode])
            formats = [f for f in FORMATS if f != "ctm" or "--no-word-times" not in mode]
            command = [args.binary, "transcribe", source, "--out", out, "--format", ",".join(formats)]
            subprocess.run([*command, *mode], check=True, stderr=subprocess.DEVNULL)
            transcripts = [Transcript(p) for p in sorted(out.glob("*.json"))
                           if not p.name.endswith(JSON_RENDERINGS)]
            assert len(transcripts) == 2 + len(args.recordings)
            for transcript in transcripts:
                check_aws(transcript)
                check_rttm(transcript)
                check_tsv(transcript)
                check_subtitles(transcript)
                read_formats.check_all(transcript)
                if "ctm" in formats:
                    check_ctm(transcript)
                words = sum(1 for _ in transcript.words())
                print(f"{transcript.base.name}, {' '.join(mode) or 'no options'}: "
                      f"{len(transcript.segments)} segments, {words} words: all formats agree")


if __name__ == "__main__":
    sys.exit(main())
