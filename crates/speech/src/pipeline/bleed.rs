//! Silences what bleeds from one channel into the other, where channels are transcribed separately: else the
//! words of a caller would stand in both channels.
//!
//! Where one channel is much louder and the other carries the same waveform, the quieter one is bleed. Where
//! both carry the same waveform at about the same level, they are one voice (dual mono), which the first
//! channel keeps. Two people who speak at the same time have different waveforms, and both stay.

use std::ops::Range;

/// Frames of 0.1 s, compared with 0.05 s around them.
const FRAME: usize = 1600;
const CONTEXT: usize = 800;
/// Bleed is this many times weaker (6 dB), and that similar.
const WEAKER: f32 = 4.0;
const SIMILAR: f32 = 0.6;
/// The same voice on both channels is that similar.
const IDENTICAL: f32 = 0.97;
/// Mean power that is not worth comparing (-80 dB).
const SILENT: f32 = 1e-8;
/// Waveforms are compared at 8 kHz, shifted by up to 4 ms: more than any crosstalk of lines.
const DECIMATION: usize = 2;
const MAX_SHIFT: usize = 32;
/// Samples over which sound fades out and in (5 ms).
const FADE: usize = 80;

/// Silences bleed in a block of two channels. Frames do not cross blocks.
pub(super) fn remove_bleed(channels: &mut [Vec<f32>]) {
    let [first, second] = channels else { return };
    let length = first.len().min(second.len());
    let frames: Vec<Range<usize>> =
        (0..length).step_by(FRAME).map(|start| start..length.min(start + FRAME)).collect();
    let owners: Vec<Option<usize>> =
        frames.iter().map(|frame| owner(first, second, frame, length)).collect();
    for (channel, samples) in [first, second].into_iter().enumerate() {
        let is_bleed = |index: usize| owners[index].is_some_and(|owner| owner != channel);
        // A frame beside one with a voice of its own may hold the voice's beginning or end.
        let silenced = |index: usize| {
            is_bleed(index)
                && (index == 0 || is_bleed(index - 1))
                && (index + 1 == frames.len() || is_bleed(index + 1))
        };
        for (index, frame) in frames.iter().enumerate().filter(|&(index, _)| silenced(index)) {
            let fades_out = index > 0 && !silenced(index - 1);
            let fades_in = index + 1 < frames.len() && !silenced(index + 1);
            silence(&mut samples[frame.clone()], fades_out, fades_in);
        }
    }
}

/// Returns the channel that a sound heard on both comes from; `None` if each has its own sound, or none.
fn owner(first: &[f32], second: &[f32], frame: &Range<usize>, length: usize) -> Option<usize> {
    let range = frame.start.saturating_sub(CONTEXT)..length.min(frame.end + CONTEXT);
    let (first, second) = (&first[range.clone()], &second[range]);
    let power =
        |samples: &[f32]| samples.iter().map(|x| x * x).sum::<f32>() / samples.len().max(1) as f32;
    let (first_power, second_power) = (power(first), power(second));
    if first_power.max(second_power) < SILENT {
        return None;
    }
    let (louder, needed) = if first_power > WEAKER * second_power {
        (0, SIMILAR)
    } else if second_power > WEAKER * first_power {
        (1, SIMILAR)
    } else {
        (0, IDENTICAL)
    };
    (similarity(first, second) > needed).then_some(louder)
}

/// Returns the largest absolute correlation of two signals over all shifts.
fn similarity(first: &[f32], second: &[f32]) -> f32 {
    let decimate = |samples: &[f32]| -> Vec<f32> {
        samples.chunks_exact(DECIMATION).map(|pair| pair.iter().sum::<f32>()).collect()
    };
    let (first, second) = (decimate(first), decimate(second));
    let energy = |samples: &[f32]| samples.iter().map(|x| x * x).sum::<f32>();
    let norm = (energy(&first) * energy(&second)).sqrt();
    if norm <= 0.0 {
        return 0.0;
    }
    let shifted = |a: &[f32], b: &[f32], shift: usize| {
        let b = b.get(shift..).unwrap_or_default();
        a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>().abs()
    };
    let best = (0..MAX_SHIFT)
        .map(|shift| shifted(&first, &second, shift).max(shifted(&second, &first, shift)))
        .fold(0.0, f32::max);
    best / norm
}

