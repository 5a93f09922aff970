//! Mixes channels into one: their average, unless they cancel each other out.
//!
//! A microphone with its wires swapped, or a balanced line recorded as two channels, gives a right
//! channel that is the left one inverted. Their average is nothing. So the power of the average is
//! compared with that of the channels, and where far more is lost than with unrelated channels, the
//! loudest channel stands for all.

/// The average of unrelated channels has 1/n of their mean power. With less than a tenth of that,
/// they cancel each other out...
const CANCELLED: f64 = 0.1;

/// ... until the average has this share again.
const RECOVERED: f64 = 0.3;

/// Frames over which power is measured before the channel is chosen again.
const STEP: usize = 512;

/// Seconds after which a sound has lost two thirds of its weight in the measurement.
const MEMORY_SECONDS: f64 = 0.3;

/// The choice changes after this many seconds of sound that call for it. In less, voices on two
/// channels may have opposite signs by chance.
const HOLD_SECONDS: f64 = 0.05;

/// Sound this much weaker than the loudest of the last half minute does not count: in pauses, the
/// noise of the channels is unrelated.
const PAUSE: f64 = 1e-3;
const LEVEL_SECONDS: f64 = 30.0;

/// Mean power below which nothing is decided: -90 dB of full scale, the noise of 16 bits.
const SILENCE: f64 = 1e-9;

#[derive(Debug, Default)]
pub(crate) struct Mixer {
    /// Decaying sums of squares of the average and of each channel.
    average: f64,
    channels: Vec<f64>,
    /// Mean power of the loudest sound, decaying slowly.
    level: f64,
    /// Seconds of sound that call for another choice.
    held: f64,
    /// The channel that stands for all, if they cancel each other out.
    loudest: Option<usize>,
    /// Frames for which it did, and the seconds at which it first did.
    frames: u64,
    since: Option<f64>,
}

impl Mixer {
    /// Writes the mix of `planes`, which begin at `at` seconds, to `out`.
    pub(crate) fn mix(&mut self, planes: &[Vec<f32>], rate: u32, at: f64, out: &mut Vec<f32>) {
        average(planes, out);
        if planes.len() < 2 {
            return;
        }
        if self.channels.len() != planes.len() {
            let kept = Mixer { frames: self.frames, since: self.since, ..Mixer::default() };
            *self = Mixer { channels: vec![0.0; planes.len()], ..kept };
        }
        for start in (0..out.len()).step_by(STEP) {
            let end = out.len().min(start + STEP);
            let before = self.loudest;
            self.measure(planes, out, start..end, rate);
            if self.loudest.is_some() {
                self.frames += (end - start) as u64;
                self.since.get_or_insert(at + start as f64 / f64::from(rate.max(1)));
            }
            if before.is_some() || self.loudest.is_some() {
                self.fade(planes, &mut out[start..end], start, before);
            }
        }
    }

    /// Returns the seconds at which channels first cancelled each other out, and the number of frames
    /// for which they did.
    pub(crate) fn cancelled(&self) -> Option<(f64, u64)> {
        self.since.map(|since| (since, self.frames))
    }

    fn measure(
        &mut self,
        planes: &[Vec<f32>],
        average: &[f32],
        range: std::ops::Range<usize>,
        rate: u32,
    ) {
        let seconds = range.len() as f64 / f64::from(rate.max(1));
        let power =
            |samples: &[f32]| -> f64 { samples.iter().map(|&x| f64::from(x) * f64::from(x)).sum() };
        let count = self.channels.len() as f64;
        let powers: Vec<f64> = planes.iter().map(|plane| power(&plane[range.clone()])).collect();
        let mean = powers.iter().sum::<f64>() / (count * range.len() as f64);
        self.level = (self.level * (-seconds / LEVEL_SECONDS).exp()).max(mean);
        if mean < SILENCE.max(self.level * PAUSE) {
            return;
        }
        let decay = (-seconds / MEMORY_SECONDS).exp();
        self.average = self.average * decay + power(&average[range]);
        for (sum, power) in self.channels.iter_mut().zip(powers) {
            *sum = *sum * decay + power;
        }
        let share = self.average * count * count / self.channels.iter().sum::<f64>();
        let is_cancelled = share < if self.loudest.is_some() { RECOVERED } else { CANCELLED };
        if is_cancelled == self.loudest.is_some() {
            self.held = 0.0;
            return;
        }
        self.held += seconds;
        if self.held >= HOLD_SECONDS {
            let loudest = (0..self.channels.len())
                .rev()
                .max_by(|&a, &b| self.channels[a].total_cmp(&self.channels[b]));
            self.loudest = loudest.filter(|_| is_cancelled);
            self.held = 0.0;
        }
    }

