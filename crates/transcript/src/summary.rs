//! What a transcript says of the whole recording: its text, its language and its speakers, all of which
//! follow from the segments.

use std::collections::{BTreeMap, HashMap};

use crate::{
    Pipeline, Processing, SCHEMA_VERSION, Segment, Source, Speech, Transcript, text,
    timeline::milliseconds, utterances::utterances,
};

impl Transcript {
    /// Makes a transcript of what was recognized in a recording. Numbers segments and speakers, and names
    /// speakers whose voices are known.
    pub fn new(
        source: Source,
        pipeline: Pipeline,
        mut speech: Speech,
        processing: Processing,
    ) -> Self {
        for (id, segment) in (0..).zip(&mut speech.segments) {
            segment.id = id;
        }
        let speakers = speech.number_speakers();
        let Speech { segments, turns, .. } = speech;
        let mut transcript = Self {
            version: SCHEMA_VERSION,
            source,
            pipeline,
            language: None,
            text: String::new(),
            speakers,
            segments,
            turns,
            processing,
            renderings: BTreeMap::new(),
        };
        transcript.summarize();
        transcript
    }

    /// Derives the language, the text and the seconds of each speaker from the segments and the turns once
    /// more. Whoever has changed the segments calls it.
    pub fn summarize(&mut self) {
        self.language = main_language(&self.segments);
        self.text = whole_text(&self.segments);
        let spoken = self.spoken_milliseconds();
        for speaker in &mut self.speakers {
            let milliseconds = spoken.get(&speaker.id).copied().unwrap_or(0);
            speaker.seconds = milliseconds as f64 / 1000.0;
        }
    }

    /// Returns for how many milliseconds each speaker speaks: in their turns or, without turns, in the
    /// segments.
    fn spoken_milliseconds(&self) -> HashMap<u32, u64> {
        let mut spoken = HashMap::new();
        let mut add = |speaker, milliseconds| *spoken.entry(speaker).or_default() += milliseconds;
        for turn in &self.turns {
            add(turn.speaker, milliseconds(turn.end).saturating_sub(milliseconds(turn.start)));
        }
        if self.turns.is_empty() {
            for utterance in utterances(&self.segments) {
                if let Some(speaker) = utterance.speaker {
                    add(speaker, utterance.end - utterance.start);
                }
            }
        }
        spoken
    }
}

/// Returns the language in which there is speech for most of the time.
fn main_language(segments: &[Segment]) -> Option<String> {
    let mut seconds = BTreeMap::<&str, f64>::new();
    for segment in segments {
        if let Some(language) = &segment.language {
            *seconds.entry(language).or_default() += segment.end - segment.start;
        }
    }
    let longest =
        seconds.into_iter().reduce(|best, next| if next.1 > best.1 { next } else { best });
    longest.map(|(language, _)| language.to_owned())
}

fn whole_text(segments: &[Segment]) -> String {
    let texts = segments.iter().map(|segment| text::clean(&segment.text));
    text::join(texts.filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_is_that_of_most_of_the_speech() {
        let of = |&(seconds, language): &(f64, Option<&str>)| Segment {
            end: seconds,
            language: language.map(str::to_owned),
            ..Segment::default()
        };
        let language = |spoken: &[(f64, Option<&str>)]| {
            main_language(&spoken.iter().map(of).collect::<Vec<_>>())
        };
        let mostly_english = [(1.0, Some("de")), (5.0, Some("en")), (3.0, Some("de")), (9.0, None)];
        assert_eq!(language(&mostly_english).as_deref(), Some("en"));
        assert_eq!(language(&[(1.0, None)]), None);
    }

    #[test]
    fn the_text_is_that_of_the_segments() {
        let texts = ["你好。", " \n", "再见。", "OK.\nBye."];
        let segments = texts.map(|text| Segment { text: text.to_owned(), ..Segment::default() });
        assert_eq!(whole_text(&segments), "你好。再见。 OK. Bye.");
    }
}
