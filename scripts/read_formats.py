"""Reads documents, annotations and the JSON of others with libraries of others, and compares what they find
with the JSON of the transcript. For check_formats.py."""

import csv
import json
import zlib

import docx
import pysubs2
from markdown_it import MarkdownIt
from openai.types.audio import TranscriptionVerbose
from praatio import textgrid
from pympi import Elan

# Half a millisecond, in which the formats round, and the error of a sum.
TOLERANCE = 0.0006


def close(a, b, tolerance=TOLERANCE):
    return abs(float(a) - float(b)) <= tolerance


def letters(text):
    """The text without spaces and punctuation, which formats split off or leave out."""
    return "".join(c for c in text if c.isalnum())


def spoken(transcript):
    """Name of the voice, and the segment, of each segment."""
    names = {s["id"]: s.get("name", s["label"]) for s in transcript.json.get("speakers", [])}
    for segment in transcript.segments:
        if "speaker" in segment:
            yield names[segment["speaker"]], segment
        elif "channel" in segment:
            yield f"Channel {segment['channel'] + 1}", segment
        else:
            yield None, segment


def check_textgrid(transcript):
    grid = textgrid.openTextgrid(str(transcript.path("TextGrid")), includeEmptyIntervals=True)
    assert close(grid.maxTimestamp, max(transcript.json["source"]["duration"], grid.maxTimestamp))
    segments, words = "", ""
    for tier in grid.tiers:
        entries = list(tier.entries)
        # Gapless, from the beginning to the end.
        assert entries[0].start == 0.0 and close(entries[-1].end, grid.maxTimestamp), tier.name
        assert all(a.end == b.start for a, b in zip(entries, entries[1:])), tier.name
        text = "".join(entry.label for entry in entries)
        if tier.name.endswith("(words)"):
            words += text
        else:
            segments += text
    assert sorted(letters(segments)) == sorted(letters(transcript.text))
    timed = "".join(s["text"] for s in transcript.segments if s.get("words"))
    assert sorted(letters(words)) == sorted(letters(timed))


def check_eaf(transcript):
    eaf = Elan.Eaf(str(transcript.path("eaf")))
    media = eaf.media_descriptors[0]
    assert media["MEDIA_URL"] == transcript.json["source"]["uri"], media
    text, times = "", set()
    for tier in eaf.get_tier_names():
        annotations = sorted(eaf.get_annotation_data_for_tier(tier))
        assert all(a[1] <= b[0] for a, b in zip(annotations, annotations[1:])), tier
        if not tier.endswith("(words)"):
            text += "".join(annotation[2] for annotation in annotations)
            times |= {annotation[0] for annotation in annotations}
    assert sorted(letters(text)) == sorted(letters(transcript.text))
    for voice, segment in spoken(transcript):
        assert any(abs(time - 1000 * segment["start"]) <= 1 for time in times) or segment.get("words"), segment
        assert voice is None or any(tier.startswith(voice) for tier in eaf.get_tier_names()), voice


def check_docx(transcript):
    document = docx.Document(str(transcript.path("docx")))
    title, *paragraphs = document.paragraphs
    assert title.style.name == "Title" and title.text == document.core_properties.title
    if "language" in transcript.json:
        language = paragraphs.pop(0)
        assert language.text == f"Language: {transcript.json['language']}"
        assert document.core_properties.language == transcript.json["language"]
    said = "".join(paragraph.runs[-1].text for paragraph in paragraphs)
    assert letters(said) == letters(transcript.text)
    bold = {run.text.strip() for paragraph in paragraphs for run in paragraph.runs if run.bold}
    assert {voice for voice, _ in spoken(transcript) if voice} <= bold, bold


def check_markdown(transcript):
    tokens = MarkdownIt("commonmark").parse(transcript.read("md"))
    assert tokens[0].type == "heading_open" and tokens[0].tag == "h1"
    inline = [token.children for token in tokens if token.type == "inline"][1:]
    if "language" in transcript.json:
        assert inline.pop(0)[0].content == f"Language: {transcript.json['language']}"
    said = ""
    for children in inline:
        kinds = {child.type for child in children}
        assert kinds <= {"text", "text_special", "strong_open", "strong_close"}, kinds
        line = "".join(child.content for child in children)
        assert line.count("] ") >= 1, line
        said += line.split("] ", 1)[1]
    assert letters(said) == letters(transcript.text)


def check_ass(transcript):
    subtitles = pysubs2.load(str(transcript.path("ass")))
    assert sorted(letters("".join(e.plaintext for e in subtitles))) == sorted(letters(transcript.text))
    assert all(event.style in subtitles.styles and event.start < event.end for event in subtitles)
    voices = {voice for voice, _ in spoken(transcript)}
    assert {event.name for event in subtitles} <= {voice or "" for voice in voices}
    colours = {str(subtitles.styles[event.style].primarycolor) for event in subtitles}
    assert len(colours) == min(len({event.name for event in subtitles}), 8)


def check_whisper_json(transcript):
    whisper = json.loads(transcript.read("whisper.json"))
    assert [s["text"].strip() for s in whisper["segments"]] == [s["text"].strip() for s in transcript.segments]
    assert whisper["text"] == "".join(s["text"] for s in whisper["segments"])
    for ours, segment in zip(transcript.segments, whisper["segments"]):
        text = segment["text"].strip().encode()
        # As whisper/utils.py computes it; another zlib may need a byte more or less.
        assert close(segment["compression_ratio"], len(text) / len(zlib.compress(text)), 0.2), segment
        words = segment.get("words", [])
        assert bool(words) == bool(ours.get("words"))
        assert not words or "".join(w["word"] for w in words).strip() == segment["text"].strip(), segment
    # A program that reads the results of Whisper.
    subtitles = pysubs2.load_from_whisper(whisper)
    assert len(subtitles) == len(transcript.segments)


def check_verbose_json(transcript):
    verbose = TranscriptionVerbose.model_validate_json(transcript.read("verbose.json"), strict=True)
    assert letters(verbose.text) == letters(transcript.text)
    assert len(verbose.segments) == len(transcript.segments)
    words = [w for s in transcript.segments for w in s.get("words", []) if letters(w["text"])]
    assert [letters(w.word) for w in verbose.words or []] == [letters(w["text"]) for w in words]


def check_tables(transcript):
    with open(transcript.path("csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert [row["text"].removeprefix("'") for row in rows] == [s["text"] for s in transcript.segments]
    assert [row["speaker"] for row in rows] == \
        [voice if "speaker" in s else "" for voice, s in spoken(transcript)]
    lines = [json.loads(line) for line in transcript.read("jsonl").splitlines()]
    for line in lines:
        line.pop("speaker_name", None)
    assert [line for line in lines if line["text"]] == transcript.segments


def check_all(transcript):
    for check in [check_textgrid, check_eaf, check_docx, check_markdown, check_ass, check_whisper_json,
                  check_verbose_json, check_tables]:
        check(transcript)
