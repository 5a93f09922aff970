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
use transcript::{Format, InvalidSubtitleOption, Segment, SubtitleOptions, Transcript, Word};
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
fn check(cues: &[ParsedCue], options: &SubtitleOptions) {
    let mut previous: BTreeMap<&Option<String>, &ParsedCue> = BTreeMap::new();
    let longest = Duration::from_millis(options.max_duration());
    let min_gap = Duration::from_millis(options.min_gap());
    assert!(cues.is_sorted_by_key(|cue| cue.start), "out of order: {cues:#?}");
    for cue in cues {
        assert!(cue.start < cue.end && cue.end - cue.start <= longest, "{cue:?}");
        if let Some(before) = previous.insert(&cue.channel, cue) {
            assert!(before.end <= cue.start, "overlaps: {cue:?}");
            // A gap takes at most half of a very short cue.
            let gap = min_gap.min((cue.start - before.start) / 2 - Duration::from_micros(500));
            assert!(cue.start - before.end >= gap, "{before:?} {cue:?}");
        }
        assert!((1..=options.max_lines()).contains(&cue.lines.len()), "{cue:?}");
        for line in &cue.lines {
            assert!((1..=options.max_line_width()).contains(&width(line)), "{line:?}");
            assert!(!line.contains(|c: char| c.is_control() || c == '\u{2028}'), "{line:?}");
        }
    }
}

/// Generates all options within their ranges.
fn options() -> impl Strategy<Value = SubtitleOptions> {
    let columns = prop_oneof![1 => Just(42_usize), 2 => 10..=200_usize, 1 => 10..=16_usize];
    let times = (0..=1000_u64, 0..=3000_u64, 3000..=60_000_u64);
    (columns, 1..=5_usize, 5..=100_u64, times).prop_map(
        |(columns, lines, speed, (gap, shortest, longest))| {
            let made = || -> Result<SubtitleOptions, InvalidSubtitleOption> {
                SubtitleOptions::default()
                    .with_max_line_width(columns)?
                    .with_max_lines(lines)?
                    .with_reading_speed(speed)?
                    .with_min_gap(gap)?
                    .with_min_duration(shortest)?
                    .with_max_duration(longest)
            };
            made().expect("all are in range")
        },
    )
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
        options in prop_oneof![1 => Just(SubtitleOptions::default()), 2 => options()],
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
        let srt = read_srt(&common::text_with(&transcript, Format::Srt, &options));
        let vtt = read_vtt(&common::text_with(&transcript, Format::Vtt, &options));
        for cues in [srt, vtt] {
            let cues = cues.map_err(|error| TestCaseError::fail(error.to_string()))?;
            check(&cues, &options);
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
    check(&read_vtt(&common::text(&transcript, Format::Vtt))?, &SubtitleOptions::default());
    Ok(())
}

/// A segment of words that are each said in a quarter of a second, from `start` on.
fn spoken(start: f64, text: &str) -> Segment {
    let words: Vec<Word> = text
        .split(' ')
        .enumerate()
        .map(|(index, word)| {
            let start = start + 0.25 * index as f64;
            Word { start, end: start + 0.25, text: format!(" {word}"), ..Word::default() }
        })
        .collect();
    let end = words.last().map_or(start, |word| word.end);
    Segment { words, language: Some("en".to_owned()), ..segment(start, end, text) }
}

/// Start and end of each cue in milliseconds, and its lines.
type Shown = Vec<(u128, u128, String)>;

fn shown(segments: Vec<Segment>) -> Result<Shown, Box<dyn Error>> {
    let cues = read_srt(&common::text(&transcript(segments), Format::Srt))?;
    let show = |cue: ParsedCue| (cue.start.as_millis(), cue.end.as_millis(), cue.lines.join("/"));
    Ok(cues.into_iter().map(show).collect())
}

#[test]
fn words_give_the_times_of_the_cues_of_a_long_segment() -> Result<(), Box<dyn Error>> {
    let text = "The first sentence was said quickly at the start of it all. \
                The second came after a long pause, and nobody expected it.";
    let mut long = spoken(0.2, text);
    for word in &mut long.words[12..] {
        (word.start, word.end) = (word.start + 5.4, word.end + 5.4);
    }
    long.end = 12.0;
    let expected = [
        (200, 3200, "The first sentence was said quickly/at the start of it all.".to_owned()),
        (8600, 11_550, "The second came after a long pause,/and nobody expected it.".to_owned()),
    ];
    // The second cue is spoken until 11.35 s and takes 2.95 s to read.
    assert_eq!(shown(vec![long])?, expected);
    Ok(())
}

#[test]
fn a_sentence_that_runs_over_two_segments_is_one_sentence() -> Result<(), Box<dyn Error>> {
    // SubtitleEdit 8452: the last word of a sentence in a segment and a cue of its own.
    let first =
        "You take two hydrogen atoms, you ram them together, and what's left over is a helium";
    let expected = [
        (0, 2167, "You take two hydrogen atoms,/you ram them together,".to_owned()),
        (2250, 4350, "and what's left over is a helium atom.".to_owned()),
    ];
    assert_eq!(shown(vec![spoken(0.0, first), spoken(4.1, "atom.")])?, expected);
    Ok(())
}

#[test]
fn pauses_are_shown_and_small_gaps_closed() -> Result<(), Box<dyn Error>> {
    let (first, second) = ("He was not an ill-disposed young man.", "He went away.");
    let starts_and_ends = |pause: f64| -> Result<Vec<(u128, u128)>, Box<dyn Error>> {
        let found = shown(vec![spoken(0.0, first), spoken(1.75 + pause, second)])?;
        Ok(found.into_iter().map(|(start, end, _)| (start, end)).collect())
    };
    // He paused for 1.2 s: reading takes 0.1 s of them.
    assert_eq!(starts_and_ends(1.2)?, [(0, 1850), (2950, 3950)]);
    // Half a second after what reading takes is seen, less would flicker.
    assert_eq!(starts_and_ends(1.8)?.len(), 2);
    Ok(())
}

#[test]
fn speakers_never_share_a_cue() -> Result<(), Box<dyn Error>> {
    let mut talk = spoken(0.0, "Did you see it? No. But I did.");
    talk.speaker = Some(0);
    talk.words[4].speaker = Some(1);
    let found: Vec<String> = shown(vec![talk])?.into_iter().map(|(_, _, lines)| lines).collect();
    let expected = ["Speaker 1: Did you see it?", "Speaker 2: No.", "Speaker 1: But I did."];
    assert_eq!(found, expected);
    Ok(())
}

#[test]
fn an_hour_without_a_pause_takes_no_time_to_speak_of() {
    // 60,000 words in one sentence, and none of them with a time.
    let words = "word after word ".repeat(20_000);
    let start = std::time::Instant::now();
    let srt = common::text(&transcript(vec![segment(0.0, 3600.0, words.trim())]), Format::Srt);
    assert!(srt.len() > words.len());
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
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
