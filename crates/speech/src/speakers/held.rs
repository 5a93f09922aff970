//! The samples of a channel that are still needed.

use super::frames::CHUNK_SAMPLES;

/// The last samples of a channel.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Number of the first one that is held.
    start: u64,
    samples: Vec<f32>,
}

impl Held {
    /// Holds samples of which the first has this number.
    pub(super) fn new(start: u64, samples: Vec<f32>) -> Self {
        Self { start, samples }
    }

    /// Returns the number of the first sample that is held.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Returns how many samples are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    /// Adds the next samples.
    pub(super) fn extend(&mut self, samples: &[f32]) {
        self.samples.extend_from_slice(samples);
    }

    /// Counts the next samples without holding them.
    pub(super) fn skip(&mut self, count: usize) {
        self.start += count as u64;
    }

    /// Returns the number of the sample after the last one.
    pub(super) fn end(&self) -> u64 {
        self.start + self.samples.len() as u64
    }

    /// Returns samples, with zeros in place of those beyond the end.
    pub(super) fn range(&self, from: u64, to: u64) -> Vec<f32> {
        let at = |sample: u64| (sample.clamp(self.start, self.end()) - self.start) as usize;
        let mut samples = self.samples[at(from)..at(to).max(at(from))].to_vec();
        samples.resize(to.saturating_sub(from) as usize, 0.0);
        samples
    }

    /// Forgets the samples before one, unless they are few.
    pub(super) fn forget_before(&mut self, sample: u64) {
        let gone = (sample.clamp(self.start, self.end()) - self.start) as usize;
        // Moving what stays costs more than it frees if little goes.
        if gone > CHUNK_SAMPLES {
            self.samples.drain(..gone);
            self.start += gone as u64;
        }
    }
}
