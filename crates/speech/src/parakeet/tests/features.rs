//! Features against NeMo's, as onnx-asr computes them, and against a plain computation.

use std::f64::consts::PI;

use super::{CLIPS, arrays};
use crate::{features::slaney_filters, parakeet::mel::LogMel};

const MELS: usize = 128;

fn samples(name: &str) -> Vec<f32> {
    let clips = arrays("clips.npz");
    clips[name].i16().into_iter().map(|sample| f32::from(sample) / 32768.0).collect()
}

/// Returns the worst and the mean difference.
fn differences(found: &[f32], expected: &[f32]) -> (f32, f32) {
    assert_eq!(found.len(), expected.len());
    let differences = || found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let worst =
        differences().map(|x| if x.is_nan() { f32::INFINITY } else { x }).fold(0.0, f32::max);
    (worst, differences().sum::<f32>() / found.len() as f32)
}

#[test]
fn features_equal_onnx_asrs() {
    let reference = arrays("reference.npz");
    for name in CLIPS {
        let array = &reference[&*format!("{name}.features")];
        // [128, frames + 1] by feature; the last frame is padding.
        let (by_feature, columns) = (array.f32(), array.shape[1]);
        let expected: Vec<f32> = (0..columns - 1)
            .flat_map(|frame| (0..MELS).map(move |mel| mel * columns + frame))
            .map(|index| by_feature[index])
            .collect();
        let found = LogMel::new(MELS).compute(&samples(name));
        let (worst, mean) = differences(&found, &expected);
        assert!(worst <= 1e-3 && mean <= 1e-5, "{name}: off by {worst}, {mean} on average");
    }
}

/// Computes the features step by step in f64, with a Fourier transform by its definition.
fn plain(samples: &[f32]) -> Vec<f32> {
    let x: Vec<f64> = samples.iter().map(|&x| f64::from(x)).collect();
    let emphasized: Vec<f64> =
        (0..x.len()).map(|t| if t == 0 { x[0] } else { x[t] - 0.97 * x[t - 1] }).collect();
    let at = |index: i64| {
        usize::try_from(index).ok().and_then(|index| emphasized.get(index)).copied().unwrap_or(0.0)
    };
    let cosines: Vec<f64> = (0..512).map(|i| (2.0 * PI * i as f64 / 512.0).cos()).collect();
    let sines: Vec<f64> = (0..512).map(|i| (2.0 * PI * i as f64 / 512.0).sin()).collect();
    let filters = slaney_filters(MELS, 512);
    let frames = samples.len() / 160;
    let mut rows: Vec<Vec<f64>> = Vec::new();
    for frame in 0..frames as i64 {
        let windowed: Vec<f64> = (0..400)
            .map(|i| {
                let hann = 0.5 - 0.5 * (2.0 * PI * i as f64 / 399.0).cos();
                hann * at(frame * 160 - 200 + i)
            })
            .collect();
        let power: Vec<f64> = (0..257)
            .map(|bin| {
                let sum = |table: &[f64]| -> f64 {
                    windowed.iter().enumerate().map(|(i, x)| x * table[i * bin % 512]).sum()
                };
                sum(&cosines).powi(2) + sum(&sines).powi(2)
            })
            .collect();
        let energies = filters.iter().map(|filter| {
            let bins = filter.weights.iter().zip(&power[filter.first..]);
            let energy: f64 = bins.map(|(&weight, power)| f64::from(weight) * power).sum();
            (energy + 2f64.powi(-24)).ln()
        });
        rows.push(energies.collect());
    }
    let mut features = vec![0.0; frames * MELS];
    for mel in 0..MELS {
        let mean = rows.iter().map(|row| row[mel]).sum::<f64>() / frames as f64;
        let squares = rows.iter().map(|row| (row[mel] - mean).powi(2)).sum::<f64>();
        let deviation = (squares / (frames as f64 - 1.0)).sqrt();
        for (frame, row) in rows.iter().enumerate() {
            features[frame * MELS + mel] = ((row[mel] - mean) / (deviation + 1e-5)) as f32;
        }
    }
    features
}

#[test]
fn features_equal_a_plain_computation() {
    let speech = samples("sentence");
    let mel = LogMel::new(MELS);
    // Frames of all remainders modulo 8; with and without samples that fill no frame.
    for frames in 16..24 {
        let samples = &speech[9000..][..frames * 160 + frames * 53 % 160];
        let (worst, mean) = differences(&mel.compute(samples), &plain(samples));
        assert!(worst <= 1e-3 && mean <= 1e-5, "{frames} frames: off by {worst}, {mean}");
    }
}

#[test]
fn too_few_samples_have_no_features() {
    let mel = LogMel::new(MELS);
    for length in [0, 1, 159, 160, 319] {
        assert!(mel.compute(&vec![0.1; length]).is_empty(), "{length}");
    }
    let features = mel.compute(&[0.1; 320]);
    assert!(features.len() == 2 * MELS && features.iter().all(|value| value.is_finite()));
}

#[test]
fn nan_and_huge_samples_are_silence() {
    let mel = LogMel::new(MELS);
    let mut samples = samples("short");
    samples[100] = 0.0;
    samples[200] = 0.0;
    samples[300] = 0.0;
    let expected = mel.compute(&samples);
    samples[100] = f32::NAN;
    samples[200] = f32::NEG_INFINITY;
    samples[300] = f32::MAX;
    assert_eq!(mel.compute(&samples), expected);
    let silence = mel.compute(&[f32::NAN; 1600]);
    assert!(silence.len() == 10 * MELS && silence.iter().all(|&value| value == 0.0));
}
