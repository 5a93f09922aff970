//! The grid of frames that the segmentation network puts on a recording, and on which all of the
//! diarizer counts: frame `i` is the network's answer to 991 samples around the middle of its own
//! 270. Chunks begin on the grid, so that their frames are those of the recording.

use audio::SAMPLE_RATE;

pub(crate) use super::segmentation::{CHUNK_FRAMES, CHUNK_SAMPLES, FRAME_SAMPLES};

/// Samples before those of frame 0.
const FIRST_SAMPLE: u64 = 360;
/// A span of frames, without its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn len(self) -> u32 {
        self.end.saturating_sub(self.start)
    }

    #[cfg(test)]
    pub(super) fn overlap(self, other: Self) -> u32 {
        self.end.min(other.end).saturating_sub(self.start.max(other.start))
    }

    pub(super) fn seconds(self) -> f32 {
        (self.len() as usize * FRAME_SAMPLES) as f32 / SAMPLE_RATE as f32
    }
}

/// Returns the first of the 270 samples that are a frame's own.
pub(super) fn first_sample(frame: u32) -> u64 {
    u64::from(frame) * FRAME_SAMPLES as u64 + FIRST_SAMPLE
}

/// Returns the frame whose own samples begin at or after a sample.
pub(super) fn frame_from(sample: u64) -> u32 {
    let frame = sample.saturating_sub(FIRST_SAMPLE).div_ceil(FRAME_SAMPLES as u64);
    u32::try_from(frame).unwrap_or(u32::MAX)
}

/// Returns how many frames have their middle within so many samples.
pub(super) fn frames_within(samples: u64) -> u32 {
    let middle = FIRST_SAMPLE + FRAME_SAMPLES as u64 / 2;
    let frames = samples.saturating_sub(middle).div_ceil(FRAME_SAMPLES as u64);
    u32::try_from(frames).unwrap_or(u32::MAX)
}

/// Returns the start of a frame in seconds of the recording.
pub(super) fn seconds(frame: u32) -> f64 {
    first_sample(frame) as f64 / f64::from(SAMPLE_RATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_where_the_network_has_them() {
        // The receptive field of frame i is centred at 270 i + 495 (FACTS of the network).
        assert_eq!(first_sample(0) + 135, 495);
        assert_eq!(first_sample(7) + 135, 270 * 7 + 495);
        for frame in [0, 1, 588, 1_000_000] {
            assert_eq!(frame_from(first_sample(frame)), frame);
            assert_eq!(frame_from(first_sample(frame) + 1), frame + 1);
            // A recording that ends with the sample in the middle has the frame.
            assert_eq!(frames_within(first_sample(frame) + 136), frame + 1);
            assert_eq!(frames_within(first_sample(frame) + 135), frame);
        }
        assert_eq!((frame_from(0), frames_within(0), frames_within(495)), (0, 0, 0));
        assert_eq!(frame_from(u64::MAX), u32::MAX);
    }
}
