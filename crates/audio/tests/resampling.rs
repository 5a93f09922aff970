//! Resampling keeps the pass band, removes frequencies that would alias, and shifts nothing in time.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;

fn resample(rate: u32, samples: Vec<f32>) -> Vec<f32> {
    decode(wav(rate, &[samples]), &mix()).unwrap().channels.remove(0)
}

const RATES: [u32; 18] = [
    1000, 4000, 7350, 8000, 11_025, 12_000, 15_999, 16_000, 16_001, 22_050, 24_000, 32_000, 44_100,
    44_101, 48_000, 96_000, 192_000, 384_000,
];

#[test]
fn length_and_time_are_kept_at_every_rate() {
    for rate in RATES {
        for seconds in [0.05, 1.37] {
            let frames = (f64::from(rate) * seconds) as usize + 1;
            let hz = f64::from(rate.min(16_000)) * 0.13;
            let resampled = resample(rate, tone(hz, f64::from(rate), frames));
            let expected = (frames as f64 * RATE / f64::from(rate)).round() as usize;
            assert_eq!(resampled.len(), expected, "{frames} frames at {rate} Hz");
            if seconds > 1.0 {
                let found = find(&tone(hz, RATE, resampled.len()), &resampled, 3);
                assert_eq!(found.lag, 0, "{rate} Hz: {found:?}");
                let correlation = if rate < 8000 { 0.999 } else { 0.9999 };
                assert!(found.correlation > correlation, "{rate} Hz: {found:?}");
                assert!((found.gain - 1.0).abs() < 1e-3, "{rate} Hz: {found:?}");
            }
        }
    }
}

#[test]
fn a_click_stays_where_it_is() {
    for rate in RATES.into_iter().filter(|&rate| rate >= 8000) {
        let mut samples = vec![0.0; rate as usize];
        samples[rate as usize / 2] = 0.9;
        let resampled = resample(rate, samples);
        let peak =
            (0..resampled.len()).max_by(|&a, &b| resampled[a].abs().total_cmp(&resampled[b].abs()));
        assert!(peak.unwrap().abs_diff(8000) <= 1, "{rate} Hz: {peak:?}");
    }
}

#[test]
fn the_pass_band_is_kept_and_the_stop_band_removed() {
    for rate in [22_050_u32, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000] {
        let nyquist = f64::from(rate) / 2.0;
        for hz in [50.0, 1000.0, 4000.0, 7000.0, 7400.0] {
            let resampled = resample(rate, tone(hz, f64::from(rate), rate as usize));
            let level = 20.0 * (rms(&resampled[2000..14_000]) / (0.5 / 2f64.sqrt())).log10();
            assert!(level.abs() < 0.05, "{hz} Hz at {rate}: {level} dB");
        }
        for hz in [8500.0, 9000.0, 10_000.0, 12_000.0, 15_000.0, 17_000.0, 23_000.0] {
            if hz < nyquist {
                let resampled = resample(rate, tone(hz, f64::from(rate), rate as usize));
                let level = 20.0 * (rms(&resampled[2000..14_000]) / (0.5 / 2f64.sqrt())).log10();
                assert!(level < -90.0, "{hz} Hz at {rate}: {level} dB");
            }
        }
    }
}

#[test]
fn images_of_upsampling_are_removed() {
    // 3 kHz at 8 kHz has its image at 5 kHz.
    let resampled = resample(8000, tone(3000.0, 8000.0, 8000));
    let expected = tone(3000.0, RATE, 16_000);
    let rest: Vec<f32> = resampled.iter().zip(&expected).map(|(a, b)| a - b).collect();
    assert!(rms(&rest[2000..14_000]) < 1e-4, "{}", rms(&rest[2000..14_000]));
}

#[test]
fn audio_at_16_khz_is_not_changed() {
    let samples = tone(1234.0, RATE, 20_001);
    assert_eq!(resample(16_000, samples.clone()), samples);
}
