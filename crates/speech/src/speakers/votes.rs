//! What chunks say of two windows: whether they have one speaker.

use std::ops::Range;

use super::{
    chunks::{self, Chunks, LOCAL_SPEAKERS},
    frames::Span,
};

/// Share of a window that a chunk must cover, and of that part that a local speaker must speak, for the window
/// to be that speaker's.
const MIN_COVERED: f32 = 0.6;
const MIN_SPOKEN: f32 = 0.5;

/// The local speaker that a window has in a chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Membership {
    pub(super) chunk: u32,
    pub(super) speaker: u8,
    /// That speaker's share of all speech in the window, as the chunk hears it.
    pub(super) share: f32,
}

/// Returns the local speakers of a window, in order of chunks.
pub(super) fn memberships(chunks: &Chunks, window: Span) -> Vec<Membership> {
    let of_chunk = |chunk| {
        let frames = chunks.frames_in(chunk, window);
        if (frames.len() as f32) < MIN_COVERED * window.len() as f32 {
            return None;
        }
        let mut spoken = [0u32; LOCAL_SPEAKERS];
        for &frame in frames {
            for (speaker, spoken) in spoken.iter_mut().enumerate() {
                *spoken += u32::from(chunks::speakers(frame) >> speaker & 1);
            }
        }
        let (mut speaker, mut most) = (0, 0);
        for (index, &frames) in spoken.iter().enumerate() {
            if frames > most {
                (speaker, most) = (index as u8, frames);
            }
        }
        let enough = most > 0 && most as f32 >= MIN_SPOKEN * frames.len() as f32;
        let share = most as f32 / spoken.iter().sum::<u32>().max(1) as f32;
        enough.then_some(Membership { chunk, speaker, share })
    };
    chunks.covering(window).filter_map(of_chunk).collect()
}

/// Returns the mean vote of the chunks that two windows have in common: 1 if all hear one speaker in them, -1 if all
/// hear two. `None` if they have none in common.
pub(super) fn vote(a: &[Membership], b: &[Membership]) -> Option<f32> {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let (mut votes, mut sum) = (0u32, 0i32);
    while let (Some(x), Some(y)) = (a.peek(), b.peek()) {
        match x.chunk.cmp(&y.chunk) {
            std::cmp::Ordering::Less => drop(a.next()),
            std::cmp::Ordering::Greater => drop(b.next()),
            std::cmp::Ordering::Equal => {
                votes += 1;
                sum += if x.speaker == y.speaker { 1 } else { -1 };
                a.next();
                b.next();
            }
        }
    }
    (votes > 0).then(|| sum as f32 / votes as f32)
}

/// Calls `found` with the votes on all pairs of windows in a range; `memberships` are those of all windows, in
/// order of time.
pub(super) fn votes(
    memberships: &[Vec<Membership>],
    range: Range<usize>,
    mut found: impl FnMut(usize, usize, f32),
) {
    for i in range.clone() {
        let Some(last) = memberships[i].last().map(|membership| membership.chunk) else { continue };
        for j in i + 1..range.end {
            // A window without a local speaker does not end the search, one beyond the last chunk does.
            if memberships[j].first().is_some_and(|membership| membership.chunk > last) {
                break;
            }
            if let Some(vote) = vote(&memberships[i], &memberships[j]) {
                found(i, j, vote);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speakers::frames::CHUNK_FRAMES;

    fn of(chunks: &[(u32, u8)]) -> Vec<Membership> {
        chunks.iter().map(|&(chunk, speaker)| Membership { chunk, speaker, share: 1.0 }).collect()
    }

    #[test]
    fn votes_are_those_of_common_chunks() {
        let a = of(&[(1, 0), (2, 0), (3, 1)]);
        assert_eq!(vote(&a, &of(&[(2, 0), (3, 1), (4, 0)])), Some(1.0));
        assert_eq!(vote(&a, &of(&[(0, 0), (2, 1), (3, 1)])), Some(0.0));
        assert_eq!(vote(&a, &of(&[(3, 0)])), Some(-1.0));
        assert_eq!(vote(&a, &of(&[(4, 0)])), None);
        assert_eq!(vote(&a, &[]), None);
        let mut pairs = Vec::new();
        let all = [a, of(&[]), of(&[(3, 1)]), of(&[(9, 0)])];
        votes(&all, 0..4, |i, j, vote| pairs.push((i, j, vote)));
        assert_eq!(pairs, [(0, 2, 1.0)]);
    }

    #[test]
    fn a_window_is_of_the_local_speaker_who_speaks_most() {
        // Chunk 0: speaker B in frames 0 to 99, A and B in 100 to 199. Chunk 1, from frame 148: nobody.
        let mut frames = vec![0u8; 2 * CHUNK_FRAMES];
        frames[..100].fill(0b010);
        frames[100..200].fill(0b011);
        let mut chunks = Chunks::new(148);
        chunks.extend(&frames);
        let window = |start, end| memberships(&chunks, Span { start, end });
        assert_eq!(window(0, 89), of(&[(0, 1)]));
        let mixed = window(60, 149);
        assert_eq!((mixed.len(), mixed[0].speaker), (1, 1));
        assert!((mixed[0].share - 89.0 / 138.0).abs() < 1e-6);
        // Less than half of it is spoken in.
        assert_eq!(window(160, 249), []);
        // Nobody knows it.
        assert_eq!(window(2000, 2089), []);
    }
}
