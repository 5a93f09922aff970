//! The input of the recognizer: a given recording, or generated sound that resembles speech.

use std::{f32::consts::TAU, fs::File, path::Path, sync::Arc};

use anyhow::Context;
use audio::{Block, ChannelMode, Decoder, SAMPLE_RATE};

const RATE: f32 = SAMPLE_RATE as f32;

/// Sound to recognize, 16 kHz mono.
pub(crate) struct Sound {
    name: String,
    samples: Vec<f32>,
}

impl Sound {
    /// Reads the first `seconds` of a recording and mixes its channels.
    pub(crate) fn read(
        path: &Path,
        seconds: f64,
        options: &audio::DecodeOptions,
    ) -> anyhow::Result<Self> {
        let read = || {
            let options = audio::DecodeOptions { channels: ChannelMode::Mix, ..options.clone() };
            let mut decoder = Decoder::open(Box::new(File::open(path)?), &options)?;
            let (mut samples, mut block) = (Vec::new(), Block::default());
            while samples.len() < length(seconds) && decoder.next_block(&mut block)? {
                samples.extend_from_slice(&block.channels[0]);
            }
            anyhow::ensure!(!samples.is_empty(), "contains no audio");
            Ok(samples)
        };
        let samples = read().with_context(|| format!("--audio {}", path.display()))?;
        Ok(Self { name: path.display().to_string(), samples })
    }

    /// Generates syllables of vowels and hisses with pauses between them, the same on every call.
    pub(crate) fn generated(seconds: f64) -> Self {
        let mut random = fastrand::Rng::with_seed(1);
        let mut samples = Vec::with_capacity(length(seconds));
        while samples.len() < length(seconds) {
            for _ in 0..random.usize(3..9) {
                syllable(&mut random, &mut samples);
            }
            let pause = RATE * (0.15 + 0.3 * random.f32());
            // Faint noise: recordings are never digitally silent.
            samples.extend((0..pause as usize).map(|_| 2e-4 * (random.f32() - 0.5)));
        }
        Self { name: "generated".to_owned(), samples }
    }

    /// Returns `generated`, or the path of the recording.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the first `seconds`; a shorter sound is repeated.
    pub(crate) fn segment(&self, seconds: f64) -> Arc<[f32]> {
        self.samples.iter().copied().cycle().take(length(seconds)).collect()
    }
}

fn length(seconds: f64) -> usize {
    (seconds * f64::from(SAMPLE_RATE)).round() as usize
}

/// Appends a vowel, in two of three cases after a hiss: pulses of gliding pitch, filtered by three
/// formants.
fn syllable(random: &mut fastrand::Rng, samples: &mut Vec<f32>) {
    /// Formants of a, e, i, o, u of a male voice, in Hz (Peterson and Barney, 1952).
    const FORMANTS: [[f32; 3]; 5] = [
        [730.0, 1090.0, 2440.0],
        [530.0, 1840.0, 2480.0],
        [270.0, 2290.0, 3010.0],
        [570.0, 840.0, 2410.0],
        [300.0, 870.0, 2240.0],
    ];
    const BANDWIDTHS: [f32; 3] = [80.0, 100.0, 150.0];
    if random.u8(..3) > 0 {
        let (count, mut last) = ((RATE * (0.04 + 0.05 * random.f32())) as usize, 0.0);
        samples.extend((0..count).map(|index| {
            let noise = random.f32() - 0.5;
            // The difference of successive samples emphasizes high frequencies.
            let hiss = noise - std::mem::replace(&mut last, noise);
            0.08 * hiss * envelope(index, count)
        }));
    }
    let formants = FORMANTS[random.usize(..FORMANTS.len())];
    let mut filters = [0, 1, 2].map(|i| Resonator::new(formants[i], BANDWIDTHS[i]));
    let count = (RATE * (0.1 + 0.15 * random.f32())) as usize;
    let (pitch, glide) = (95.0 + 70.0 * random.f32(), 50.0 * (random.f32() - 0.5));
    let (start, mut phase) = (samples.len(), 0.0);
    for index in 0..count {
        phase += (pitch + glide * index as f32 / count as f32) / RATE;
        let pulse = if phase >= 1.0 { 1.0 } else { 0.0 };
        phase -= phase.floor();
        let source = pulse + 0.01 * (random.f32() - 0.5);
        let sound = filters.iter_mut().fold(source, |sound, filter| filter.next(sound));
        samples.push(sound * envelope(index, count));
    }
    let vowel = &mut samples[start..];
    let peak = vowel.iter().fold(1e-9f32, |peak, sample| peak.max(sample.abs()));
    vowel.iter_mut().for_each(|sample| *sample *= 0.4 / peak);
}

fn envelope(index: usize, count: usize) -> f32 {
    (TAU / 2.0 * index as f32 / count as f32).sin().sqrt()
}

/// A two-pole filter.
struct Resonator {
    feedback: [f32; 2],
    last: [f32; 2],
}

impl Resonator {
    fn new(frequency: f32, bandwidth: f32) -> Self {
        let radius = (-TAU / 2.0 * bandwidth / RATE).exp();
        let feedback = [2.0 * radius * (TAU * frequency / RATE).cos(), -radius * radius];
        Self { feedback, last: [0.0; 2] }
    }

    fn next(&mut self, sound: f32) -> f32 {
        let sound = sound + self.feedback[0] * self.last[0] + self.feedback[1] * self.last[1];
        self.last = [sound, self.last[0]];
        sound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_sound_is_deterministic_and_has_pauses() {
        let sound = Sound::generated(10.0);
        let samples = sound.segment(10.0);
        assert_eq!(samples.len(), 160_000);
        assert_eq!(samples, Sound::generated(10.0).segment(10.0));
        assert_eq!(samples[..80_000], Sound::generated(5.0).segment(5.0)[..]);
        assert!(samples.iter().all(|sample| sample.abs() <= 0.5));
        let loud = |samples: &[f32]| samples.iter().any(|sample| sample.abs() > 0.01);
        let windows = samples.chunks(1600).filter(|window| loud(window)).count();
        assert!((40..=95).contains(&windows), "{windows} of 100 tenths of a second are loud");
    }

    #[test]
    fn short_recordings_are_repeated() {
        let sound = Sound { name: "x.wav".to_owned(), samples: vec![1.0, 2.0, 3.0] };
        assert_eq!(sound.segment(7.0 / 16_000.0)[..], [1.0, 2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);
    }
}
