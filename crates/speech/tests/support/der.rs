//! The diarization error rate of short recordings. `scripts/speakers/der.py` computes the same, exactly; this one looks
//! at every hundredth of a second.

use std::collections::{BTreeMap, BTreeSet};

/// Seconds between two moments.
const STEP: f64 = 0.01;

/// A span in which a speaker speaks: start and end in seconds, and the name.
pub(crate) type Turn = (f64, f64, String);

/// Seconds, and numbers of speakers.
#[derive(Debug, Default)]
pub(crate) struct Score {
    total: f64,
    missed: f64,
    false_alarm: f64,
    confusion: f64,
    pub(crate) reference_speakers: usize,
    pub(crate) speakers: usize,
}

impl Score {
    /// The error rate.
    pub(crate) fn rate(&self) -> f64 {
        (self.missed + self.false_alarm + self.confusion) / self.total
    }

    /// The share of the speech that is given to another speaker.
    pub(crate) fn confusion(&self) -> f64 {
        self.confusion / self.total
    }
}

/// Reads the turns of one recording from RTTM.
pub(crate) fn read_rttm(text: &str, recording: &str) -> Vec<Turn> {
    let turn = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let seconds = |index: usize| fields[index].parse::<f64>().expect(line);
        (fields[..2] == ["SPEAKER", recording])
            .then(|| (seconds(3), seconds(3) + seconds(4), fields[7].to_owned()))
    };
    text.lines().filter_map(turn).collect()
}

/// Scores the first `seconds` of a recording. Overlapped speech counts: every speaker of every moment is owed. Speakers
/// are matched one to one, so that the most speech is right.
pub(crate) fn score(reference: &[Turn], found: &[Turn], seconds: f64) -> Score {
    let mut score = Score::default();
    let mut together: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    let (mut theirs, mut ours) = (BTreeSet::new(), BTreeSet::new());
    let mut both = 0.0;
    for step in 0..(seconds / STEP) as usize {
        let time = (step as f64 + 0.5) * STEP;
        let (owed, given) = (at(reference, time), at(found, time));
        score.total += STEP * owed.len() as f64;
        score.missed += STEP * owed.len().saturating_sub(given.len()) as f64;
        score.false_alarm += STEP * given.len().saturating_sub(owed.len()) as f64;
        both += STEP * owed.len().min(given.len()) as f64;
        for &one in &owed {
            for &other in &given {
                *together.entry((one, other)).or_default() += STEP;
            }
        }
        theirs.extend(owed);
        ours.extend(given);
    }
    let theirs: Vec<&str> = theirs.into_iter().collect();
    score.confusion = both - best(&theirs, &ours.iter().copied().collect(), &together);
    (score.reference_speakers, score.speakers) = (theirs.len(), ours.len());
    score
}

/// Returns who speaks at a moment.
fn at(turns: &[Turn], time: f64) -> BTreeSet<&str> {
    let speaks = |turn: &&Turn| turn.0 <= time && time < turn.1;
    turns.iter().filter(speaks).map(|turn| turn.2.as_str()).collect()
}

/// Returns the most seconds that are right when `theirs` are matched with `ours`: tries all matches.
fn best(theirs: &[&str], ours: &BTreeSet<&str>, together: &BTreeMap<(&str, &str), f64>) -> f64 {
    let Some((first, rest)) = theirs.split_first() else { return 0.0 };
    let matches = ours.iter().map(|name| {
        let others = ours.iter().filter(|other| *other != name).copied().collect();
        together.get(&(*first, *name)).unwrap_or(&0.0) + best(rest, &others, together)
    });
    matches.fold(best(rest, ours, together), f64::max)
}
