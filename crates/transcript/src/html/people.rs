//! The people of a transcript: speakers, or channels and tracks if only those are distinguished.

use std::{collections::BTreeMap, fmt::Write};

use super::{escape::escape, units::Unit};
use crate::{Segment, Transcript};

/// Number of colours in the style sheet.
pub(super) const COLOURS: usize = 8;

/// What distinguishes people in a transcript: the speaker, if speakers were distinguished, else track and channel.
type Key = (Option<u32>, Option<u32>, Option<u32>);

fn key(segment: &Segment, speaker: Option<u32>) -> Key {
    match speaker {
        Some(_) => (None, None, speaker),
        None => (segment.track, segment.channel, None),
    }
}

/// Somebody who speaks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Person {
    /// Number by which the command line names the speaker; absent for a channel.
    pub(super) id: Option<u32>,
    /// Name for people, on one line.
    pub(super) name: String,
    /// Whether a person has given that name.
    pub(super) is_named: bool,
    /// Time for which the person speaks, in milliseconds.
    pub(super) spoken: u64,
}

/// The people of a transcript in order of first appearance.
#[derive(Debug, Default)]
pub(super) struct People {
    list: Vec<Person>,
    indices: BTreeMap<Key, usize>,
}

impl People {
    pub(super) fn of(transcript: &Transcript) -> Self {
        let mut people = Self::default();
        for segment in &transcript.segments {
            for word in &segment.words {
                people.add(transcript, segment, word.speaker.or(segment.speaker));
            }
            people.add(transcript, segment, segment.speaker);
        }
        people
    }

    /// Counts for how long each person speaks.
    pub(super) fn count(&mut self, units: &[Unit<'_>]) {
        for unit in units.iter().filter(|unit| !unit.text.is_empty()) {
            if let Some(person) = unit.person.and_then(|index| self.list.get_mut(index)) {
                person.spoken += unit.end - unit.start;
            }
        }
    }

    fn add(&mut self, transcript: &Transcript, segment: &Segment, speaker: Option<u32>) {
        let Some(name) = transcript.voice_of(segment, speaker) else { return };
        let next = self.list.len();
        let index = *self.indices.entry(key(segment, speaker)).or_insert(next);
        if index == next {
            let speaker = speaker.and_then(|id| transcript.speaker(id));
            let id = speaker.map(|speaker| speaker.id);
            let is_named = speaker.is_some_and(|speaker| speaker.name.is_some());
            self.list.push(Person { id, name, is_named, spoken: 0 });
        }
    }

    pub(super) fn list(&self) -> &[Person] {
        &self.list
    }

    /// Returns the index of a speaker of a segment.
    pub(super) fn index(&self, segment: &Segment, speaker: Option<u32>) -> Option<usize> {
        self.indices.get(&key(segment, speaker)).copied()
    }

    /// Returns the list of people with their shares of the time, as the content of a list element.
    pub(super) fn render(&self) -> String {
        let all: u64 = self.list.iter().map(|person| person.spoken).sum();
        let mut html = String::new();
        for (index, person) in self.list.iter().enumerate() {
            let share = (person.spoken * 100 + all / 2) / all.max(1);
            // Writing to a string does not fail.
            let _ = write!(
                html,
                "<li class=\"c{}\"><span class=\"name\" dir=\"auto\">{}</span> <span class=\"share\">{share} %</span></li>",
                index % COLOURS,
                escape(&person.name)
            );
        }
        html
    }
}