    /// Replaces the average in `out` by the channel that stands for all, gradually where the choice
    /// has changed: a jump would be heard as a click.
    fn fade(&self, planes: &[Vec<f32>], out: &mut [f32], start: usize, before: Option<usize>) {
        let len = out.len() as f32;
        let sample = |channel: Option<usize>, n: usize, average: f32| match channel {
            Some(channel) => planes.get(channel).and_then(|p| p.get(start + n)).map_or(0.0, |&x| x),
            None => average,
        };
        for (n, out) in out.iter_mut().enumerate() {
            let (from, to) = (sample(before, n, *out), sample(self.loudest, n, *out));
            let share = (n + 1) as f32 / len;
            *out = if before == self.loudest { to } else { from + (to - from) * share };
        }
    }
}

/// Writes the average of `planes` to `out`.
fn average(planes: &[Vec<f32>], out: &mut Vec<f32>) {
    out.clear();
    let Some((first, rest)) = planes.split_first() else { return };
    out.extend_from_slice(first);
    for plane in rest {
        for (out, sample) in out.iter_mut().zip(plane) {
            *out += sample;
        }
    }
    if !rest.is_empty() {
        let scale = 1.0 / planes.len() as f32;
        out.iter_mut().for_each(|sample| *sample *= scale);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: u32 = 16_000;

    /// Sound with pauses, different for each `seed`.
    fn sound(seed: u32, len: usize) -> Vec<f32> {
        let mut state = seed | 1;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..len).map(|n| next() * if n / 4000 % 3 == 0 { 0.001 } else { 0.3 }).collect()
    }

    fn mix(planes: &[Vec<f32>], block: usize) -> (Vec<f32>, Mixer) {
        let (mut mixer, mut all, mut out) = (Mixer::default(), Vec::new(), Vec::new());
        for start in (0..planes[0].len()).step_by(block) {
            let end = planes[0].len().min(start + block);
            let planes: Vec<_> = planes.iter().map(|plane| plane[start..end].to_vec()).collect();
            mixer.mix(&planes, RATE, start as f64 / f64::from(RATE), &mut out);
            all.extend_from_slice(&out);
        }
        (all, mixer)
    }

    fn power(samples: &[f32]) -> f32 {
        samples.iter().map(|x| x * x).sum()
    }

    #[test]
    fn an_inverted_channel_does_not_silence_the_other() {
        let left = sound(3, 80_000);
        for gain in [-1.0, -0.9, -1.1] {
            let noise = sound(5, 80_000);
            let right = left.iter().zip(&noise).map(|(x, n)| x * gain + n * 0.01).collect();
            let (mixed, mixer) = mix(&[left.clone(), right], 1152);
            let (since, frames) = mixer.cancelled().unwrap_or_default();
            assert!(since < 0.3 && frames > 70_000, "{gain}: {since} {frames}");
            assert!(power(&mixed) > 0.9 * power(&left), "{gain}");
        }
    }

    #[test]
    fn cancellation_may_begin_and_end() {
        let left = sound(3, 240_000);
        let mut right = left.clone();
        right[80_000..160_000].iter_mut().for_each(|x| *x = -*x);
        let (mixed, mixer) = mix(&[left.clone(), right], 960);
        assert!(mixed[..80_000] == left[..80_000], "as before");
        assert!(power(&mixed[100_000..160_000]) > 0.9 * power(&left[100_000..160_000]));
        assert!(mixed[200_000..] == left[200_000..], "as before");
        let (since, frames) = mixer.cancelled().unwrap_or_default();
        assert!((5.0..6.6).contains(&since) && frames < 90_000, "{since} {frames}");
    }

    proptest! {
        /// Real stereo is averaged as ever: one voice in the middle, two on their sides, or one alone.
        #[test]
        fn stereo_is_averaged_exactly(
            seed: u32, pan in 0.0..1_f32, bleed in 0.0..1_f32, block in 1..5000_usize,
        ) {
            let (a, b) = (sound(seed, 30_000), sound(seed ^ 0xffff, 30_000));
            let join = |p: f32, q: f32| a.iter().zip(&b).map(|(x, y)| x * p + y * q).collect();
            let planes: Vec<Vec<f32>> = vec![join(1.0 - pan, bleed), join(pan, 1.0 - bleed)];
            let (mixed, mixer) = mix(&planes, block);
            let mut expected = Vec::new();
            average(&planes, &mut expected);
            prop_assert!(mixed == expected);
            prop_assert!(mixer.cancelled().is_none());
        }
    }
}
