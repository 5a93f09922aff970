//! Renders RTTM (NIST, Rich Transcription 2009, appendix A): who speaks when.

use std::fmt::Write;

use crate::{
    Transcript, Turn,
    names::{Channels, speaker_label},
    number, recording_name, text,
    timeline::milliseconds,
    utterances::utterances,
};

/// The speaker where none is known.
const UNKNOWN: &str = "unknown";

/// A line, with times in milliseconds.
struct Line {
    channel: u64,
    start: u64,
    end: u64,
    speaker: String,
}

pub(crate) fn render(transcript: &Transcript) -> String {
    let mut lines =
        if transcript.turns.is_empty() { of_text(transcript) } else { of_turns(transcript) };
    lines.sort_by_key(|line| line.start);
    let file = recording_name::file_id(&transcript.source.uri);
    let mut rttm = String::new();
    for Line { channel, start, end, speaker } in lines {
        // Readers refuse turns without a duration.
        let duration = number::seconds(end.saturating_sub(start).max(1));
        let start = number::seconds(start);
        let _infallible = writeln!(
            rttm,
            "SPEAKER {file} {channel} {start} {duration} <NA> <NA> {speaker} <NA> <NA>"
        );
    }
    rttm
}

fn of_turns(transcript: &Transcript) -> Vec<Line> {
    let channels = Channels::new(transcript);
    let line = |turn: &Turn| {
        let Turn { start, end, speaker, .. } = *turn;
        Line {
            channel: channels.nist_number(turn),
            start: milliseconds(start),
            end: milliseconds(end),
            speaker: name(transcript, speaker),
        }
    };
    transcript.turns.iter().map(line).collect()
}

/// Returns who says the texts of the segments, if no turns are known.
fn of_text(transcript: &Transcript) -> Vec<Line> {
    let channels = Channels::new(transcript);
    let lines = utterances(&transcript.segments).map(|utterance| Line {
        channel: channels.nist_number(utterance.segment),
        start: utterance.start,
        end: utterance.end,
        speaker: match utterance.speaker {
            Some(id) => name(transcript, id),
            // Each channel is a person, as far as is known.
            None => channels.label(utterance.segment).unwrap_or_else(|| UNKNOWN.to_owned()),
        },
    });
    lines.collect()
}

fn name(transcript: &Transcript, id: u32) -> String {
    match transcript.speaker(id).and_then(|speaker| speaker.name.as_deref()) {
        Some(name) => recording_name::one_field(&text::clean(name)),
        None => speaker_label(id),
    }
}
