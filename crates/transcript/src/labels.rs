//! Names of channels and speakers in formats for programs: counted from 0, unique in the recording.

use std::collections::BTreeSet;

use crate::{Segment, Transcript};

/// Numbers the channels and the speakers of a transcript. They keep the numbers that they have in the
/// JSON, unless all audio tracks were transcribed: the channels and the speakers of all tracks are then
/// numbered together.
#[derive(Debug)]
pub(crate) struct Labels {
    /// Tracks and channels in order; empty unless all tracks were transcribed.
    channels: Vec<(Option<u32>, Option<u32>)>,
    /// Tracks and speakers in order; empty unless all tracks were transcribed.
    speakers: Vec<(Option<u32>, u32)>,
}

impl Labels {
    pub(crate) fn new(transcript: &Transcript) -> Self {
        let (mut channels, mut speakers) = (BTreeSet::new(), BTreeSet::new());
        if transcript.segments.iter().any(|segment| segment.track.is_some()) {
            for segment in &transcript.segments {
                channels.insert((segment.track, segment.channel));
                let words = segment.words.iter().filter_map(|word| word.speaker);
                speakers
                    .extend(words.chain(segment.speaker).map(|speaker| (segment.track, speaker)));
            }
        }
        let channels = channels.into_iter().collect();
        Self { channels, speakers: speakers.into_iter().collect() }
    }

    /// Returns the number of a segment's channel; `None` if the channels were mixed.
    pub(crate) fn channel(&self, segment: &Segment) -> Option<u32> {
        match self.channels.binary_search(&(segment.track, segment.channel)) {
            Ok(index) => u32::try_from(index).ok(),
            Err(_) => segment.channel,
        }
    }

    /// Returns the name of a segment's channel, `ch_0`; `None` if the channels were mixed.
    pub(crate) fn channel_label(&self, segment: &Segment) -> Option<String> {
        self.channel(segment).map(channel_label)
    }

    /// Returns the channel as NIST's formats count them, from 1. A mix is channel 1.
    pub(crate) fn nist_channel(&self, segment: &Segment) -> u64 {
        self.channel(segment).map_or(1, |channel| u64::from(channel) + 1)
    }

    /// Returns the name of a speaker of a segment, `spk_0`.
    pub(crate) fn speaker_label(&self, segment: &Segment, speaker: u32) -> String {
        match self.speakers.binary_search(&(segment.track, speaker)) {
            Ok(index) => format!("spk_{index}"),
            Err(_) => format!("spk_{speaker}"),
        }
    }
}

pub(crate) fn channel_label(channel: u32) -> String {
    format!("ch_{channel}")
}
