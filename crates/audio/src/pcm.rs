//! Decoded PCM at the recording's sample rate.

/// Decoded PCM: one plane per channel, all of the same length.
#[derive(Default)]
pub(crate) struct Pcm {
    pub(crate) planes: Vec<Vec<f32>>,
    pub(crate) sample_rate: u32,
}

impl Pcm {
    pub(crate) fn frames(&self) -> usize {
        self.planes.first().map_or(0, Vec::len)
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.frames() as f64 / f64::from(self.sample_rate.max(1))
    }

    /// Makes it `frames` frames of silence.
    pub(crate) fn silence(&mut self, channels: usize, frames: usize) {
        self.planes.resize_with(channels, Vec::new);
        for plane in &mut self.planes {
            plane.clear();
            plane.resize(frames, 0.0);
        }
    }

    /// Keeps the frames from `start` to `end`.
    pub(crate) fn crop(&mut self, start: usize, end: usize) {
        for plane in &mut self.planes {
            plane.truncate(end);
            plane.drain(..start.min(plane.len()));
        }
    }
}