fn silence(samples: &mut [f32], fades_out: bool, fades_in: bool) {
    let length = samples.len();
    let gain = |step: usize| step as f32 / FADE as f32;
    for (index, sample) in samples.iter_mut().enumerate() {
        let out = if fades_out && index < FADE { gain(FADE - index) } else { 0.0 };
        let back = if fades_in && length - index <= FADE {
            gain(FADE - (length - index) + 1)
        } else {
            0.0
        };
        *sample *= f32::max(out, back);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of a voice: noise of its own, seeded, with the level of speech.
    fn voice(seed: u64) -> Vec<f32> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut smooth = 0.0;
        (0..16_000)
            .map(|_| {
                smooth = 0.8 * smooth + 0.2 * (random.f32() - 0.5);
                smooth
            })
            .collect()
    }

    fn scaled(samples: &[f32], gain: f32) -> Vec<f32> {
        samples.iter().map(|x| x * gain).collect()
    }

    fn level(samples: &[f32]) -> f32 {
        samples.iter().map(|x| x * x).sum::<f32>().sqrt()
    }

    #[test]
    fn bleed_is_silenced_on_the_quieter_channel() {
        for decibels in [-10.0f32, -20.0, -30.0] {
            let a = voice(1);
            let mut channels = [scaled(&a, 10f32.powf(decibels / 20.0)), a.clone()];
            // Delayed by a millisecond.
            channels[0].rotate_right(16);
            remove_bleed(&mut channels);
            assert!(level(&channels[0]) < 1e-3 * level(&a), "{decibels}");
            assert_eq!(channels[1], a);
        }
    }

    #[test]
    fn one_voice_on_both_channels_stays_on_the_first() {
        for gain in [1.0, 0.7, -1.0] {
            let a = voice(1);
            let mut channels = [a.clone(), scaled(&a, gain)];
            remove_bleed(&mut channels);
            assert_eq!(channels[0], a);
            assert!(level(&channels[1]) < 1e-3 * level(&a));
        }
    }

    #[test]
    fn voices_at_the_same_time_stay() {
        let (a, b) = (voice(1), voice(2));
        for gain in [1.0, 0.3, 0.1] {
            let quieter = scaled(&b, gain);
            // With bleed of the louder one at -20 dB.
            let mixed: Vec<f32> = quieter.iter().zip(&a).map(|(b, a)| b + 0.1 * a).collect();
            let mut channels = [a.clone(), if gain > 0.2 { mixed } else { quieter }];
            let before = channels.clone();
            remove_bleed(&mut channels);
            assert_eq!(channels, before, "{gain}");
        }
    }

    #[test]
    fn silence_and_short_blocks_are_left_alone() {
        let mut channels = [vec![0.0; 5000], vec![0.0; 5000]];
        remove_bleed(&mut channels);
        assert_eq!(channels, [vec![0.0; 5000], vec![0.0; 5000]]);
        remove_bleed(&mut [vec![], vec![]]);
        remove_bleed(&mut [voice(1)]);
        remove_bleed(&mut [voice(1)[..7].to_vec(), voice(1)[..7].to_vec()]);
    }

    #[test]
    fn the_answer_to_a_bleeding_voice_is_kept_whole() {
        // The first channel carries bleed for half a second, and then a voice of its own.
        let (a, b) = (voice(1), voice(2));
        let mut other = a.clone();
        other[8000..].fill(0.0);
        let mut own = scaled(&other, 0.1);
        own[8000..].copy_from_slice(&b[8000..]);
        let mut channels = [own, other.clone()];
        remove_bleed(&mut channels);
        assert_eq!(channels[0][8000..], b[8000..]);
        assert!(level(&channels[0][..4700]) < 1e-3 * level(&a[..4700]));
    }
}
