//! MPEG layer II streams that symphonia refuses.
//!
//! ISO 11172-3 excludes some pairs of bit rate and channel mode, which encoders use all the same
//! (FFmpeg encodes mono at 384 kbit/s by default); symphonia drops each frame of them.

/// Returns whether `head` begins with two frames of layer II that symphonia refuses.
pub(crate) fn is_refused(head: &[u8]) -> bool {
    let Some(frame) = Frame::parse(head) else { return false };
    let next = head.get(frame.len..).and_then(Frame::parse);
    frame.is_refused() && next.is_some_and(|next| next.is_refused())
}

/// Returns whether symphonia refuses frames of this many channels and bits per second.
pub(crate) fn is_refused_rate(channels: u16, bits_per_second: u32) -> bool {
    Frame { len: 0, is_mono: channels == 1, kilobits: bits_per_second / 1000 }.is_refused()
}

/// The header of a frame (ISO 11172-3, 2.4.1.3, and 13818-3).
struct Frame {
    len: usize,
    is_mono: bool,
    kilobits: u32,
}

impl Frame {
    fn parse(bytes: &[u8]) -> Option<Self> {
        const MPEG_1: [u32; 14] = [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384];
        const MPEG_2: [u32; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
        let &[0xff, b1, b2, b3, ..] = bytes else { return None };
        const SYNC_AND_LAYER_2: u8 = 0b1110_0100;
        if b1 & 0b1110_0110 != SYNC_AND_LAYER_2 {
            return None;
        }
        let (rates, divisor) = match b1 >> 3 & 3 {
            3 => (MPEG_1, 1),
            2 => (MPEG_2, 2),
            0 => (MPEG_2, 4),
            _ => return None,
        };
        let kilobits = *rates.get(usize::from(b2 >> 4).checked_sub(1)?)?;
        let sample_rate = [44_100, 48_000, 32_000].get(usize::from(b2 >> 2 & 3))? / divisor;
        let padding = u32::from(b2 >> 1 & 1);
        let len = (144_000 * kilobits / sample_rate + padding) as usize;
        Some(Self { len, is_mono: b3 >> 6 == 3, kilobits })
    }

    fn is_refused(&self) -> bool {
        if self.is_mono {
            matches!(self.kilobits, 224 | 256 | 320 | 384)
        } else {
            matches!(self.kilobits, 32 | 48 | 56 | 80)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two frames of MPEG-1 layer II at 44.1 kHz.
    fn frames(rate_index: u8, mode: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len + 4];
        for at in [0, len] {
            bytes[at..at + 4].copy_from_slice(&[0xff, 0xfd, rate_index << 4, mode << 6]);
        }
        bytes
    }

    #[test]
    fn knows_what_symphonia_refuses() {
        assert!(is_refused(&frames(14, 3, 1253)), "mono at 384 kbit/s");
        assert!(!is_refused(&frames(14, 0, 1253)), "stereo at 384 kbit/s");
        assert!(is_refused(&frames(2, 1, 156)), "stereo at 48 kbit/s");
        assert!(!is_refused(&frames(2, 3, 156)), "mono at 48 kbit/s");
        assert!(!is_refused(&frames(14, 3, 1200)), "no second frame");
        assert!(!is_refused(b"\xff\xfb\x90\x64"), "layer III");
        assert!(is_refused_rate(1, 256_000) && !is_refused_rate(2, 256_000));
    }
}
