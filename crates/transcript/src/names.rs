//! Who speaks: names for people and for programs.

use std::collections::BTreeSet;

use crate::{Segment, Speaker, Transcript, Turn, speech::default_label, text};

impl Speaker {
    /// Returns the name for people, on one line: the one that a person has given, else the label.
    pub fn display_name(&self) -> String {
        let given = self.name.iter().chain([&self.label]).map(|name| text::clean(name));
        given.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| default_label(self.id))
    }
}

impl Transcript {
    /// Returns the speaker with an id.
    pub fn speaker(&self, id: u32) -> Option<&Speaker> {
        let index = self.speakers.binary_search_by_key(&id, |speaker| speaker.id).ok()?;
        self.speakers.get(index)
    }

    /// Gives a speaker a name, on one line. Returns false if there is no such speaker.
    pub fn name_speaker(&mut self, id: u32, name: &str) -> bool {
        let Ok(index) = self.speakers.binary_search_by_key(&id, |speaker| speaker.id) else {
            return false;
        };
        self.speakers[index].name = Some(text::clean(name)).filter(|name| !name.is_empty());
        true
    }

    /// Returns who speaks in a segment, for people, on one line: the name of the speaker, if speakers were
    /// distinguished; else the track and the channel, if there are several. They count from 1.
    pub fn voice(&self, segment: &Segment) -> Option<String> {
        self.voice_of(segment, segment.speaker)
    }

    /// Returns the name of a speaker, for people, on one line.
    pub(crate) fn speaker_name(&self, id: u32) -> String {
        self.speaker(id).map_or_else(|| default_label(id), Speaker::display_name)
    }

    /// Returns who speaks in the part of a segment in which `speaker` does.
    pub(crate) fn voice_of(&self, segment: &Segment, speaker: Option<u32>) -> Option<String> {
        if let Some(id) = speaker {
            return Some(self.speaker_name(id));
        }
        let track = segment.track.map(|track| format!("Track {track}"));
        let channel = segment.channel.map(|channel| format!("Channel {}", u64::from(channel) + 1));
        let names: Vec<String> = [track, channel].into_iter().flatten().collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

/// Numbers of channels in formats for programs, counted from 0 and unique in the recording. They are those
/// of the JSON, unless all audio tracks were transcribed: the channels of all tracks are then numbered
/// together.
#[derive(Debug)]
pub(crate) struct Channels {
    /// In order; empty unless all tracks were transcribed.
    of_tracks: Vec<TrackChannel>,
}

/// A channel of an audio track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TrackChannel {
    track: Option<u32>,
    channel: Option<u32>,
}

impl From<&Segment> for TrackChannel {
    fn from(segment: &Segment) -> Self {
        Self { track: segment.track, channel: segment.channel }
    }
}

impl From<&Turn> for TrackChannel {
    fn from(turn: &Turn) -> Self {
        Self { track: turn.track, channel: turn.channel }
    }
}

impl Channels {
    pub(crate) fn new(transcript: &Transcript) -> Self {
        let of_segments = transcript.segments.iter().map(TrackChannel::from);
        let of_turns = transcript.turns.iter().map(TrackChannel::from);
        let mut channels: BTreeSet<TrackChannel> = of_segments.chain(of_turns).collect();
        if channels.iter().all(|channel| channel.track.is_none()) {
            channels.clear();
        }
        Self { of_tracks: channels.into_iter().collect() }
    }

    /// Returns the number of a channel; `None` if the channels were mixed.
    pub(crate) fn number(&self, of: impl Into<TrackChannel>) -> Option<u32> {
        let of = of.into();
        match self.of_tracks.binary_search(&of) {
            Ok(index) => u32::try_from(index).ok(),
            Err(_) => of.channel,
        }
    }

    /// Returns the name of a channel, `ch_0`; `None` if the channels were mixed.
    pub(crate) fn label(&self, of: impl Into<TrackChannel>) -> Option<String> {
        self.number(of).map(channel_label)
    }

    /// Returns the channel as NIST's formats count them, from 1. A mix is channel 1.
    pub(crate) fn nist_number(&self, of: impl Into<TrackChannel>) -> u64 {
        self.number(of).map_or(1, |channel| u64::from(channel) + 1)
    }
}

pub(crate) fn channel_label(channel: u32) -> String {
    format!("ch_{channel}")
}

/// Returns the name of a speaker in formats for programs.
pub(crate) fn speaker_label(id: u32) -> String {
    format!("spk_{id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speaker_has_a_name_whatever_the_json_says() {
        let speaker = |name: Option<&str>, label: &str| Speaker {
            id: 4,
            label: label.to_owned(),
            name: name.map(str::to_owned),
            ..Speaker::default()
        };
        assert_eq!(speaker(Some("Anna\nB."), "Speaker 5").display_name(), "Anna B.");
        assert_eq!(speaker(Some("\u{200b}"), "Speaker 5").display_name(), "Speaker 5");
        assert_eq!(speaker(None, "\n").display_name(), "Speaker 5");
    }
}
