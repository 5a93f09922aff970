//! Subtitles of hostile transcripts are valid, according to an independent parser (the `subtp`
//! crate).

mod common;

use std::{collections::BTreeMap, error::Error, time::Duration};

use common::{hostile_segment, segment, transcript};
use proptest::prelude::*;
use subtp::{
    srt::SubRip,
    vtt::{VttBlock, WebVtt},
};
use transcript::{Format, Segment, Transcript, Word};
use unicode_width::UnicodeWidthChar;

/// A cue as `subtp` parses it.
#[derive(Debug)]
struct ParsedCue {
    start: Duration,
    end: Duration,
    channel: Option<String>,
    lines: Vec<String>,
}

fn read_srt(srt: &str) -> Result<Vec<ParsedCue>, Box<dyn Error>> {
    let parsed = SubRip::parse(srt)?;
    let numbers: Vec<u32> = parsed.subtitles.iter().map(|cue| cue.sequence).collect();
    assert_eq!(numbers, (1..=numbers.len() as u32).collect::<Vec<_>>());
    let cues = parsed.subtitles.into_iter().map(|cue| {
        let mut lines = cue.text;
        // No text in these tests begins like a label.
        let label = lines[0].strip_prefix("Channel ").and_then(|rest| rest.split_once(": "));
        let label = label.map(|(number, rest)| (format!("Channel {number}"), rest.to_owned()));
        let channel = label.map(|(channel, rest)| {
            lines[0] = rest;
            channel
        });
        ParsedCue { start: cue.start.into(), end: cue.end.into(), channel, lines }
    });
    Ok(cues.collect())
}

fn read_vtt(vtt: &str) -> Result<Vec<ParsedCue>, Box<dyn Error>> {
    let blocks = WebVtt::parse(vtt)?.blocks;
    let cues = blocks.into_iter().map(|block| {
        let VttBlock::Que(cue) = block else { panic!("not a cue: {block:?}") };
        assert_eq!((&cue.identifier, cue.settings.is_none()), (&None, true));
        let mut lines = cue.payload;
        let label = lines[0].strip_prefix("<v ").and_then(|rest| rest.split_once('>'));
        let label = label.map(|(channel, rest)| (channel.to_owned(), rest.to_owned()));
        let channel = label.map(|(channel, rest)| {
            lines[0] = rest;
            channel
        });
        assert!(!lines.iter().any(|line| line.contains(['<', '>'])), "unescaped: {lines:?}");
        let unescape =
            |line: String| line.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
        let lines = lines.into_iter().map(unescape).collect();
        ParsedCue { start: cue.timings.start.into(), end: cue.timings.end.into(), channel, lines }
    });
    Ok(cues.collect())
}

fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// Checks the properties of all subtitle files.
fn check(cues: &[ParsedCue]) {
    let mut ends: BTreeMap<&Option<String>, Duration> = BTreeMap::new();
    assert!(cues.is_sorted_by_key(|cue| cue.start), "out of order: {cues:#?}");
    for cue in cues {
        assert!(cue.start < cue.end && cue.end - cue.start <= Duration::from_secs(7), "{cue:?}");
        let end = ends.insert(&cue.channel, cue.end).unwrap_or_default();
        assert!(end <= cue.start, "overlaps: {cue:?}");
        assert!(matches!(cue.lines.len(), 1 | 2), "{cue:?}");
        for line in &cue.lines {
            assert!((1..=42).contains(&width(line)), "{line:?}");
            assert!(!line.contains(|c: char| c.is_control() || c == '\u{2028}'), "{line:?}");
        }
    }
}

/// Returns the letters of the text in order, without spaces and hidden characters. They must all be in
/// the subtitles.
fn letters<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.flat_map(str::chars).filter(|c| c.is_alphanumeric() && c.width() > Some(0)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_transcripts_give_valid_subtitles(
        segments in proptest::collection::vec(hostile_segment(), 0..6),
    ) {
        let transcript = transcript(segments);
        let spoken = |channel: Option<u32>| {
            let mut segments: Vec<_> =
                transcript.segments.iter().filter(|segment| segment.channel == channel).collect();
            if segments.len() > 1 {
                // Several segments may be reordered by time; only for one the order is known.
                segments.clear();
            }
            letters(segments.into_iter().map(|segment| segment.text.as_str()))
        };
        let srt = read_srt(&common::text(&transcript, Format::Srt));
        let vtt = read_vtt(&common::text(&transcript, Format::Vtt));
        for cues in [srt, vtt] {
            let cues = cues.map_err(|error| TestCaseError::fail(error.to_string()))?;
            check(&cues);
            for channel in transcript.segments.iter().map(|segment| segment.channel) {
                let expected = spoken(channel);
                if expected.is_empty() {
                    continue;
                }
                let label = channel.map(|c| format!("Channel {}", u64::from(c) + 1));
                let shown = cues.iter().filter(|cue| cue.channel == label);
                prop_assert_eq!(letters(shown.flat_map(|cue| &cue.lines).map(String::as_str)), expected);
            }
        }
        let txt = common::text(&transcript, Format::Txt);
        prop_assert!(txt.is_empty() || txt.ends_with('\n'));
        prop_assert!(!txt.contains("\n\n\n") && !txt.starts_with('\n'));
        let json = common::text(&transcript, Format::Json);
        prop_assert!(serde_json::from_str::<Transcript>(&json).is_ok());
    }
}

