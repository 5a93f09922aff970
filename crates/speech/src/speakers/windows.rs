//! Cuts speech of one voice into the windows that get an embedding each.
//!
//! Speech in which the chunks hear one speaker is cut where they hear the speaker change, so that a window
//! has the voice of one person. Pauses of less than 0.3 s do not end a piece.

use super::{
    chunks::{self, Chunks},
    frames::Span,
};

/// Frames per window: 1.5 s.
pub(super) const WINDOW_FRAMES: u32 = 89;
/// Frames from one window to the next.
const HOP: u32 = 44;
/// Fewer frames of a voice than this (0.2 s) say nothing of who it is.
const MIN_FRAMES: u32 = 12;
/// Longest pause within a piece, in frames (0.3 s).
const MAX_PAUSE: u32 = 18;
/// Frames to both sides of a place over which the changes that chunks hear are summed: they do not agree
/// on the frame.
const SMOOTHING: usize = 9;
/// Mean number of speakers per frame from which on there is a voice to embed, and from which on there is overlap.
const SPEECH: f32 = 0.5;
pub(super) const OVERLAP: f32 = 1.5;
/// Pause, in frames, in whose middle a stretch may end: no piece spans it, and no change before it affects one
/// after it.
const STRETCH_PAUSE: usize = 60;
/// Frames of a stretch that is cut although there is no such pause (60 s): what waits for the end of a stretch
/// is bounded.
const MAX_STRETCH: usize = 3_556;

/// Finds the windows of a recording while its chunks come.
#[derive(Debug)]
pub(super) struct Cutter {
    /// First frame that is not cut yet.
    start: u32,
    /// Chunks that were added.
    chunks: u32,
    /// Sums over the chunks, for each frame from `start` on.
    frames: Vec<Sums>,
}

/// What the chunks that cover a frame hear.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    chunks: u16,
    /// Speakers.
    speakers: u16,
    /// Changes from one lone speaker to another at the frame's beginning.
    changes: u16,
}

impl Sums {
    /// Returns whether one person speaks.
    fn is_lone(self) -> bool {
        let mean = f32::from(self.speakers) / f32::from(self.chunks.max(1));
        (SPEECH..OVERLAP).contains(&mean)
    }
}

impl Cutter {
    pub(super) fn new() -> Self {
        Self { start: 0, chunks: 0, frames: Vec::new() }
    }

    /// Returns the first frame that is needed from now on.
    pub(super) fn start(&self) -> u32 {
        self.start
    }

    /// Takes the chunks that are new, and appends the windows that they complete; all that are left if `last`.
    pub(super) fn advance(&mut self, chunks: &Chunks, last: bool, windows: &mut Vec<Span>) {
        for chunk in self.chunks..chunks.len() {
            self.add(chunks, chunk);
        }
        self.chunks = chunks.len();
        // No later chunk covers what lies before the next one.
        let complete = if last { u32::MAX } else { chunks.span(chunks.len()).start };
        loop {
            let complete = (complete.saturating_sub(self.start) as usize).min(self.frames.len());
            let Some(end) = stretch(&self.frames[..complete]) else { break };
            self.cut(end, windows);
        }
        if last {
            self.cut(self.frames.len(), windows);
        }
    }

    fn add(&mut self, chunks: &Chunks, chunk: u32) {
        let span = chunks.span(chunk);
        let first = (span.start - self.start) as usize;
        let frames = chunks.frames(chunk);
        self.frames.resize(first + frames.len(), Sums::default());
        let sums = &mut self.frames[first..];
        // The last lone speaker so far, and the frame.
        let mut lone: Option<(u8, usize)> = None;
        for (index, &frame) in frames.iter().enumerate() {
            sums[index].chunks += 1;
            sums[index].speakers += chunks::count(frame) as u16;
            if let Some(speaker) = chunks::lone_speaker(frame) {
                if let Some((before, at)) = lone
                    && before != speaker
                {
                    // In the middle of the pause between them.
                    sums[(at + 1 + index) / 2].changes += 1;
                }
                lone = Some((speaker, index));
            }
        }
    }

    /// Cuts the first `end` frames into windows, and forgets them.
    fn cut(&mut self, end: usize, windows: &mut Vec<Span>) {
        for piece in pieces(&self.frames[..end]) {
            windows_of(piece, |window| {
                let Span { start, end } = window;
                windows.push(Span { start: self.start + start, end: self.start + end });
            });
        }
        self.frames.drain(..end);
        self.start += end as u32;
    }
}

