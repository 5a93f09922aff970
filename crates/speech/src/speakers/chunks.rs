//! What is kept of the segmentation network's answers: a byte per frame of each chunk.

use super::{
    frames::{CHUNK_FRAMES, Span},
    segmentation::CLASSES,
};

/// Classes of the network: sets of at most two of three local speakers, as bits (powerset of
/// pyannote.audio: none, A, B, C, A+B, A+C, B+C).
const SETS: [u8; CLASSES] = [0b000, 0b001, 0b010, 0b100, 0b011, 0b101, 0b110];
/// Local speakers per chunk.
pub(super) const LOCAL_SPEAKERS: usize = 3;
/// Steps per speaker of the expected number of speakers.
const LEVELS: f32 = 15.0;
const SET_BITS: u8 = 0b111;

/// Chunks of a recording, in order, which begin every `step` frames. In a chunk, a speaker has the same
/// number of [`LOCAL_SPEAKERS`] throughout; in another chunk that number stands for anybody.
#[derive(Debug)]
pub(super) struct Chunks {
    step: u32,
    /// `[chunks, CHUNK_FRAMES]`: the local speakers as bits, and above them the expected number of
    /// speakers in fifteenths.
    frames: Vec<u8>,
}

/// Encodes log-probabilities, `[chunks, CHUNK_FRAMES, CLASSES]`: a byte per frame. Frames from `end` on are
/// nobody: they lie beyond the end of the recording; `step` and `end` count frames, `end` from the first
/// chunk of these.
pub(super) fn encode(log_probabilities: &[f32], step: u32, end: u32) -> Vec<u8> {
    let chunks = log_probabilities.chunks_exact(CHUNK_FRAMES * CLASSES);
    let bytes = chunks.zip(0u32..).flat_map(|(chunk, number)| {
        let within = end.saturating_sub(number * step) as usize;
        let frames = chunk.chunks_exact(CLASSES).enumerate();
        frames.map(move |(frame, classes)| if frame < within { encode_frame(classes) } else { 0 })
    });
    bytes.collect()
}

fn encode_frame(classes: &[f32]) -> u8 {
    // The first of equal ones, as numpy's argmax. NaN is never the largest.
    let (mut best, mut largest) = (0, f32::NEG_INFINITY);
    let mut expected = 0.0;
    for (index, &log_probability) in classes.iter().enumerate() {
        if log_probability > largest {
            (best, largest) = (index, log_probability);
        }
        expected += log_probability.exp() * SETS[index].count_ones() as f32;
    }
    // From 0 to 2 speakers: at most 30. A NaN becomes 0.
    let level = (expected * LEVELS).round().clamp(0.0, 2.0 * LEVELS) as u8;
    SETS[best] | level << SET_BITS.count_ones()
}

impl Chunks {
    pub(super) fn new(step: u32) -> Self {
        Self { step: step.max(1), frames: Vec::new() }
    }

    /// Adds the next chunks, as [`encode`] returns them.
    pub(super) fn extend(&mut self, frames: &[u8]) {
        self.frames.extend_from_slice(frames);
    }

    pub(super) fn len(&self) -> u32 {
        (self.frames.len() / CHUNK_FRAMES) as u32
    }

    /// Returns the frames of the recording that a chunk has.
    pub(super) fn span(&self, chunk: u32) -> Span {
        let start = chunk * self.step;
        Span { start, end: start + CHUNK_FRAMES as u32 }
    }

    /// Returns the chunks that have frames of a span.
    pub(super) fn covering(&self, span: Span) -> std::ops::Range<u32> {
        let first = (span.start + 1).saturating_sub(CHUNK_FRAMES as u32).div_ceil(self.step);
        let end = span.end.div_ceil(self.step).min(self.len());
        first.min(end)..end
    }

    /// Returns the frames of a chunk.
    pub(super) fn frames(&self, chunk: u32) -> &[u8] {
        &self.frames[chunk as usize * CHUNK_FRAMES..][..CHUNK_FRAMES]
    }

    /// Returns the frames of a chunk that lie in a span of the recording.
    pub(super) fn frames_in(&self, chunk: u32, span: Span) -> &[u8] {
        let own = self.span(chunk);
        let start = span.start.clamp(own.start, own.end) - own.start;
        let end = span.end.clamp(own.start, own.end) - own.start;
        &self.frames(chunk)[start as usize..end.max(start) as usize]
    }
}

/// Returns the local speakers of a frame as bits.
pub(super) fn speakers(frame: u8) -> u8 {
    frame & SET_BITS
}

/// Returns the number of speakers in a frame.
pub(super) fn count(frame: u8) -> u32 {
    speakers(frame).count_ones()
}

/// Returns the only speaker of a frame.
pub(super) fn lone_speaker(frame: u8) -> Option<u8> {
    let speakers = speakers(frame);
    speakers.is_power_of_two().then(|| speakers.trailing_zeros() as u8)
}

/// Returns the expected number of speakers of a frame.
pub(super) fn expected_count(frame: u8) -> f32 {
    f32::from(frame >> SET_BITS.count_ones()) / LEVELS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_probabilities(class: usize, probability: f32) -> [f32; CLASSES] {
        let mut classes = [((1.0 - probability) / 6.0).ln(); CLASSES];
        classes[class] = probability.ln();
        classes
    }

    #[test]
    fn a_byte_has_the_class_and_the_expected_count() {
        for (class, set) in SETS.into_iter().enumerate() {
            let frame = encode_frame(&log_probabilities(class, 0.9));
            assert_eq!(speakers(frame), set);
            let others: u32 =
                (0..CLASSES).filter(|&c| c != class).map(|c| SETS[c].count_ones()).sum();
            let expected = 0.9 * set.count_ones() as f32 + 0.1 / 6.0 * others as f32;
            assert!((expected_count(frame) - expected).abs() < 0.034, "{class}");
            assert_eq!(lone_speaker(frame).is_some(), (1..=3).contains(&class));
        }
    }

    #[test]
    fn what_is_no_probability_is_nobody() {
        assert_eq!(encode_frame(&[f32::NAN; CLASSES]), 0);
        assert_eq!(encode_frame(&[f32::NEG_INFINITY; CLASSES]), 0);
        assert_eq!(speakers(encode_frame(&[f32::INFINITY; CLASSES])), 0);
    }

    #[test]
    fn frames_beyond_the_end_are_nobody() {
        let frame = log_probabilities(2, 0.9);
        let two = frame.repeat(2 * CHUNK_FRAMES);
        let mut chunks = Chunks::new(148);
        chunks.extend(&encode(&two, 148, 200));
        assert_eq!(chunks.len(), 2);
        let spoken = |chunk| chunks.frames(chunk).iter().filter(|&&f| count(f) == 1).count();
        assert_eq!((spoken(0), spoken(1)), (200, 52));
    }

    #[test]
    fn finds_the_chunks_that_cover_a_span() {
        let mut chunks = Chunks::new(148);
        chunks.extend(&vec![0; 10 * CHUNK_FRAMES]);
        for start in (0..2500).step_by(7) {
            for length in [1, 89, 600, 1900] {
                let span = Span { start, end: start + length };
                let covering: Vec<u32> = chunks.covering(span).collect();
                let expected: Vec<u32> =
                    (0..10).filter(|&chunk| chunks.span(chunk).overlap(span) > 0).collect();
                assert_eq!(covering, expected, "{span:?}");
                for chunk in covering {
                    let overlap = chunks.span(chunk).overlap(span) as usize;
                    assert_eq!(chunks.frames_in(chunk, span).len(), overlap);
                }
            }
        }
    }
}
