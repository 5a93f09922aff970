//! What was recognized in a recording, and the numbers and names of its speakers.

use std::collections::HashMap;

use crate::{MAX_SPEAKER_NAME, Segment, Speaker, Turn, text};

/// What was recognized in a recording, of which a transcript is made. Each channel of each track numbers its
/// speakers on its own: speakers of different channels or tracks are different people, also if they have the
/// same number.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Speech {
    /// In order of start.
    pub segments: Vec<Segment>,
    /// In order of start; none if speakers were not distinguished.
    pub turns: Vec<Turn>,
    /// Speakers whose voices are known.
    pub voices: Vec<KnownVoice>,
}

/// A speaker whose voice is known, and so the name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownVoice {
    pub track: Option<u32>,
    pub channel: Option<u32>,
    /// Number of the speaker on this channel of this track.
    pub speaker: u32,
    pub name: String,
}

/// A speaker before all are numbered together: track, channel, and the number there.
type Key = (Option<u32>, Option<u32>, u32);

impl Speech {
    /// Numbers the speakers of all channels and tracks from 0: in order of the first segment or word, then
    /// those who have only turns, in order of the first turn. Returns them in this order, without their
    /// seconds.
    pub(crate) fn number_speakers(&mut self) -> Vec<Speaker> {
        let mut numbering = Numbering::default();
        for Segment { track, channel, speaker, words, .. } in &mut self.segments {
            let of_words = words.iter_mut().map(|word| &mut word.speaker);
            for speaker in [speaker].into_iter().chain(of_words).filter_map(Option::as_mut) {
                *speaker = numbering.number((*track, *channel, *speaker));
            }
        }
        for Turn { track, channel, speaker, .. } in &mut self.turns {
            *speaker = numbering.number((*track, *channel, *speaker));
        }
        // Whoever speaks beside others has turns. Only then are they numbered, so that a person who says no
        // word of their own comes last.
        for Segment { track, channel, words, .. } in &mut self.segments {
            for speaker in words.iter_mut().filter_map(|word| word.other_speaker.as_mut()) {
                *speaker = numbering.number((*track, *channel, *speaker));
            }
        }
        let Numbering { numbers, mut speakers } = numbering;
        for KnownVoice { track, channel, speaker, name } in &self.voices {
            let number = numbers.get(&(*track, *channel, *speaker));
            if let Some(speaker) = number.and_then(|&id| speakers.get_mut(id as usize)) {
                let name: String = text::clean(name).chars().take(MAX_SPEAKER_NAME).collect();
                speaker.name = Some(name).filter(|name| !name.is_empty());
            }
        }
        speakers
    }
}

/// Speakers by the order in which they are met.
#[derive(Default)]
struct Numbering {
    numbers: HashMap<Key, u32>,
    speakers: Vec<Speaker>,
}

impl Numbering {
    fn number(&mut self, key: Key) -> u32 {
        *self.numbers.entry(key).or_insert_with(|| {
            let id = u32::try_from(self.speakers.len()).unwrap_or(u32::MAX);
            let (track, channel, _) = key;
            let label = default_label(id);
            self.speakers.push(Speaker { id, label, channel, track, ..Speaker::default() });
            id
        })
    }
}

/// Returns the name of a speaker that has no other. People count from 1.
pub(crate) fn default_label(id: u32) -> String {
    format!("Speaker {}", u64::from(id) + 1)
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
        let segments =
            vec![of(None, Some(0), 7), with_words, of(None, Some(0), 0), of(Some(2), Some(0), 7)];
        let mut speech = Speech { segments, ..Speech::default() };
        let speakers = speech.number_speakers();
        let of_segments: Vec<_> = speech.segments.iter().map(|segment| segment.speaker).collect();
        assert_eq!(of_segments, [Some(0), Some(1), Some(3), Some(4)]);
        let of_words: Vec<_> = speech.segments[1].words.iter().map(|word| word.speaker).collect();
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
    fn speakers_without_words_come_last() {
        let turn = |start: f64, channel, speaker| Turn {
            start,
            end: start + 1.0,
            speaker,
            channel,
            track: None,
        };
        let mut segment = Segment { start: 2.0, end: 3.0, speaker: Some(5), ..Segment::default() };
        segment.words = vec![Word { other_speaker: Some(9), ..Word::default() }];
        let mut speech = Speech {
            segments: vec![segment],
            turns: vec![
                turn(0.0, None, 4),
                turn(1.0, Some(0), 5),
                turn(2.0, None, 5),
                turn(2.0, None, 9),
            ],
            voices: Vec::new(),
        };
        let speakers = speech.number_speakers();
        assert_eq!(speakers.len(), 4);
        assert_eq!(speakers[2].channel, Some(0));
        assert_eq!(speech.segments[0].speaker, Some(0));
        let of_turns: Vec<u32> = speech.turns.iter().map(|turn| turn.speaker).collect();
        assert_eq!(of_turns, [1, 2, 0, 3]);
        assert_eq!(speech.segments[0].words[0].other_speaker, Some(3));
    }

    #[test]
    fn known_voices_give_names() {
        let voice = |channel, speaker, name: &str| KnownVoice {
            track: None,
            channel,
            speaker,
            name: name.to_owned(),
        };
        let of =
            |channel, speaker| Segment { channel, speaker: Some(speaker), ..Segment::default() };
        let long = "n".repeat(2 * MAX_SPEAKER_NAME);
        let mut speech = Speech {
            segments: vec![of(Some(1), 0), of(Some(0), 0), of(Some(0), 1), of(Some(0), 2)],
            turns: Vec::new(),
            voices: vec![
                voice(Some(0), 0, "Anna\nB."),
                voice(Some(0), 1, "\u{200b}"),
                voice(Some(0), 2, &long),
                voice(None, 0, "Nobody"),
            ],
        };
        let speakers = speech.number_speakers();
        let names: Vec<_> = speakers.iter().map(|speaker| speaker.name.as_deref()).collect();
        assert_eq!(names, [None, Some("Anna B."), None, Some(&long[..MAX_SPEAKER_NAME])]);
        let labels: Vec<_> = speakers.iter().map(|speaker| speaker.label.as_str()).collect();
        assert_eq!(labels[..2], ["Speaker 1", "Speaker 2"]);
    }
}
