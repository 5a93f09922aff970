//! What a transcript says of the whole recording: its text, its language and its speakers, all of which
//! follow from the segments.

use std::collections::{BTreeMap, HashMap};

use crate::{
    Pipeline, Processing, SCHEMA_VERSION, Segment, Source, Speaker, Transcript, text, turns::turns,
};

impl Transcript {
    /// Makes a transcript of the segments that were recognized, in order of start. Numbers segments and
    /// speakers. Speakers of different channels or tracks are different people, also if `segments` give
    /// them the same number.
    pub fn new(
        source: Source,
        pipeline: Pipeline,
        mut segments: Vec<Segment>,
        processing: Processing,
    ) -> Self {
        for (id, segment) in (0..).zip(&mut segments) {
            segment.id = id;
        }
        let speakers = number_speakers(&mut segments);
        let mut transcript = Self {
            version: SCHEMA_VERSION,
            source,
            pipeline,
            language: None,
            text: String::new(),
            speakers,
            segments,
            processing,
            renderings: BTreeMap::new(),
        };
        transcript.summarize();
        transcript
    }

    /// Derives the language, the text and the seconds of each speaker from the segments once more. Whoever
    /// has changed the segments calls it.
    pub fn summarize(&mut self) {
        self.language = main_language(&self.segments);
        self.text = whole_text(&self.segments);
        let mut spoken: HashMap<u32, u64> = HashMap::new();
        for turn in turns(&self.segments) {
            if let Some(speaker) = turn.speaker {
                *spoken.entry(speaker).or_default() += turn.end - turn.start;
            }
        }
        for speaker in &mut self.speakers {
            let milliseconds = spoken.get(&speaker.id).copied().unwrap_or(0);
            speaker.seconds = milliseconds as f64 / 1000.0;
        }
    }
}

/// Numbers the speakers of all channels and tracks from 0 in order of first appearance.
fn number_speakers(segments: &mut [Segment]) -> Vec<Speaker> {
    let mut numbers = HashMap::new();
    let mut speakers = Vec::new();
    for Segment { track, channel, speaker, words, .. } in segments {
        let of_words = words.iter_mut().map(|word| &mut word.speaker);
        for speaker in [speaker].into_iter().chain(of_words).filter_map(Option::as_mut) {
            *speaker = *numbers.entry((*track, *channel, *speaker)).or_insert_with(|| {
                let id = u32::try_from(speakers.len()).unwrap_or(u32::MAX);
                let label = default_label(id);
                let (channel, track) = (*channel, *track);
                speakers.push(Speaker { id, label, channel, track, ..Speaker::default() });
                id
            });
        }
    }
    speakers
}

/// Returns the name of a speaker that has no other. People count from 1.
pub(crate) fn default_label(id: u32) -> String {
    format!("Speaker {}", u64::from(id) + 1)
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
    use crate::Word;

    #[test]
    fn speakers_are_numbered_over_channels_and_tracks_by_first_appearance() {
        let of = |track, channel, speaker| Segment {
            track,
            channel,
            speaker: Some(speaker),
            ..Segment::default()
        };
        let mut with_words = of(None, Some(1), 0);
        with_words.words = vec![
            Word { speaker: Some(3), ..Word::default() },
            Word::default(),
            Word { speaker: Some(0), ..Word::default() },
        ];
        let mut segments =
            vec![of(None, Some(0), 7), with_words, of(None, Some(0), 0), of(Some(2), Some(0), 7)];
        let speakers = number_speakers(&mut segments);
        let of_segments: Vec<_> = segments.iter().map(|segment| segment.speaker).collect();
        assert_eq!(of_segments, [Some(0), Some(1), Some(3), Some(4)]);
        let of_words: Vec<_> = segments[1].words.iter().map(|word| word.speaker).collect();
        assert_eq!(of_words, [Some(2), None, Some(1)]);
        let shown: Vec<_> = speakers
            .iter()
            .map(|speaker| (speaker.id, speaker.label.as_str(), speaker.track, speaker.channel))
            .collect();
        let expected = [
            (0, "Speaker 1", None, Some(0)),
            (1, "Speaker 2", None, Some(1)),
            (2, "Speaker 3", None, Some(1)),
            (3, "Speaker 4", None, Some(0)),
            (4, "Speaker 5", Some(2), Some(0)),
        ];
        assert_eq!(shown, expected);
    }

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
