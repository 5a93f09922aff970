//! Log-mel spectrogram as OpenAI's Whisper computes it (whisper/audio.py), padded as
//! faster-whisper pads it (feature_extractor.py).

use std::{f64::consts::PI, sync::Arc};

use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex};

use crate::features::{SlaneyFilter, slaney_filters};

/// Samples between frames: 10 ms.
pub(super) const HOP: usize = 160;
const FFT: usize = 400;
const BINS: usize = FFT / 2 + 1;
/// Samples above this magnitude, and NaN, count as silence: PCM is in [-1, 1).
const MAX_MAGNITUDE: f32 = 1e6;

/// Computes spectrograms with a fixed number of mel bands. Created once per model.
pub(super) struct LogMel {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    filters: Vec<SlaneyFilter>,
}

/// Log-mel frames, row-major `[mels, frames]`, with values of about -1 to 1.
pub(super) struct Features {
    values: Vec<f32>,
    mels: usize,
    frames: usize,
}

impl LogMel {
    pub(super) fn new(mels: usize) -> Self {
        // The periodic Hann window.
        let window = (0..FFT)
            .map(|i| (0.5 - 0.5 * (2.0 * PI * i as f64 / FFT as f64).cos()) as f32)
            .collect();
        Self {
            fft: RealFftPlanner::new().plan_fft_forward(FFT),
            window,
            filters: slaney_filters(mels, FFT),
        }
    }

    /// Computes one frame for each full hop of 16 kHz `samples`, and none for less than 10 ms.
    pub(super) fn compute(&self, samples: &[f32]) -> Features {
        let mels = self.filters.len();
        let frames = samples.len() / HOP;
        if frames == 0 {
            return Features { values: Vec::new(), mels, frames };
        }
        let padded = pad(samples);
        // The frame after the last one is dropped, but it counts towards the maximum.
        let mut values = vec![0f32; mels * frames];
        let mut max_level = f32::NEG_INFINITY;
        let mut frame = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut power = [0f32; BINS];
        for t in 0..=frames {
            let segment = &padded[t * HOP..][..FFT];
            for ((value, &sample), &weight) in frame.iter_mut().zip(segment).zip(&self.window) {
                *value = sample * weight;
            }
            // This fails only if a buffer has the wrong length; the plan allocated them.
            let done = self.fft.process_with_scratch(&mut frame, &mut spectrum, &mut scratch);
            debug_assert!(done.is_ok());
            for (power, bin) in power.iter_mut().zip(&spectrum) {
                *power = Complex::norm_sqr(bin);
            }
            for (band, filter) in self.filters.iter().enumerate() {
                let level = filter.energy(&power).max(1e-10).log10();
                max_level = max_level.max(level);
                if t < frames {
                    values[band * frames + t] = level;
                }
            }
        }
        for value in &mut values {
            *value = (value.max(max_level - 8.0) + 4.0) / 4.0;
        }
        Features { values, mels, frames }
    }
}

impl Features {
    /// Returns the number of frames.
    pub(super) fn frames(&self) -> usize {
        self.frames
    }

    /// Writes `length` frames from `begin` on to `window`, row-major `[mels, length]`, padded with
    /// zeros after the last frame.
    pub(super) fn window(&self, begin: usize, length: usize, window: &mut Vec<f32>) {
        let count = self.frames.saturating_sub(begin).min(length);
        window.clear();
        window.resize(self.mels * length, 0.0);
        if count == 0 {
            return;
        }
        let rows = self.values.chunks_exact(self.frames);
        for (target, row) in window.chunks_exact_mut(length).zip(rows) {
            target[..count].copy_from_slice(&row[begin..begin + count]);
        }
    }
}

/// Appends one hop of silence, and mirrors half an FFT length at both ends so that frames are
/// centred. `samples` must have at least one hop.
fn pad(samples: &[f32]) -> Vec<f32> {
    const HALF: usize = FFT / 2;
    let mut padded = Vec::with_capacity(samples.len() + HOP + FFT);
    padded.resize(HALF, 0.0);
    padded.extend(samples.iter().map(|&s| if s.abs() <= MAX_MAGNITUDE { s } else { 0.0 }));
    padded.resize(padded.len() + HOP, 0.0);
    for i in 1..=HALF {
        padded[HALF - i] = padded[HALF + i];
    }
    let last = padded.len() - 1;
    for i in 1..=HALF {
        padded.push(padded[last - i]);
    }
    padded
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    fn fixture(name: &str) -> Vec<u8> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/fixtures/whisper-mel")
            .join(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    fn floats(name: &str) -> Vec<f32> {
        fixture(name).as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
    }

    fn speech() -> Vec<f32> {
        let bytes = fixture("speech.s16");
        bytes.as_chunks().0.iter().map(|&b| f32::from(i16::from_le_bytes(b)) / 32768.0).collect()
    }

    #[test]
    fn filters_equal_the_reference() {
        for mels in [80, 128] {
            let expected = floats(&format!("filters-{mels}.f32"));
            let mut triples = expected.as_chunks::<3>().0.iter();
            for (band, filter) in slaney_filters(mels, FFT).iter().enumerate() {
                for (i, &weight) in filter.weights.iter().enumerate() {
                    let [row, bin, value] = *triples.next().unwrap();
                    assert_eq!((row as usize, bin as usize), (band, filter.first + i));
                    assert!((weight - value).abs() < 1e-7, "{band} {bin}: {weight} {value}");
                }
            }
            assert!(triples.next().is_none());
        }
    }

    #[test]
    fn features_equal_the_reference() {
        for mels in [80, 128] {
            let expected = floats(&format!("features-{mels}.f32"));
            let features = LogMel::new(mels).compute(&speech());
            assert_eq!(features.values.len(), expected.len());
            let worst = features
                .values
                .iter()
                .zip(&expected)
                .map(|(got, expected)| (got - expected).abs())
                .fold(0f32, f32::max);
            assert!(worst < 2e-4, "{mels} mels: off by {worst}");
        }
    }

    #[test]
    fn silence_is_minus_one_and_a_half() {
        let features = LogMel::new(80).compute(&[0.0; 1600]);
        assert_eq!(features.frames(), 10);
        assert!(features.values.iter().all(|&value| value == -1.5));
    }

    #[test]
    fn nan_and_huge_samples_are_silence() {
        let mut samples = [f32::NAN; 1600];
        samples[3] = f32::INFINITY;
        samples[4] = f32::MAX;
        let features = LogMel::new(80).compute(&samples);
        assert!(features.values.iter().all(|&value| value == -1.5));
    }

    #[test]
    fn any_length_gives_one_frame_per_hop() {
        let mel = LogMel::new(80);
        for length in [0, 1, 159, 160, 161, 199, 200, 201, 399, 400, 401, 800, 1601] {
            let features = mel.compute(&vec![0.1; length]);
            assert_eq!(features.frames(), length / HOP);
            assert!(features.values.iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn windows_end_in_zeros() {
        let features = Features { values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], mels: 2, frames: 3 };
        let mut window = vec![9.0; 50];
        features.window(1, 4, &mut window);
        assert_eq!(window, [2.0, 3.0, 0.0, 0.0, 5.0, 6.0, 0.0, 0.0]);
        features.window(0, 2, &mut window);
        assert_eq!(window, [1.0, 2.0, 4.0, 5.0]);
        features.window(7, 1, &mut window);
        assert_eq!(window, [0.0, 0.0]);
    }
}
