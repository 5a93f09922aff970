//! Makes the print of a voice from its speech.

use std::ops::Range;

use super::{Direction, Error, Voice, cosine};
use crate::{recognizer, speakers::SpeakerEncoder};

/// Samples per second.
const SAMPLE_RATE: f64 = 16_000.0;
/// Samples per window: 1.5 s.
const WINDOW: usize = 24_000;
/// Samples from the start of one window to the start of the next.
const SHIFT: usize = WINDOW / 2;
/// Least number of samples of a window, 0.4 s: less says little about a voice.
const MIN_WINDOW: usize = 6_400;
/// Windows that are embedded together.
const BATCH: usize = 16;
/// Least cosine of the two halves of a voice's windows: below it, the speech is likely of several people. Measured
/// (docs/speakers.md) from ten seconds of speech on: 0.73 to 0.95 for one voice, hardly ever above 0.7 for two.
pub const LIKELY_SEVERAL: f32 = 0.7;
/// Seconds of speech that the two halves need: of less, those of one voice differ as much as two voices.
const MIN_JUDGED_SECONDS: f64 = 10.0;
/// Least share of the windows in the smaller half: fewer may be noise or music.
const MIN_SHARE: f64 = 0.1;
/// Rounds in which the halves settle.
const ROUNDS: usize = 20;

/// Gathers the speech of one voice.
pub struct Enrolment<'a> {
    encoder: &'a SpeakerEncoder,
    samples: usize,
    embeddings: Vec<Vec<f32>>,
    /// Seconds of each.
    seconds: Vec<f64>,
}

impl<'a> Enrolment<'a> {
    /// Begins without any speech.
    pub fn new(encoder: &'a SpeakerEncoder) -> Self {
        Self { encoder, samples: 0, embeddings: Vec::new(), seconds: Vec::new() }
    }

    /// Adds a span of speech: 16 kHz PCM in [-1, 1). Spans shorter than 0.4 s count nothing.
    ///
    /// # Errors
    /// As [`SpeakerEncoder::embed`].
    pub fn add(&mut self, samples: &[f32]) -> Result<(), recognizer::Error> {
        let ranges: Vec<Range<usize>> = window_ranges(samples.len()).collect();
        for batch in ranges.chunks(BATCH) {
            let windows: Vec<&[f32]> = batch.iter().map(|range| &samples[range.clone()]).collect();
            self.embeddings.extend(self.encoder.embed(&windows)?);
            self.seconds.extend(batch.iter().map(|range| range.len() as f64 / SAMPLE_RATE));
        }
        if !ranges.is_empty() {
            self.samples += samples.len();
        }
        Ok(())
    }

    /// Returns the seconds of speech so far.
    pub fn seconds(&self) -> f64 {
        self.samples as f64 / SAMPLE_RATE
    }

    /// Returns how similar the two halves are into which the windows fall most clearly: the cosine of
    /// their means. That of one voice is high; below [`LIKELY_SEVERAL`], the speech is likely of several
    /// people. `None` if there is too little speech to say, or if one half is too small.
    pub fn similarity_of_halves(&self) -> Option<f32> {
        let is_enough = self.seconds() >= MIN_JUDGED_SECONDS;
        is_enough.then(|| halves(&self.embeddings, &self.seconds)).flatten()
    }

    /// Returns the voice of `name`, who speaks in this many recordings; `None` without any speech.
    ///
    /// # Errors
    /// [`Error::Name`] if transcripts cannot have the name.
    pub fn voice(&self, name: &str, recordings: u32) -> Result<Option<Voice>, Error> {
        super::check_name(name)?;
        let mut direction = Direction::default();
        for (embedding, &seconds) in self.embeddings.iter().zip(&self.seconds) {
            direction.add(embedding, seconds);
        }
        let voice =
            |print| Voice { name: name.to_owned(), seconds: self.seconds(), recordings, print };
        Ok(direction.unit().map(voice))
    }
}

/// Returns the windows of a span of `length` samples: 1.5 s every 0.75 s, the last one flush with the end.
/// A shorter span is one window; one shorter than 0.4 s has none.
pub fn window_ranges(length: usize) -> impl Iterator<Item = Range<usize>> {
    let count = match length {
        ..MIN_WINDOW => 0,
        MIN_WINDOW.. => 1 + length.saturating_sub(WINDOW).div_ceil(SHIFT),
    };
    (0..count).map(move |window| {
        let end = (window * SHIFT + WINDOW).min(length);
        end.saturating_sub(WINDOW)..end
    })
}

/// Divides embeddings into two by spherical k-means, from the one that is farthest from the mean and the one
/// farthest from that; returns the cosine of the two means.
pub fn halves(embeddings: &[Vec<f32>], seconds: &[f64]) -> Option<f32> {
    let mean = |is_meant: &dyn Fn(usize) -> bool| {
        let mut direction = Direction::default();
        for (index, (embedding, &seconds)) in embeddings.iter().zip(seconds).enumerate() {
            if is_meant(index) {
                direction.add(embedding, seconds);
            }
        }
        direction.unit()
    };
    let farthest =
        |from: &[f32]| embeddings.iter().min_by(|a, b| cosine(a, from).total_cmp(&cosine(b, from)));
    let one = farthest(&mean(&|_| true)?)?;
    let mut centres = [one.clone(), farthest(one)?.clone()];
    let mut in_second = Vec::new();
    for _ in 0..ROUNDS {
        let nearer = |e: &Vec<f32>| cosine(e, &centres[1]) > cosine(e, &centres[0]);
        let halves: Vec<bool> = embeddings.iter().map(nearer).collect();
        if halves == in_second {
            break;
        }
        in_second = halves;
        centres = [mean(&|index| !in_second[index])?, mean(&|index| in_second[index])?];
    }
    let second: f64 = in_second.iter().zip(seconds).filter(|(is, _)| **is).map(|(_, s)| s).sum();
    let share = second / seconds.iter().sum::<f64>();
    (MIN_SHARE..=1.0 - MIN_SHARE).contains(&share).then(|| cosine(&centres[0], &centres[1]))
}