#[test]
fn an_empty_transcript_gives_valid_empty_files() -> Result<(), Box<dyn Error>> {
    for transcript in [transcript(vec![]), transcript(vec![segment(0.0, 1.0, " \n\u{200b}")])] {
        assert_eq!(common::text(&transcript, Format::Srt), "");
        assert_eq!(common::text(&transcript, Format::Vtt), "WEBVTT\n\n");
        assert_eq!(common::text(&transcript, Format::Txt), "");
        assert!(read_vtt(&common::text(&transcript, Format::Vtt))?.is_empty());
    }
    Ok(())
}

#[test]
fn srt_survives_text_that_looks_like_srt() -> Result<(), Box<dyn Error>> {
    let hostile = "So:\n\n2\n00:00:00,000 --> 00:00:09,000\n\n\nI <never> said & that";
    let srt = common::text(&transcript(vec![segment(1.0, 4.5, hostile)]), Format::Srt);
    let cues = read_srt(&srt)?;
    assert_eq!(cues.len(), 1);
    assert_eq!(cues[0].lines.join(" "), "So: 2 00:00:00,000 → 00:00:09,000 I <never> said & that");
    Ok(())
}

#[test]
fn vtt_escapes_markup() {
    let segment = Segment { channel: Some(1), ..segment(1.0, 3.0, "a < b & c --> <v Eve>d") };
    assert_eq!(
        common::text(&transcript(vec![segment]), Format::Vtt),
        "WEBVTT\n\n00:00:01.000 --> 00:00:03.000\n\
         <v Channel 2>a &lt; b &amp; c --&gt; &lt;v Eve&gt;d\n"
    );
}

#[test]
fn a_segment_names_its_speaker_or_else_its_channel() {
    let of = |channel, speaker| {
        let segment = Segment { channel, speaker, ..segment(0.0, 2.0, "Well.") };
        common::text(&transcript(vec![segment]), Format::Txt)
    };
    assert_eq!(of(None, Some(0)), "Speaker 1: Well.\n");
    assert_eq!(of(Some(1), None), "Channel 2: Well.\n");
    // Whose number is unique in the recording.
    assert_eq!(of(Some(1), Some(2)), "Speaker 1: Well.\n");
}

#[test]
fn channels_may_speak_at_once() -> Result<(), Box<dyn Error>> {
    let left = Segment { channel: Some(0), ..segment(0.0, 5.0, "How can I help you?") };
    let right = Segment { channel: Some(1), ..segment(2.0, 3.0, "Well.") };
    let transcript = transcript(vec![left, right]);
    assert_eq!(
        common::text(&transcript, Format::Srt),
        "1\n00:00:00,000 --> 00:00:05,000\nChannel 1: How can I help you?\n\n\
         2\n00:00:02,000 --> 00:00:03,000\nChannel 2: Well.\n"
    );
    check(&read_vtt(&common::text(&transcript, Format::Vtt))?);
    Ok(())
}

#[test]
fn words_give_the_times_of_the_cues_of_a_long_segment() -> Result<(), Box<dyn Error>> {
    let text = "The first sentence was said quickly at the start of it all. \
                The second came after a long pause, and nobody expected it.";
    let mut long = segment(0.0, 12.0, text);
    long.words = text
        .split(' ')
        .enumerate()
        .map(|(index, word)| {
            let start = if index < 12 { 0.2 } else { 5.6 } + 0.25 * index as f64;
            Word { start, end: start + 0.2, text: format!(" {word}"), ..Word::default() }
        })
        .collect();
    let cues = read_srt(&common::text(&transcript(vec![long]), Format::Srt))?;
    let times: Vec<_> =
        cues.iter().map(|cue| (cue.start.as_millis(), cue.end.as_millis())).collect();
    // The second cue is spoken until 11.3 s and takes 2.9 s to read.
    assert_eq!(times, [(200, 3150), (8600, 11500)]);
    assert_eq!(cues[1].lines, ["The second came after a long pause,", "and nobody expected it."]);
    Ok(())
}

#[test]
fn plain_text_has_a_line_per_segment_and_a_paragraph_per_pause() {
    let segments = vec![
        segment(0.0, 1.0, "One."),
        segment(1.5, 2.0, " Two\nlines. "),
        segment(4.5, 5.0, "Three."),
        Segment { channel: Some(0), ..segment(5.0, 6.0, "Four.") },
    ];
    assert_eq!(
        common::text(&transcript(segments), Format::Txt),
        "One.\nTwo lines.\n\nThree.\nChannel 1: Four.\n"
    );
}