/// Returns where the first stretch of `frames` ends, if it ends surely.
fn stretch(frames: &[Sums]) -> Option<usize> {
    let mut pause = 0;
    for (index, frame) in frames.iter().enumerate() {
        pause = if frame.is_lone() { 0 } else { pause + 1 };
        // Not in a pause at the beginning: it would end stretches without end.
        if pause == STRETCH_PAUSE && index >= STRETCH_PAUSE {
            return Some(index + 1 - STRETCH_PAUSE / 2);
        }
    }
    (frames.len() >= MAX_STRETCH).then(|| {
        let middle = frames.len() / 2;
        let pause = frames[middle..].iter().rposition(|frame| !frame.is_lone());
        pause.map_or(frames.len(), |frame| middle + frame)
    })
}

/// Returns the pieces of speech of one voice.
fn pieces(frames: &[Sums]) -> Vec<Span> {
    let changes = changes(frames);
    let mut pieces: Vec<Span> = Vec::new();
    let mut start = 0;
    for run in frames.chunk_by(|a, b| a.is_lone() == b.is_lone()) {
        let end = start + run.len();
        if run[0].is_lone() {
            let from = changes.partition_point(|&change| change <= start);
            let to = changes.partition_point(|&change| change < end);
            let mut parts: Vec<usize> = vec![start];
            parts.extend(&changes[from..to]);
            parts.push(end);
            for part in parts.windows(2) {
                join_or_push(
                    &mut pieces,
                    Span { start: part[0] as u32, end: part[1] as u32 },
                    &changes,
                );
            }
        }
        start = end;
    }
    pieces
}

fn join_or_push(pieces: &mut Vec<Span>, piece: Span, changes: &[usize]) {
    if let Some(last) = pieces.last_mut() {
        let pause = piece.start - last.end;
        let has_change =
            changes.iter().any(|&change| (last.end..=piece.start).contains(&(change as u32)));
        if pause <= MAX_PAUSE && pause > 0 && !has_change {
            last.end = piece.end;
            return;
        }
    }
    pieces.push(piece);
}

/// Returns the frames at which at least half of the chunks hear the speaker change, in order, the clearest of
/// those that are close to each other.
fn changes(frames: &[Sums]) -> Vec<usize> {
    // The sum, and a sum in which near ones count more: it is largest in the middle.
    let sums = |index: usize| {
        let (from, to) = (index.saturating_sub(SMOOTHING), index + SMOOTHING + 1);
        let near = frames.iter().enumerate().take(to).skip(from);
        near.fold((0, 0), |(sum, weighted), (other, frame)| {
            let changes = usize::from(frame.changes);
            (sum + changes, weighted + changes * (SMOOTHING + 1 - other.abs_diff(index)))
        })
    };
    let mut candidates: Vec<(usize, usize, usize)> = (0..frames.len())
        .map(|index| (sums(index), index))
        .filter(|&((sum, _), index)| sum > 0 && 2 * sum >= usize::from(frames[index].chunks.max(1)))
        .map(|((sum, weighted), index)| (sum, weighted, index))
        .collect();
    candidates.sort_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)).then(a.2.cmp(&b.2)));
    let mut chosen: Vec<usize> = Vec::new();
    for (_, _, index) in candidates {
        let place = chosen.partition_point(|&other| other < index);
        let near = |other: Option<&usize>| {
            other.is_some_and(|other| other.abs_diff(index) <= 2 * SMOOTHING)
        };
        if !near(place.checked_sub(1).and_then(|before| chosen.get(before)))
            && !near(chosen.get(place))
        {
            chosen.insert(place, index);
        }
    }
    chosen
}

