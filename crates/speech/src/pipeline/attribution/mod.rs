//! Who says which word: words and segments take their speaker from turns.
//!
//! Turns and words are found by different models, and their times differ by a few tenths of a second. If each
//! word took its speaker on its own, the first or last word of a sentence would often go to somebody else. So
//! the speakers of all words of a channel are chosen together, as the cheapest sequence (Viterbi): a word costs
//! the seconds in which its speaker is not active, and a change of speakers costs little where a sentence ends
//! or somebody pauses, and more in the middle of a sentence.

#[cfg(test)]
mod tests;
mod voice;

use transcript::{Ending, Segment, Word};

use self::voice::{FAR, Voice};
use super::sentences::geometric_mean;
use crate::speakers::Turn;

/// Cost in seconds of a change of speakers, wherever it is.
const CHANGE: f64 = 0.02;
/// What a change costs more after a clause, where nobody pauses.
const CHANGE_AFTER_CLAUSE: f64 = 0.1;
/// What a change costs more between words of a clause, where nobody pauses.
const CHANGE_IN_CLAUSE: f64 = 0.3;
/// Pause in seconds at which it does not matter whether a sentence ends.
const LONG_PAUSE: f64 = 0.6;
/// Duration in seconds of words that have less.
const SHORTEST_WORD: f64 = 0.1;
/// Latest time in seconds, ten thousand hours: no recording is that long.
const LATEST: f64 = 36e6;

/// Gives the segments of a channel, and their words, the speakers of `turns`. A segment is divided where the
/// speaker changes. Words during which two people speak name the second.
///
/// Segments are in order of start and have no speakers yet; `turns` are in any order and may overlap. Takes time in
/// proportion to the number of words and to that of the speakers. Segments far from any turn have no speaker.
pub(super) fn attribute(segments: Vec<Segment>, turns: &[Turn]) -> Vec<Segment> {
    let voices = Voice::all(turns);
    if voices.is_empty() {
        return segments;
    }
    let texts: Vec<Option<Vec<String>>> = segments.iter().map(Segment::text_by_word).collect();
    let units = units(&segments, &texts);
    let path = cheapest_path(&units, &voices);
    let mut parts = Vec::with_capacity(segments.len());
    let mut rest = units.iter().zip(path).peekable();
    for (index, (segment, texts)) in segments.into_iter().zip(texts).enumerate() {
        let mut of_segment = Vec::new();
        while let Some(unit) = rest.next_if(|(unit, _)| unit.segment == index) {
            of_segment.push(unit);
        }
        let is_near = |unit: &Unit| voices.iter().any(|voice| voice.distance(unit) < FAR);
        match (texts, &of_segment[..]) {
            (_, of_segment) if !of_segment.iter().any(|(unit, _)| is_near(unit)) => {
                parts.push(segment);
            }
            (Some(texts), _) => divide(segment, &texts, &of_segment, &voices, &mut parts),
            (None, of_segment) => {
                let speaker = of_segment.first().map(|&(_, voice)| voices[voice].speaker);
                parts.push(Segment { speaker, ..segment });
            }
        }
    }
    parts
}

/// What has one speaker: a word, or a segment whose text cannot be divided among words.
#[derive(Debug)]
struct Unit {
    /// Index of the segment.
    segment: usize,
    /// Index of the word in the segment.
    word: usize,
    /// Seconds from the start of the recording; finite.
    start: f64,
    /// After `start`; finite.
    end: f64,
    /// Cost of a change of speakers before it.
    change: f64,
}

/// Returns the units of the segments in order. Words without visible text are none: they belong to the word
/// before them.
fn units(segments: &[Segment], texts: &[Option<Vec<String>>]) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut last: Option<(&str, Option<&str>)> = None;
    let mut add = |segment: usize, word: usize, (start, end): (f64, f64), text| {
        let language = segments[segment].language.as_deref();
        let before = units.last().map_or(0.0, |unit| unit.end);
        let start = if start.is_finite() { start.clamp(0.0, LATEST) } else { before };
        // `max` takes NaN for the least number.
        let end = end.max(start + SHORTEST_WORD).min(LATEST + SHORTEST_WORD);
        let ending = last.and_then(|(last, language)| transcript::ending(last, text, language));
        let change = change_cost(ending, start - before);
        units.push(Unit { segment, word, start, end, change });
        last = Some((text, language));
    };
    for (index, (segment, texts)) in segments.iter().zip(texts).enumerate() {
        match texts {
            Some(texts) => {
                for (number, (word, text)) in segment.words.iter().zip(texts).enumerate() {
                    if !text.is_empty() {
                        add(index, number, (word.start, word.end), text.trim());
                    }
                }
            }
            None => add(index, 0, (segment.start, segment.end), segment.text.trim()),
        }
    }
    units
}

