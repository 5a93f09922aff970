//! Paragraphs for documents: what one person says without a long pause.

use crate::{
    Transcript, text,
    utterances::{Utterance, utterances},
};

/// Silence in milliseconds after which a new paragraph begins.
pub(crate) const PAUSE_MS: u64 = 2000;
/// Milliseconds after which the next segment begins a new paragraph, so that none fills a page.
const MAX_MS: u64 = 60_000;

/// What one person says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Paragraph {
    /// Start in milliseconds from the start of the recording.
    pub(crate) start: u64,
    /// Who speaks, if that is known.
    pub(crate) voice: Option<String>,
    /// Text on one line, not empty.
    pub(crate) text: String,
}

/// Returns the paragraphs of a transcript in order.
pub(crate) fn paragraphs(transcript: &Transcript) -> Vec<Paragraph> {
    let utterances: Vec<Utterance<'_>> = utterances(&transcript.segments).collect();
    let belongs = |before: &Utterance<'_>, next: &Utterance<'_>| {
        let of = |utterance: &Utterance<'_>| {
            (utterance.segment.track, utterance.segment.channel, utterance.speaker)
        };
        of(before) == of(next) && next.start <= before.end + PAUSE_MS
    };
    let mut paragraphs = Vec::new();
    for utterances in utterances.chunk_by(belongs) {
        let mut rest = utterances;
        while let Some(first) = rest.first() {
            let is_long = |utterance: &Utterance<'_>| utterance.start > first.start + MAX_MS;
            let (these, others) =
                rest.split_at(rest.iter().position(is_long).unwrap_or(rest.len()));
            paragraphs.push(Paragraph {
                start: first.start,
                voice: first.voice(transcript),
                text: text::join(these.iter().map(|utterance| utterance.text.clone())),
            });
            rest = others;
        }
    }
    paragraphs
}

/// Writes milliseconds as `00:01:02`.
pub(crate) fn clock(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