/// Calls `found` with the windows of a piece. The last one ends with the piece.
pub(super) fn windows_of(piece: Span, mut found: impl FnMut(Span)) {
    if piece.len() < MIN_FRAMES {
        return;
    }
    if piece.len() <= WINDOW_FRAMES {
        return found(piece);
    }
    let mut end = piece.start + WINDOW_FRAMES;
    loop {
        found(Span { start: end - WINDOW_FRAMES, end });
        if end == piece.end {
            return;
        }
        end = (end + HOP).min(piece.end);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::speakers::frames::CHUNK_FRAMES;

    const STEP: u32 = 148;

    /// Makes chunks that all hear the same: spans of frames and who speaks in them, as bits.
    fn chunks_of(total: u32, speech: &[(u32, u32, u8)]) -> Vec<Vec<u8>> {
        let mut chunks = Vec::new();
        for first in (0..).step_by(STEP as usize) {
            let mut frames = vec![0; CHUNK_FRAMES];
            for &(start, end, speakers) in speech {
                for frame in start.max(first)..end.min(first + CHUNK_FRAMES as u32).max(start) {
                    if frame < end {
                        frames[(frame - first) as usize] |= speakers;
                    }
                }
            }
            chunks.push(frames);
            if first + CHUNK_FRAMES as u32 >= total {
                return chunks;
            }
        }
        chunks
    }

    /// Cuts the windows of chunks that come `batch` at a time.
    fn cut(chunks: &[Vec<u8>], batch: usize) -> Vec<(u32, u32)> {
        let (mut cutter, mut all, mut windows) = (Cutter::new(), Chunks::new(STEP), Vec::new());
        let mut batches = chunks.chunks(batch).peekable();
        while let Some(next) = batches.next() {
            next.iter().for_each(|frames| all.extend(frames));
            cutter.advance(&all, batches.peek().is_none(), &mut windows);
        }
        windows.iter().map(|window| (window.start, window.end)).collect()
    }

    #[test]
    fn speech_is_cut_into_windows_that_overlap_by_half() {
        let cut = |speech: &[(u32, u32, u8)]| cut(&chunks_of(900, speech), 8);
        // Shorter than a voice, than a window, as long as one, and longer.
        assert_eq!(cut(&[(100, 111, 1)]), []);
        assert_eq!(cut(&[(100, 112, 1)]), [(100, 112)]);
        assert_eq!(cut(&[(100, 189, 1)]), [(100, 189)]);
        assert_eq!(cut(&[(100, 190, 1)]), [(100, 189), (101, 190)]);
        assert_eq!(cut(&[(100, 300, 2)]), [(100, 189), (144, 233), (188, 277), (211, 300)]);
        // A short pause does not end a piece, a longer one does.
        assert_eq!(cut(&[(100, 140, 1), (158, 180, 1)]), [(100, 180)]);
        assert_eq!(cut(&[(100, 140, 1), (159, 180, 1)]), [(100, 140), (159, 180)]);
    }

    #[test]
    fn no_window_has_two_voices() {
        // One speaker after the other, with and without a pause.
        let cut = |speech: &[(u32, u32, u8)]| cut(&chunks_of(900, speech), 8);
        assert_eq!(cut(&[(100, 160, 1), (160, 220, 2)]), [(100, 160), (160, 220)]);
        assert_eq!(cut(&[(100, 160, 1), (170, 220, 2)]), [(100, 160), (170, 220)]);
        // Overlap is nobody's window.
        assert_eq!(cut(&[(100, 190, 1), (150, 240, 4)]), [(100, 150), (190, 240)]);
    }

    proptest! {
        #[test]
        fn windows_do_not_depend_on_how_chunks_come(
            lengths in prop::collection::vec((0u32..120, 1u32..200, 1u8..7), 1..40),
            batch in 1usize..9,
        ) {
            let (mut speech, mut at) = (Vec::new(), 0);
            for (pause, length, speakers) in lengths {
                speech.push((at + pause, at + pause + length, speakers));
                at += pause + length;
            }
            let chunks = chunks_of(at, &speech);
            let windows = cut(&chunks, batch);
            prop_assert_eq!(&windows, &cut(&chunks, chunks.len()));
            for pair in windows.windows(2) {
                prop_assert!(pair[0].0 < pair[1].0 && pair[0].1 < pair[1].1);
            }
            for (start, end) in windows {
                prop_assert!((MIN_FRAMES..=WINDOW_FRAMES).contains(&(end - start)));
            }
        }
    }

    #[test]
    fn an_hour_without_a_pause_does_not_wait_for_its_end() {
        let (mut cutter, mut all, mut windows) = (Cutter::new(), Chunks::new(STEP), Vec::new());
        for _ in 0..1000 {
            all.extend(&vec![1; CHUNK_FRAMES]);
            cutter.advance(&all, false, &mut windows);
            assert!(cutter.frames.len() <= MAX_STRETCH + CHUNK_FRAMES + STEP as usize);
        }
        let last = windows.last().unwrap().end;
        assert!(all.span(1000).start - last <= MAX_STRETCH as u32);
        // All of it is in windows.
        assert!(windows.windows(2).all(|pair| pair[1].start <= pair[0].end));
        assert_eq!(windows[0].start, 0);
        // Silence does not wait either.
        for _ in 0..100 {
            all.extend(&vec![0; CHUNK_FRAMES]);
            cutter.advance(&all, false, &mut windows);
            assert!(cutter.frames.len() <= MAX_STRETCH + CHUNK_FRAMES + STEP as usize);
        }
    }
}
