//! Kaldi's log-mel filterbank (`compute-fbank-feats`, kaldi-native-fbank) at 16 kHz, without dither.

use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex32};

/// Sampling rate of all front ends.
const SAMPLE_RATE: f32 = 16_000.0;
/// Samples per frame: 25 ms.
pub const FRAME_LENGTH: usize = 400;
/// Samples between the starts of two frames: 10 ms.
pub const FRAME_SHIFT: usize = 160;
const FFT_LENGTH: usize = 512;
const PREEMPHASIS: f32 = 0.97;
const LOWEST_HZ: f32 = 20.0;
const HIGHEST_HZ: f32 = SAMPLE_RATE / 2.0;
/// Number of partial sums of a mel filter. Filters are padded to a multiple of it, so that the
/// compiler can use vector instructions.
const LANES: usize = 8;
/// Magnitude at which samples are clipped: far beyond full scale (1.0), and small enough that no
/// power overflows.
const MAX_MAGNITUDE: f32 = 1000.0;

/// Window function of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    Hamming,
    /// Kaldi's own window: a Hann window to the power of 0.85.
    Povey,
}

/// Options of the filterbank, which differ between models.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FilterbankOptions {
    /// Number of mel bins, i.e. values per frame.
    pub bins: usize,
    pub window: Window,
    /// Factor applied to the samples: 32768 for FunASR's models (Kaldi's samples are 16-bit
    /// integers), 1 for CAM++.
    pub scale: f32,
}

/// Tables of a filterbank, shared by all its streams.
pub struct Filterbank {
    options: FilterbankOptions,
    window: [f32; FRAME_LENGTH],
    filters: Vec<MelFilter>,
    fft: Arc<dyn RealToComplex<f32>>,
}

/// A triangular filter over FFT bins.
struct MelFilter {
    /// First bin of the filter.
    first: usize,
    /// Weights from the first bin on, padded with zeros to a multiple of [`LANES`].
    weights: Vec<f32>,
}

/// Scratch buffers for one frame.
struct Scratch {
    frame: Vec<f32>,
    spectrum: Vec<Complex32>,
    fft: Vec<Complex32>,
    /// Padded with zeros after the last bin, as the mel filters are.
    power: Vec<f32>,
}

impl Filterbank {
    /// Computes the tables.
    pub fn new(options: FilterbankOptions) -> Self {
        Self {
            options,
            window: options.window.coefficients(),
            filters: mel_filters(options.bins),
            fft: RealFftPlanner::new().plan_fft_forward(FFT_LENGTH),
        }
    }

    /// Returns the number of mel bins.
    pub fn bins(&self) -> usize {
        self.options.bins
    }

    /// Returns the number of frames in `samples` samples. Only whole frames count (Kaldi's
    /// `snip_edges`).
    pub fn frames(samples: usize) -> usize {
        if samples < FRAME_LENGTH { 0 } else { 1 + (samples - FRAME_LENGTH) / FRAME_SHIFT }
    }

    fn scratch(&self) -> Scratch {
        Scratch {
            frame: self.fft.make_input_vec(),
            spectrum: self.fft.make_output_vec(),
            fft: self.fft.make_scratch_vec(),
            power: vec![0.0; FFT_LENGTH / 2 + LANES],
        }
    }

    /// Appends the log-mel energies of one frame of [`FRAME_LENGTH`] samples to `out`.
    fn compute(&self, samples: &[f32], scratch: &mut Scratch, out: &mut Vec<f32>) {
        let frame = &mut scratch.frame;
        for (x, &sample) in frame.iter_mut().zip(samples) {
            *x = sample * self.options.scale;
        }
        frame[FRAME_LENGTH..].fill(0.0);
        let mean = sum(&frame[..FRAME_LENGTH]) / FRAME_LENGTH as f32;
        let mut previous = frame[0] - mean;
        for (x, &weight) in frame.iter_mut().zip(&self.window) {
            let centred = *x - mean;
            *x = (centred - PREEMPHASIS * previous) * weight;
            previous = centred;
        }

        self.fft
            .process_with_scratch(frame, &mut scratch.spectrum, &mut scratch.fft)
            .expect("this plan allocated the buffers");
        // Kaldi's filters end below the Nyquist bin.
        for (power, bin) in scratch.power.iter_mut().zip(&scratch.spectrum[..FFT_LENGTH / 2]) {
            *power = bin.norm_sqr();
        }
        out.extend(self.filters.iter().map(|filter| {
            // As in Kaldi, energies have a lower limit, so that silence has a finite logarithm.
            filter.energy(&scratch.power).max(f32::EPSILON).ln()
        }));
    }
}

impl MelFilter {
    fn energy(&self, power: &[f32]) -> f32 {
        let mut partial = [0.0; LANES];
        let power = &power[self.first..self.first + self.weights.len()];
        for (power, weights) in power.chunks_exact(LANES).zip(self.weights.chunks_exact(LANES)) {
            for ((sum, power), weight) in partial.iter_mut().zip(power).zip(weights) {
                *sum += power * weight;
            }
        }
        partial.iter().sum()
    }
}

impl Window {
    fn coefficients(self) -> [f32; FRAME_LENGTH] {
        std::array::from_fn(|i| {
            let phase = std::f64::consts::TAU * i as f64 / (FRAME_LENGTH - 1) as f64;
            let value = match self {
                Self::Hamming => 0.54 - 0.46 * phase.cos(),
                Self::Povey => (0.5 - 0.5 * phase.cos()).powf(0.85),
            };
            value as f32
        })
    }
}

