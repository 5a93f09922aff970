//! Transcripts for the tests of renderings, also hostile ones.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use proptest::prelude::*;
use transcript::{
    Format, Pipeline, Processing, RenderOptions, Segment, Source, Speech, SubtitleOptions,
    Transcript, Word,
};

pub(crate) fn transcript(segments: Vec<Segment>) -> Transcript {
    transcript_of(Speech { segments, ..Speech::default() })
}

pub(crate) fn transcript_of(speech: Speech) -> Transcript {
    Transcript::new(
        Source {
            uri: "file:///a.wav".to_owned(),
            size: 1,
            etag: "1".to_owned(),
            duration: 60.0,
            channels: 2,
            sample_rate: 8000,
            container: "wav".to_owned(),
            codec: "pcm_s16le".to_owned(),
            decoder: None,
            warnings: Vec::new(),
        },
        Pipeline {
            version: "scriptorium 0.1.0".to_owned(),
            recognizer: "whisper-tiny.en".to_owned(),
            vad: "fsmn-vad".to_owned(),
            punctuation: None,
            speakers: None,
            speaker_segmentation: None,
            precision: "f32".to_owned(),
            fingerprint: "0".to_owned(),
        },
        speech,
        Processing {
            finished_at: "2026-11-22T07:38:18Z".to_owned(),
            wall_seconds: 1.0,
            cpu_seconds: 1.0,
            audio_seconds_per_core_second: 1.0,
            stages: Vec::new(),
        },
    )
}

/// Renders a transcript in a format of text.
pub(crate) fn text(transcript: &Transcript, format: Format) -> String {
    text_with(transcript, format, &SubtitleOptions::default())
}

pub(crate) fn text_with(
    transcript: &Transcript,
    format: Format,
    options: &SubtitleOptions,
) -> String {
    let options = RenderOptions { subtitles: *options, ..RenderOptions::default() };
    String::from_utf8(transcript.render_with(format, &options))
        .unwrap_or_else(|error| panic!("{format}: {error}"))
}

pub(crate) fn segment(start: f64, end: f64, text: &str) -> Segment {
    Segment { start, end, text: text.to_owned(), confidence: 1.0, ..Segment::default() }
}

/// Generates arbitrary text mixed with strings that break careless writers.
pub(crate) fn hostile_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z ,.!?']{1,40}",
        3 => "[好的我们今天。，、《》]{1,30}",
        2 => "[אבגדה مرحبا]{1,20}",
        2 => "\\PC{1,20}",
        1 => any::<String>(),
        1 => proptest::sample::select(vec![
            "-->", "--->", "\n\n", "\r\n\r\n1\r\n", "\u{2028}", "\u{2029}", "\u{85}", "\u{b}",
            "<v Bob>", "</v>", "<i>", "&amp;", "&", "<", ">", "\0", "\u{202e}", "\u{feff}", "WEBVTT",
            "NOTE ", "STYLE", "]]>", "\"", "=1+1", "{\\b1}", "**", "# ", "`", "](x)", "\\N", "'", "00:00:01,000 --> 00:00:02,000", "12", " ", "\u{a0}", "\u{3000}",
            "\u{200b}", "e\u{301}\u{301}\u{301}", "👩\u{200d}👩\u{200d}👧", "สวัสดีครับ",
            "https://example.com/a/very/long/path/without/any/spaces/at/all?and=a&query=too",
        ]).prop_map(str::to_owned),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

pub(crate) fn hostile_seconds() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => 0.0..100.0,
        1 => 100.0..300_000.0,
        1 => proptest::sample::select(vec![f64::NAN, f64::NEG_INFINITY, -1.0, 0.0, 5.0]),
    ]
}

pub(crate) fn hostile_segment() -> impl Strategy<Value = Segment> {
    let channel = proptest::option::of(prop_oneof![0..3_u32, Just(u32::MAX)]);
    let word_times = proptest::collection::vec((hostile_seconds(), hostile_seconds()), 1..40);
    let times = (hostile_seconds(), hostile_seconds());
    (times, channel, hostile_text(), proptest::option::of(word_times)).prop_map(
        |((start, end), channel, text, word_times)| {
            let words = word_times
                .into_iter()
                .flat_map(|times| {
                    text.split(' ')
                        .zip(times)
                        .map(|(word, (start, end))| Word {
                            start,
                            end,
                            text: word.to_owned(),
                            ..Word::default()
                        })
                        .collect::<Vec<_>>()
                })
                .collect();
            Segment { channel, words, ..segment(start, end, &text) }
        },
    )
}
