//! Finds where AAC without a container (ADTS, ISO 14496-3, 1.A.2) goes on with another sample rate or
//! other channels. Its decoder is opened for one of each, and the demuxer does not look again.

/// Length of the part of a header that is read.
const HEADER: usize = 7;

/// Bytes that must be known to tell what a frame is: all of it, and the next header.
pub(crate) const LOOKAHEAD: usize = (1 << 13) + HEADER;

/// Returns what frames have in common (profile, sample rate, channels), and the length of a frame, if
/// `bytes` begin with a header.
fn header(bytes: &[u8]) -> Option<(u16, usize)> {
    let [0xff, sync, b2, b3, b4, b5, _, ..] = *bytes else { return None };
    let len = usize::from(b3 & 3) << 11 | usize::from(b4) << 3 | usize::from(b5 >> 5);
    let is_header = sync & 0xf6 == 0xf0 && (b2 >> 2 & 15) < 13 && len >= HEADER;
    is_header.then(|| (u16::from(b2 & 0xfd) << 8 | u16::from(b3 & 0xc0), len))
}

/// Follows the frames of a stream.
#[derive(Debug)]
pub(crate) struct Frames {
    /// Position of the next frame.
    next: u64,
    kind: Option<u16>,
}

impl Frames {
    /// Follows the stream at `pos`, which begins with `head`, if it is one.
    pub(crate) fn open(pos: u64, head: &[u8]) -> Option<Self> {
        let (kind, len) = header(head)?;
        let (second, _) = header(head.get(len..)?)?;
        (kind == second).then_some(Frames { next: pos, kind: Some(kind) })
    }

    /// Returns how many of `bytes`, which begin at `start`, belong to this stream, and whether another
    /// one begins behind them. More may follow unless the source has `ended`.
    pub(crate) fn follow(&mut self, start: u64, bytes: &[u8], ended: bool) -> (usize, bool) {
        loop {
            let at = usize::try_from(self.next.saturating_sub(start)).unwrap_or(usize::MAX);
            let rest = bytes.get(at..).unwrap_or_default();
            if rest.len() < HEADER {
                let known = if ended { bytes.len() } else { at.min(bytes.len()) };
                return (known, false);
            }
            let Some((kind, len)) = header(rest) else {
                self.next += 1;
                continue;
            };
            let after = rest.get(len..).unwrap_or_default();
            if after.len() < HEADER && !ended {
                return (at, false);
            }
            if self.kind != Some(kind) {
                // Two frames in a row are no chance.
                if header(after).is_none_or(|(second, _)| second != kind) {
                    self.next += 1;
                    continue;
                }
                return (at, true);
            }
            self.next += len as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(rate: u8, channels: u8, len: usize) -> Vec<u8> {
        let mut frame = vec![0x55; len];
        let bits = len as u16;
        let head = [
            0xff,
            0xf1,
            0x40 | rate << 2 | channels >> 2,
            channels << 6 | (bits >> 11) as u8,
            (bits >> 3) as u8,
            (bits << 5) as u8 | 0x1f,
            0xfc,
        ];
        frame[..7].copy_from_slice(&head);
        frame
    }

    #[test]
    fn finds_the_first_frame_of_another_kind() {
        let first =
            [frame(4, 1, 300), frame(4, 1, 200), b"junk".to_vec(), frame(4, 1, 50)].concat();
        let other = [frame(7, 2, 100), frame(7, 2, 90)].concat();
        let all = [&first[..], &other].concat();
        let mut frames = Frames::open(10, &all).unwrap_or(Frames { next: 0, kind: None });
        assert_eq!(frames.follow(10, &all[..400], false), (300, false), "the second is incomplete");
        assert_eq!(frames.follow(310, &all[300..], true), (first.len() - 300, true));
        // One frame of another kind is damage.
        let damaged = [&first[..], &frame(7, 2, 100), &first].concat();
        let mut frames = Frames::open(0, &damaged).unwrap_or(Frames { next: 0, kind: None });
        assert_eq!(frames.follow(0, &damaged, true), (damaged.len(), false));
        assert!(Frames::open(0, b"\xff\xfb\x90\x00 an MP3 frame").is_none());
    }
}