/// Converts hertz to mel, as HTK and Kaldi do.
fn mel(hertz: f32) -> f32 {
    1127.0 * (1.0 + hertz / 700.0).ln()
}

/// Computes triangular filters of equal width on the mel scale, each of which reaches to the centres
/// of its neighbours.
fn mel_filters(bins: usize) -> Vec<MelFilter> {
    let lowest = mel(LOWEST_HZ);
    let step = (mel(HIGHEST_HZ) - lowest) / (bins + 1) as f32;
    let hertz_per_bin = SAMPLE_RATE / FFT_LENGTH as f32;
    (0..bins)
        .map(|filter| {
            let left = lowest + filter as f32 * step;
            let centre = lowest + (filter + 1) as f32 * step;
            let right = lowest + (filter + 2) as f32 * step;
            let weight = |bin: usize| {
                let mel = mel(hertz_per_bin * bin as f32);
                if mel <= centre { (mel - left) / step } else { (right - mel) / step }
            };
            let inside: Vec<usize> = (0..FFT_LENGTH / 2).filter(|&bin| weight(bin) > 0.0).collect();
            let mut weights: Vec<f32> = inside.iter().map(|&bin| weight(bin)).collect();
            weights.resize(weights.len().next_multiple_of(LANES), 0.0);
            MelFilter { first: inside.first().copied().unwrap_or(0), weights }
        })
        .collect()
}

/// Clips a sample, and turns NaN and infinity into silence, so that they do not affect later samples.
pub(crate) fn sane(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-MAX_MAGNITUDE, MAX_MAGNITUDE) } else { 0.0 }
}

/// Sums in independent lanes, which is faster and more exact than one long chain of additions.
fn sum(values: &[f32]) -> f32 {
    let mut partial = [0.0; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().sum();
    for chunk in chunks {
        for (sum, value) in partial.iter_mut().zip(chunk) {
            *sum += value;
        }
    }
    partial.iter().sum::<f32>() + rest
}

/// Filterbank over one stream of samples.
pub struct FilterbankStream {
    filterbank: Arc<Filterbank>,
    scratch: Scratch,
    /// Samples that later frames need.
    pending: Vec<f32>,
}

impl FilterbankStream {
    /// Starts a stream.
    pub fn new(filterbank: Arc<Filterbank>) -> Self {
        let scratch = filterbank.scratch();
        Self { filterbank, scratch, pending: Vec::new() }
    }

    /// Takes samples (16 kHz, full scale 1.0; samples that are not finite count as silence), and
    /// appends the frames that they complete to `frames`, row-major `[n, bins]`.
    pub fn push(&mut self, samples: &[f32], frames: &mut Vec<f32>) {
        self.pending.extend(samples.iter().map(|&sample| sane(sample)));
        let complete = Filterbank::frames(self.pending.len());
        frames.reserve(complete * self.filterbank.bins());
        for frame in 0..complete {
            let start = frame * FRAME_SHIFT;
            self.filterbank.compute(
                &self.pending[start..start + FRAME_LENGTH],
                &mut self.scratch,
                frames,
            );
        }
        self.pending.drain(..complete * FRAME_SHIFT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hamming80() -> Arc<Filterbank> {
        let options = FilterbankOptions { bins: 80, window: Window::Hamming, scale: 32768.0 };
        Arc::new(Filterbank::new(options))
    }

    #[test]
    fn weights_of_every_bin_below_nyquist_sum_to_one() {
        let filters = mel_filters(80);
        let mut total = [0.0; FFT_LENGTH / 2 + LANES];
        for filter in &filters {
            for (i, weight) in filter.weights.iter().enumerate() {
                total[filter.first + i] += weight;
            }
        }
        // Two filters overlap between the centres of the first and the last one.
        assert!(total[3..240].iter().all(|t| (t - 1.0).abs() < 1e-3), "{total:?}");
        assert_eq!(total[FFT_LENGTH / 2..], [0.0; LANES]);
    }

    #[test]
    fn a_tone_is_loudest_in_its_filter() {
        let tone: Vec<f32> =
            (0..FRAME_LENGTH).map(|i| (i as f32 * std::f32::consts::TAU / 16.0).sin()).collect();
        let mut frames = Vec::new();
        FilterbankStream::new(hamming80()).push(&tone, &mut frames);
        let loudest = (0..80).max_by(|&a, &b| frames[a].total_cmp(&frames[b])).expect("80 bins");
        // 1000 Hz is 1000 mel. The distance of filters is (mel(8000) - mel(20)) / 81 = 34.7 mel.
        let expected = ((mel(1000.0) - mel(20.0)) / 34.7 - 1.0).round() as usize;
        assert_eq!(loudest, expected);
    }

    #[test]
    fn samples_that_are_not_finite_count_as_silence() {
        let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0];
        let samples: Vec<f32> = bad.iter().copied().cycle().take(4000).collect();
        let (mut frames, mut silence) = (Vec::new(), Vec::new());
        FilterbankStream::new(hamming80()).push(&samples, &mut frames);
        FilterbankStream::new(hamming80()).push(&[0.0; 4000], &mut silence);
        assert_eq!(frames, silence);
        frames.clear();
        FilterbankStream::new(hamming80()).push(&[f32::MAX, f32::MIN].repeat(2000), &mut frames);
        assert!(frames.iter().all(|x| x.is_finite()));
    }
}
