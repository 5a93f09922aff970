//! Utterances: segments, or the parts of them in which one person speaks.

use crate::{
    Segment, Transcript, text,
    timeline::milliseconds,
    tokens::{Token, tokens},
};

/// A segment, or the part of it in which one of several people speaks.
#[derive(Debug)]
pub(crate) struct Utterance<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) speaker: Option<u32>,
    /// Start in milliseconds from the start of the recording.
    pub(crate) start: u64,
    /// End in milliseconds from the start of the recording, not before `start`.
    pub(crate) end: u64,
    /// Text on one line.
    pub(crate) text: String,
    /// At least one.
    pub(crate) tokens: Vec<Token>,
}

impl Utterance<'_> {
    /// Returns who speaks, for people.
    pub(crate) fn voice(&self, transcript: &Transcript) -> Option<String> {
        transcript.voice_of(self.segment, self.speaker)
    }
}

/// Returns the utterances of all segments that have visible text, in order.
pub(crate) fn utterances(segments: &[Segment]) -> impl Iterator<Item = Utterance<'_>> {
    segments.iter().flat_map(utterances_of)
}

fn utterances_of(segment: &Segment) -> Vec<Utterance<'_>> {
    let text = text::clean(&segment.text);
    if text.is_empty() {
        return Vec::new();
    }
    let tokens = tokens(segment, &text);
    let runs: Vec<&[Token]> = tokens.chunk_by(|a, b| a.speaker == b.speaker).collect();
    if let [run] = runs[..] {
        let start = milliseconds(segment.start);
        let end = milliseconds(segment.end).max(start);
        let (speaker, tokens) = (run.first().and_then(|token| token.speaker), run.to_vec());
        return vec![Utterance { segment, speaker, start, end, text, tokens }];
    }
    let utterance = |run: &[Token]| Utterance {
        segment,
        speaker: run.first().and_then(|token| token.speaker),
        start: run.iter().map(|token| token.start).min().unwrap_or(0),
        end: run.iter().map(|token| token.end).max().unwrap_or(0),
        text: text::join(run.iter().map(|token| format!("{}{}", token.content, token.closing))),
        tokens: run.to_vec(),
    };
    runs.into_iter().map(utterance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Word;

    #[test]
    fn a_segment_is_divided_where_the_speaker_changes() {
        let word = |start: f64, text: &str, speaker| Word {
            start,
            end: start + 0.5,
            text: text.to_owned(),
            speaker,
            ..Word::default()
        };
        let mut segment = Segment {
            start: 1.0,
            end: 5.0,
            speaker: Some(0),
            text: "Yes, I do. Really? Yes.".to_owned(),
            words: vec![
                word(1.0, "Yes,", None),
                word(1.5, "I", None),
                word(2.0, "do.", None),
                word(3.0, "Really?", Some(1)),
                word(4.0, "Yes.", None),
            ],
            ..Segment::default()
        };
        let show = |utterance: Utterance<'_>| {
            (utterance.speaker, utterance.start, utterance.end, utterance.text)
        };
        let found: Vec<_> = utterances(std::slice::from_ref(&segment)).map(show).collect();
        let expected = [
            (Some(0), 1000, 2500, "Yes, I do.".to_owned()),
            (Some(1), 3000, 3500, "Really?".to_owned()),
            (Some(0), 4000, 4500, "Yes.".to_owned()),
        ];
        assert_eq!(found, expected);
        // A segment of one speaker keeps its own times and text.
        segment.words[3].speaker = None;
        let found: Vec<_> = utterances(std::slice::from_ref(&segment)).map(show).collect();
        assert_eq!(found, [(Some(0), 1000, 5000, "Yes, I do. Really? Yes.".to_owned())]);
    }
}
