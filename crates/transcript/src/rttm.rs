//! Renders RTTM (NIST, Rich Transcription 2009, appendix A): who speaks when.

use std::fmt::Write;

use crate::{
    Transcript,
    names::{Channels, speaker_label},
    number, recording_name, text,
    turns::turns,
};

/// The speaker where none is known.
const UNKNOWN: &str = "unknown";

pub(crate) fn render(transcript: &Transcript) -> String {
    let channels = Channels::new(transcript);
    let mut turns: Vec<_> = turns(&transcript.segments).collect();
    turns.sort_by_key(|turn| turn.start);
    let file = recording_name::file_id(&transcript.source.uri);
    let mut rttm = String::new();
    for turn in turns {
        let channel = channels.nist_number(turn.segment);
        let speaker = match turn.speaker {
            Some(id) => match transcript.speaker(id).and_then(|speaker| speaker.name.as_deref()) {
                Some(name) => recording_name::one_field(&text::clean(name)),
                None => speaker_label(id),
            },
            // Each channel is a person, as far as is known.
            None => channels.label(turn.segment).unwrap_or_else(|| UNKNOWN.to_owned()),
        };
        let start = number::seconds(turn.start);
        // Readers refuse turns without a duration.
        let duration = number::seconds((turn.end - turn.start).max(1));
        let _infallible = writeln!(
            rttm,
            "SPEAKER {file} {channel} {start} {duration} <NA> <NA> {speaker} <NA> <NA>"
        );
    }
    rttm
}