/// Returns the cost of a change of speakers after a text that ends so, and before a pause.
fn change_cost(ending: Option<Ending>, pause: f64) -> f64 {
    let more = match ending {
        Some(Ending::Sentence) => 0.0,
        Some(Ending::Clause) => CHANGE_AFTER_CLAUSE,
        Some(Ending::Bound) | None => CHANGE_IN_CLAUSE,
    };
    CHANGE + more * (1.0 - pause / LONG_PAUSE).clamp(0.0, 1.0)
}

/// Returns the index of the voice of each unit.
fn cheapest_path(units: &[Unit], voices: &[Voice]) -> Vec<usize> {
    let mut costs = vec![0.0; voices.len()];
    // For each unit, the cheapest voice before it, and for each of its voices whether it continues.
    let mut cheapest = Vec::with_capacity(units.len());
    let mut continues = Vec::with_capacity(units.len() * voices.len());
    for unit in units {
        let before = least(&costs);
        let after_change = costs[before] + unit.change;
        cheapest.push(before);
        for (cost, voice) in costs.iter_mut().zip(voices) {
            continues.push(*cost <= after_change);
            *cost = cost.min(after_change) + voice.cost(unit);
        }
        // Only differences matter: sums of ten hours would lose digits.
        let lowest = costs[least(&costs)];
        costs.iter_mut().for_each(|cost| *cost -= lowest);
    }
    let mut voice = least(&costs);
    let mut path: Vec<usize> = (0..units.len())
        .rev()
        .map(|index| {
            let chosen = voice;
            if !continues[index * voices.len() + voice] {
                voice = cheapest[index];
            }
            chosen
        })
        .collect();
    path.reverse();
    path
}

/// Returns the index of the first of the least costs.
fn least(costs: &[f64]) -> usize {
    let (index, _) = costs.iter().enumerate().fold((0, f64::INFINITY), |best, (index, &cost)| {
        if cost < best.1 { (index, cost) } else { best }
    });
    index
}

/// Divides a segment where the speaker changes. `units`: its visible words and the indices of their voices;
/// at least one.
fn divide(
    mut segment: Segment,
    texts: &[String],
    units: &[(&Unit, usize)],
    voices: &[Voice],
    parts: &mut Vec<Segment>,
) {
    for &(unit, voice) in units {
        if let Some(word) = segment.words.get_mut(unit.word) {
            word.other_speaker = other_speaker(unit, voice, voices);
        }
    }
    let runs: Vec<_> = units.chunk_by(|a, b| a.1 == b.1).collect();
    let speaker = |run: &[(&Unit, usize)]| run.first().map(|&(_, voice)| voices[voice].speaker);
    if let [run] = runs[..] {
        parts.push(Segment { speaker: speaker(run), ..segment });
        return;
    }
    let begins = |run: &&[(&Unit, usize)]| run.first().map_or(0, |(unit, _)| unit.word);
    // Words without visible text at the beginning belong to the first part.
    let mut bounds: Vec<usize> = runs.iter().map(begins).collect();
    (bounds[0], segment.speaker) = (0, None);
    bounds.push(segment.words.len());
    let mut words = std::mem::take(&mut segment.words).into_iter();
    let mut time = segment.start;
    for (index, (run, bounds)) in runs.iter().zip(bounds.windows(2)).enumerate() {
        let words: Vec<Word> = words.by_ref().take(bounds[1] - bounds[0]).collect();
        let (first, last) = (index == 0, index + 1 == runs.len());
        let start = if first { segment.start } else { run[0].0.start.max(time) };
        let end = if last { segment.end } else { run[run.len() - 1].0.end };
        let end = end.max(start);
        time = start;
        parts.push(Segment {
            start,
            end,
            speaker: speaker(run),
            text: texts[bounds[0]..bounds[1]].concat().trim().to_owned(),
            confidence: geometric_mean(&words).unwrap_or(segment.confidence),
            event: segment.event.take(),
            words,
            ..segment.clone()
        });
    }
}

/// Returns who else speaks for at least half of the time of a word, together with its own speaker.
fn other_speaker(unit: &Unit, voice: usize, voices: &[Voice]) -> Option<u32> {
    let half = (unit.end - unit.start) / 2.0;
    let own = voices[voice].seconds(unit);
    let others = voices.iter().enumerate().filter(|&(other, _)| other != voice);
    let seconds = others.map(|(_, other)| (other.speaker, other.seconds(unit)));
    let (speaker, seconds) =
        seconds.fold(
            (None, 0.0),
            |best, (speaker, seconds)| {
                if seconds > best.1 { (Some(speaker), seconds) } else { best }
            },
        );
    // Two that speak for so long in all speak together for at least half of the time.
    speaker.filter(|_| own + seconds >= 3.0 * half)
}
