//! Tiers for annotation tools: what each voice says, as intervals that do not overlap.

use std::collections::{HashMap, HashSet};

use crate::{Transcript, timeline::milliseconds, tokens::Token, utterances::utterances};

/// Name of the only tier where nobody knows who speaks.
const UNNAMED: &str = "Transcript";

/// What one voice says.
#[derive(Debug)]
pub(crate) struct Tier {
    /// Unique among all tiers.
    pub(crate) name: String,
    /// Who speaks, if that is known.
    pub(crate) voice: Option<String>,
    /// In order; at least one, unless nobody speaks.
    pub(crate) intervals: Vec<Interval>,
}

/// A text with its times in milliseconds. It ends after it starts, and not after the next one starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interval {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// On one line.
    pub(crate) text: String,
}

/// What is gathered of a voice.
#[derive(Default)]
struct Voice {
    /// If it is known who speaks.
    name: Option<String>,
    segments: Vec<Interval>,
    words: Vec<Interval>,
    turns: Vec<Interval>,
}

/// Returns a tier of segments for each voice, followed by one of its words if it has words, and by one of its turns if it has
/// turns: turns of different speakers overlap where both speak. One empty tier if nobody speaks.
pub(crate) fn tiers(transcript: &Transcript) -> Vec<Tier> {
    let mut voices: Vec<Voice> = Vec::new();
    let mut numbers = HashMap::new();
    for utterance in utterances(&transcript.segments) {
        let key = (utterance.segment.track, utterance.segment.channel, utterance.speaker);
        let number = *numbers.entry(key).or_insert_with(|| {
            voices.push(Voice { name: utterance.voice(transcript), ..Voice::default() });
            voices.len() - 1
        });
        let Voice { segments, words, .. } = &mut voices[number];
        if !utterance.segment.words.is_empty() {
            words.extend(utterance.tokens.iter().map(word));
        }
        segments.push(Interval {
            start: utterance.start,
            end: utterance.end,
            text: utterance.text,
        });
    }
    for turn in &transcript.turns {
        let name = transcript.speaker_name(turn.speaker);
        let key = (turn.track, turn.channel, Some(turn.speaker));
        let number = *numbers.entry(key).or_insert_with(|| {
            voices.push(Voice { name: Some(name.clone()), ..Voice::default() });
            voices.len() - 1
        });
        let (start, end) = (milliseconds(turn.start), milliseconds(turn.end));
        // An interval without text is a pause.
        voices[number].turns.push(Interval { start, end, text: name });
    }
    let mut names = Names::default();
    let mut tiers = Vec::new();
    for Voice { name: voice, segments, words, turns } in voices {
        let base = voice.clone().unwrap_or_else(|| UNNAMED.to_owned());
        let named = [
            (base.clone(), segments),
            (format!("{base} (words)"), words),
            (format!("{base} (turns)"), turns),
        ];
        for (name, intervals) in named.into_iter().filter(|(_, intervals)| !intervals.is_empty()) {
            let (name, voice) = (names.unique(name), voice.clone());
            tiers.push(Tier { name, voice, intervals: separated(intervals) });
        }
    }
    if tiers.is_empty() {
        tiers.push(Tier { name: UNNAMED.to_owned(), voice: None, intervals: Vec::new() });
    }
    tiers
}

fn word(token: &Token) -> Interval {
    let text = format!("{}{}", token.content, token.closing);
    Interval { start: token.start, end: token.end, text }
}

/// Sorts intervals and ends each where the next one starts. None is shorter than a millisecond.
fn separated(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_by_key(|interval| interval.start);
    let starts: Vec<u64> = intervals.iter().map(|interval| interval.start).collect();
    let mut last = 0;
    for (index, interval) in intervals.iter_mut().enumerate() {
        interval.start = interval.start.max(last);
        let next = starts.get(index + 1).copied().filter(|&next| next > interval.start);
        interval.end = interval.end.min(next.unwrap_or(u64::MAX)).max(interval.start + 1);
        last = interval.end;
    }
    intervals
}

/// Gives names to tiers: two people may have the same name.
#[derive(Default)]
struct Names {
    taken: HashSet<String>,
    counts: HashMap<String, u32>,
}

impl Names {
    fn unique(&mut self, wanted: String) -> String {
        let mut name = wanted.clone();
        while !self.taken.insert(name.clone()) {
            let count = self.counts.entry(wanted.clone()).or_insert(1);
            *count += 1;
            name = format!("{wanted} ({count})");
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_separated() {
        let interval = |(start, end): (u64, u64)| Interval { start, end, text: String::new() };
        let spans = |spans: &[(u64, u64)]| -> Vec<(u64, u64)> {
            let intervals = separated(spans.iter().copied().map(interval).collect());
            intervals.iter().map(|interval| (interval.start, interval.end)).collect()
        };
        assert_eq!(spans(&[(50, 60), (0, 100)]), [(0, 50), (50, 60)]);
        assert_eq!(spans(&[(5, 5), (5, 5), (5, 9)]), [(5, 6), (6, 7), (7, 9)]);
    }

    #[test]
    fn names_are_unique() {
        let mut names = Names::default();
        let given = ["Anna", "Anna (2)", "Anna", "Anna"].map(|name| names.unique(name.to_owned()));
        assert_eq!(given, ["Anna", "Anna (2)", "Anna (3)", "Anna (4)"]);
    }
}
