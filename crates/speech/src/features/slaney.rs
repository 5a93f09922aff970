//! Mel filters as librosa computes them, for models of Whisper's and NeMo's make.

const SAMPLE_RATE: f64 = 16_000.0;

/// One triangular filter over the bins of a power spectrum.
pub(crate) struct SlaneyFilter {
    /// First bin of the filter.
    pub(crate) first: usize,
    /// Weights from that bin on.
    pub(crate) weights: Vec<f32>,
}

impl SlaneyFilter {
    /// Returns the energy that the filter lets through.
    pub(crate) fn energy(&self, power: &[f32]) -> f32 {
        self.weights.iter().zip(&power[self.first..]).map(|(weight, power)| weight * power).sum()
    }
}

/// Computes triangular filters that are evenly spaced on Slaney's mel scale from 0 to 8000 Hz, each
/// with an area of about 1, as `librosa.filters.mel(sr=16000, n_fft=fft, n_mels=mels)` does.
pub(crate) fn slaney_filters(mels: usize, fft: usize) -> Vec<SlaneyFilter> {
    let bins = fft / 2 + 1;
    let top = hz_to_mel(SAMPLE_RATE / 2.0);
    let edges: Vec<f64> =
        (0..mels + 2).map(|i| mel_to_hz(top * i as f64 / (mels + 1) as f64)).collect();
    let weight = |edges: &[f64], bin: usize| {
        let hz = bin as f64 * SAMPLE_RATE / fft as f64;
        let rising = (hz - edges[0]) / (edges[1] - edges[0]);
        let falling = (edges[2] - hz) / (edges[2] - edges[1]);
        rising.min(falling).max(0.0) * 2.0 / (edges[2] - edges[0])
    };
    edges
        .windows(3)
        .map(|edges| {
            let first = (0..bins).find(|&bin| weight(edges, bin) > 0.0).unwrap_or(0);
            let weights = (first..bins)
                .map(|bin| weight(edges, bin) as f32)
                .take_while(|&weight| weight > 0.0)
                .collect();
            SlaneyFilter { first, weights }
        })
        .collect()
}

/// Slaney's scale is linear up to 1 kHz (15 mel) and logarithmic above.
const LINEAR_HZ: f64 = 200.0 / 3.0;
const KNEE_HZ: f64 = 1000.0;
const KNEE_MEL: f64 = KNEE_HZ / LINEAR_HZ;

fn mel_to_hz(mel: f64) -> f64 {
    if mel < KNEE_MEL {
        return mel * LINEAR_HZ;
    }
    KNEE_HZ * ((mel - KNEE_MEL) * 6.4f64.ln() / 27.0).exp()
}

fn hz_to_mel(hz: f64) -> f64 {
    if hz < KNEE_HZ {
        return hz / LINEAR_HZ;
    }
    KNEE_MEL + (hz / KNEE_HZ).ln() * 27.0 / 6.4f64.ln()
}
