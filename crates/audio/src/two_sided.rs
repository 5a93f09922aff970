//! Tells a call, whose two sides are recorded on two channels, from other recordings with two channels.
//!
//! In a call, each side speaks alone for some time, and its channel is then clearly louder, also if the other
//! side is faintly heard on it (bleed). In music, in a recording with two microphones in one room, and in one
//! voice on both channels, neither channel stands out, or always the same one.

/// Frames of 0.1 s at 16 kHz.
const FRAME: usize = crate::SAMPLE_RATE as usize / 10;
/// A frame is active above this mean power (-50 dB), and within 40 dB of the loudest.
const ACTIVE: f32 = 1e-5;
const ACTIVE_SHARE: f32 = 1e-4;
/// A channel stands out if it has this many times the power of the other (6 dB).
const LOUDER: f32 = 4.0;
/// Each side must stand out for at least a second and for this share of the active time.
const MIN_FRAMES: usize = 10;
const MIN_SHARE: f64 = 0.05;
/// Frames of each side after which nothing else can come out.
const ENOUGH: usize = 50;

/// Measures the blocks of a recording with two channels.
#[derive(Debug, Default)]
pub(crate) struct TwoSided {
    /// Mean power of the two channels, per frame.
    frames: Vec<[f32; 2]>,
}

impl TwoSided {
    /// Adds a block of 16 kHz PCM. Frames do not cross blocks.
    pub(crate) fn push(&mut self, channels: &[Vec<f32>]) {
        let [first, second] = channels else { return };
        let power =
            |frame: &[f32]| frame.iter().map(|x| x * x).sum::<f32>() / frame.len().max(1) as f32;
        let frames = first.chunks(FRAME).zip(second.chunks(FRAME));
        self.frames.extend(frames.map(|(first, second)| [power(first), power(second)]));
    }

    /// Returns whether each side speaks alone for some time.
    pub(crate) fn is_call(&self) -> bool {
        let [active, first, second] = self.counts();
        let needed = MIN_FRAMES.max((MIN_SHARE * active as f64).ceil() as usize);
        first >= needed && second >= needed
    }

    /// Returns whether more audio would change nothing.
    pub(crate) fn is_certain(&self) -> bool {
        let [_, first, second] = self.counts();
        first >= ENOUGH && second >= ENOUGH && self.is_call()
    }

    /// Returns the number of active frames, and of those in which the first and the second channel stands
    /// out.
    fn counts(&self) -> [usize; 3] {
        let loudest = self.frames.iter().flatten().copied().fold(0.0, f32::max);
        let threshold = ACTIVE.max(loudest * ACTIVE_SHARE);
        let mut counts = [0; 3];
        for &[first, second] in self.frames.iter().filter(|f| f[0].max(f[1]) > threshold) {
            counts[0] += 1;
            counts[1] += usize::from(first > LOUDER * second);
            counts[2] += usize::from(second > LOUDER * first);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two voices that take turns of a second, on the other channel by `bleed`.
    fn turns(bleed: f32, seconds: usize) -> Vec<Vec<f32>> {
        let voice = |n: usize, side: usize| {
            let speaks = (n / 16_000) % 2 == side;
            let tone = ((n * (3 + 2 * side)) as f32 * 0.01).sin() * 0.3;
            if speaks { tone } else { 0.0 }
        };
        let channel = |side: usize| {
            (0..seconds * 16_000).map(|n| voice(n, side) + bleed * voice(n, 1 - side)).collect()
        };
        vec![channel(0), channel(1)]
    }

    fn is_call(channels: &[Vec<f32>]) -> bool {
        let mut measured = TwoSided::default();
        measured.push(channels);
        measured.is_call()
    }

    #[test]
    fn a_call_is_two_sided_whatever_bleeds() {
        for bleed in [0.0, 0.03, 0.1, 0.316] {
            assert!(is_call(&turns(bleed, 20)), "{bleed}");
        }
    }

    #[test]
    fn other_recordings_are_not() {
        let call = turns(0.0, 20);
        assert!(!is_call(&[call[0].clone(), call[0].clone()]), "one voice on both channels");
        assert!(!is_call(&[call[0].clone(), vec![0.0; call[0].len()]]), "a silent channel");
        assert!(!is_call(&turns(0.8, 20)), "two microphones in one room");
        let quieter: Vec<f32> = call[0].iter().map(|x| x * 0.3).collect();
        assert!(!is_call(&[call[0].clone(), quieter]), "one side is always louder");
        assert!(!is_call(&[]) && !is_call(&[vec![0.0; 99], vec![0.0; 99]]));
    }

    #[test]
    fn a_long_call_is_certain_early() {
        let mut measured = TwoSided::default();
        measured.push(&turns(0.1, 4));
        assert!(measured.is_call() && !measured.is_certain());
        measured.push(&turns(0.1, 10));
        assert!(measured.is_certain());
    }
}
