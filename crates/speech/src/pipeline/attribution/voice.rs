//! The turns of one speaker, as a word asks for them: in logarithmic time, however many turns there are.

use super::Unit;
use crate::speakers::Turn;

/// Cost per second of distance between a word and the nearest turn of its speaker.
const DISTANCE: f64 = 0.3;
/// Distance in seconds between words and turns at which a turn says nothing of a word.
pub(super) const FAR: f64 = 2.0;

/// The turns of one speaker.
#[derive(Debug)]
pub(super) struct Voice {
    pub(super) speaker: u32,
    /// In order and apart; at least one.
    spans: Vec<Span>,
}

/// A time in which somebody speaks, in seconds from the start of the recording.
#[derive(Debug)]
struct Span {
    start: f64,
    end: f64,
    /// Seconds for which the speaker has spoken before.
    before: f64,
}

impl Voice {
    /// Returns the voices of the turns in order of the speakers' numbers. Turns without a duration, and those
    /// whose times are not finite, are left out.
    pub(super) fn all(turns: &[Turn]) -> Vec<Self> {
        let valid =
            |turn: &&Turn| turn.start.is_finite() && turn.end.is_finite() && turn.start < turn.end;
        let mut turns: Vec<&Turn> = turns.iter().filter(valid).collect();
        turns.sort_by(|a, b| a.speaker.cmp(&b.speaker).then(a.start.total_cmp(&b.start)));
        let of_speakers = turns.chunk_by(|a, b| a.speaker == b.speaker);
        of_speakers.map(Self::of).collect()
    }

    /// Joins the turns of a speaker where they touch.
    fn of(turns: &[&Turn]) -> Self {
        let speaker = turns.first().map_or(0, |turn| turn.speaker);
        let mut spans: Vec<Span> = Vec::with_capacity(turns.len());
        for &&Turn { start, end, .. } in turns {
            match spans.last_mut() {
                Some(last) if start <= last.end => last.end = last.end.max(end),
                last => {
                    let before = last.map_or(0.0, |last| last.before + last.end - last.start);
                    spans.push(Span { start, end, before });
                }
            }
        }
        Self { speaker: u32::try_from(speaker).unwrap_or(u32::MAX), spans }
    }

    /// Returns what it costs if this is the voice of a unit.
    pub(super) fn cost(&self, unit: &Unit) -> f64 {
        unit.end - unit.start - self.seconds(unit) + DISTANCE * self.distance(unit).min(FAR)
    }

    /// Returns for how many seconds of a unit the speaker speaks.
    pub(super) fn seconds(&self, unit: &Unit) -> f64 {
        self.seconds_until(unit.end) - self.seconds_until(unit.start)
    }

    fn seconds_until(&self, time: f64) -> f64 {
        let begun = self.spans.partition_point(|span| span.start < time);
        self.spans[..begun].last().map_or(0.0, |last| last.before + last.end.min(time) - last.start)
    }

    /// Returns the seconds between a unit and the nearest turn of the speaker; 0 where they overlap.
    pub(super) fn distance(&self, unit: &Unit) -> f64 {
        let ended = self.spans.partition_point(|span| span.end < unit.start);
        let before = self.spans[..ended].last().map_or(f64::INFINITY, |last| unit.start - last.end);
        let next = self.spans.get(ended).map_or(f64::INFINITY, |next| next.start - unit.end);
        before.min(next).max(0.0)
    }
}
