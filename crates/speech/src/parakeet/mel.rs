//! Log-mel features as NeMo computes them for Parakeet (`nemo/collections/asr/parts/preprocessing/
//! features.py`, `FilterbankFeatures`, without dither), for both layouts of files: sherpa-onnx computes
//! others, from which words are lost.

use std::{f64::consts::PI, sync::Arc};

use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex32};

use crate::features::{SlaneyFilter, slaney_filters};

/// Samples from one frame to the next: 10 ms.
pub(super) const HOP: usize = 160;
const FFT: usize = 512;
const WINDOW: usize = 400;
const PREEMPHASIS: f32 = 0.97;
/// Added to energies, so that silence has a logarithm: 2^-24.
const GUARD: f32 = 1.0 / 16_777_216.0;
/// Added to the deviation of a feature.
const EPSILON: f64 = 1e-5;
/// Samples above this magnitude, and NaN, count as silence: PCM is in [-1, 1).
const MAX_MAGNITUDE: f32 = 1e6;

/// Computes features with a fixed number of mel bands. Created once per model.
pub(super) struct LogMel {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    filters: Vec<SlaneyFilter>,
}

impl LogMel {
    pub(super) fn new(mels: usize) -> Self {
        // The symmetric Hann window.
        let hann = |i: usize| 0.5 - 0.5 * (2.0 * PI * i as f64 / (WINDOW - 1) as f64).cos();
        Self {
            fft: RealFftPlanner::new().plan_fft_forward(FFT),
            window: (0..WINDOW).map(|i| hann(i) as f32).collect(),
            filters: slaney_filters(mels, FFT),
        }
    }

    /// Computes a frame for each full hop of 16 kHz `samples`, row-major `[frames, mels]`: each feature
    /// has mean 0 and deviation 1 over time. Returns none for less than two frames (20 ms), which have no
    /// deviation.
    pub(super) fn compute(&self, samples: &[f32]) -> Vec<f32> {
        let (mels, frames) = (self.filters.len(), samples.len() / HOP);
        if frames < 2 {
            return Vec::new();
        }
        let padded = emphasized(samples);
        let mut values = Vec::with_capacity(frames * mels);
        let mut frame = self.fft.make_input_vec();
        let mut spectrum = self.fft.make_output_vec();
        let mut scratch = self.fft.make_scratch_vec();
        let mut power = [0f32; FFT / 2 + 1];
        for t in 0..frames {
            frame.fill(0.0);
            let middle = (FFT - WINDOW) / 2;
            let samples = &padded[t * HOP + middle..][..WINDOW];
            for ((value, sample), weight) in
                frame[middle..].iter_mut().zip(samples).zip(&self.window)
            {
                *value = sample * weight;
            }
            // This fails only if a buffer has the wrong length; the plan allocated them.
            let done = self.fft.process_with_scratch(&mut frame, &mut spectrum, &mut scratch);
            debug_assert!(done.is_ok());
            for (power, bin) in power.iter_mut().zip(&spectrum) {
                *power = Complex32::norm_sqr(bin);
            }
            values.extend(self.filters.iter().map(|filter| (filter.energy(&power) + GUARD).ln()));
        }
        normalize(&mut values, mels);
        values
    }
}

/// Applies preemphasis and adds half an FFT length of zeros at both ends, so that frames are centred.
fn emphasized(samples: &[f32]) -> Vec<f32> {
    let mut padded = Vec::with_capacity(samples.len() + FFT);
    padded.resize(FFT / 2, 0.0);
    let mut previous = 0.0;
    padded.extend(samples.iter().map(|&sample| {
        let sample = if sample.abs() <= MAX_MAGNITUDE { sample } else { 0.0 };
        let emphasized = sample - PREEMPHASIS * previous;
        previous = sample;
        emphasized
    }));
    padded.resize(padded.len() + FFT / 2, 0.0);
    padded
}

/// Gives each column of at least two rows mean 0 and deviation 1 (with the divisor N - 1).
fn normalize(values: &mut [f32], columns: usize) {
    let rows = (values.len() / columns) as f64;
    let (mut mean, mut deviation) = (vec![0f64; columns], vec![0f64; columns]);
    for row in values.chunks_exact(columns) {
        mean.iter_mut().zip(row).for_each(|(mean, &x)| *mean += f64::from(x) / rows);
    }
    for row in values.chunks_exact(columns) {
        for ((sum, &x), mean) in deviation.iter_mut().zip(row).zip(&mean) {
            *sum += (f64::from(x) - mean).powi(2);
        }
    }
    deviation.iter_mut().for_each(|sum| *sum = (*sum / (rows - 1.0)).sqrt() + EPSILON);
    for row in values.chunks_exact_mut(columns) {
        for ((x, mean), deviation) in row.iter_mut().zip(&mean).zip(&deviation) {
            *x = ((f64::from(*x) - mean) / deviation) as f32;
        }
    }
}
