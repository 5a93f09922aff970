//! Packs segments into windows, for recognizers whose cost does not depend on the length of their
//! input, and maps times in a window back to the recording.

use audio::SAMPLE_RATE;

use crate::segmenter::Segment;

/// Longest silence between two packed segments, in samples (0.3 s): long enough for the recognizer to
/// detect a pause. Longer pauses of the recording are shortened to it.
const GAP: usize = (SAMPLE_RATE as usize) * 3 / 10;

/// Pieces that lie further apart in the recording, in seconds, are different stretches of speech: no segment
/// covers both, so that a subtitle does not show words that are said much later.
pub(crate) const LONG_PAUSE: f64 = 2.0;

/// Input of one recognizer call: one segment, or several packed together.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Window {
    pub(crate) samples: Vec<f32>,
    pieces: Vec<Piece>,
}

/// The part of a window that comes from one segment of the recording. All fields are in samples.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    window_start: usize,
    recording_start: u64,
    length: usize,
}

impl Window {
    /// Creates a window of one segment.
    pub(crate) fn of(segment: Segment) -> Self {
        let piece = Piece {
            window_start: 0,
            recording_start: segment.start,
            length: segment.samples.len(),
        };
        Self { samples: segment.samples, pieces: vec![piece] }
    }

    /// Returns the end of the window's last piece, in seconds of the recording.
    pub(crate) fn recording_end(&self) -> f64 {
        self.pieces.last().map_or(0.0, |piece| {
            (piece.recording_start + piece.length as u64) as f64 / f64::from(SAMPLE_RATE)
        })
    }

    /// Returns the samples of the recording that the pieces consist of.
    pub(crate) fn ranges(&self) -> Vec<(u64, u64)> {
        let range = |p: &Piece| (p.recording_start, p.recording_start + p.length as u64);
        self.pieces.iter().map(range).collect()
    }

    /// Returns the pieces: start in seconds of the recording, and samples.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = (f64, &[f32])> {
        self.pieces.iter().map(|piece| {
            let start = piece.recording_start as f64 / f64::from(SAMPLE_RATE);
            (start, &self.samples[piece.window_start..piece.window_start + piece.length])
        })
    }

    /// Returns the number of samples of silence to insert before `segment`.
    fn gap_before(&self, segment: &Segment) -> usize {
        let end = self.pieces.last().map_or(0, |p| p.recording_start + p.length as u64);
        usize::try_from(segment.start.saturating_sub(end)).unwrap_or(GAP).min(GAP)
    }

    fn append(&mut self, segment: Segment) {
        self.samples.resize(self.samples.len() + self.gap_before(&segment), 0.0);
        self.pieces.push(Piece {
            window_start: self.samples.len(),
            recording_start: segment.start,
            length: segment.samples.len(),
        });
        self.samples.extend_from_slice(&segment.samples);
    }

    /// Returns whether the window packs pieces of speech with a long pause between them.
    pub(crate) fn has_long_pause(&self) -> bool {
        (1..self.pieces.len()).any(|piece| self.pause_before(piece) > LONG_PAUSE)
    }

    /// Returns the pause in the recording between a piece and the one before it, in seconds.
    pub(crate) fn pause_before(&self, piece: usize) -> f64 {
        let Some(before) = piece.checked_sub(1).and_then(|before| self.pieces.get(before)) else {
            return 0.0;
        };
        let end = before.recording_start + before.length as u64;
        self.pieces.get(piece).map_or(0.0, |piece| {
            piece.recording_start.saturating_sub(end) as f64 / f64::from(SAMPLE_RATE)
        })
    }

    /// Returns the piece that most of a span of the window lies in, or the next one to it.
    pub(crate) fn piece_of(&self, start: f64, end: f64) -> usize {
        let rate = f64::from(SAMPLE_RATE);
        let (start, end) = (start * rate, end.max(start) * rate);
        // Negative where they do not overlap: minus the distance.
        let overlap = |piece: &Piece| {
            end.min((piece.window_start + piece.length) as f64)
                - start.max(piece.window_start as f64)
        };
        let overlaps = self.pieces.iter().map(overlap);
        let best = overlaps.enumerate().max_by(|(i, a), (j, b)| a.total_cmp(b).then(j.cmp(i)));
        best.map_or(0, |(piece, _)| piece)
    }

    /// Returns where the sound of a piece begins, in seconds of the recording: the first frame that is not
    /// much quieter than the loudest, because the detector looks back beyond the beginning of speech.
    pub(crate) fn onset(&self, piece: usize) -> f64 {
        const FRAME: usize = SAMPLE_RATE as usize / 100;
        /// 30 dB below the loudest frame, as a ratio of energies.
        const QUIET: f32 = 1e-3;
        let piece = self.pieces[piece.min(self.pieces.len() - 1)];
        let samples = &self.samples[piece.window_start..piece.window_start + piece.length];
        let energy = |frame: &[f32]| frame.iter().map(|sample| sample * sample).sum::<f32>();
        let loudest = samples.chunks(FRAME).map(energy).fold(0.0, f32::max);
        let quiet =
            samples.chunks(FRAME).position(|frame| energy(frame) > QUIET * loudest).unwrap_or(0);
        (piece.recording_start + (quiet * FRAME) as u64) as f64 / f64::from(SAMPLE_RATE)
    }

    /// Maps a span of the window to the recording, within one piece. All times are in seconds.
    pub(crate) fn within(&self, piece: usize, start: f64, end: f64) -> (f64, f64) {
        let rate = f64::from(SAMPLE_RATE);
        let piece = self.pieces[piece.min(self.pieces.len() - 1)];
        let map = |time: f64| {
            let inside = (time * rate - piece.window_start as f64).clamp(0.0, piece.length as f64);
            (piece.recording_start as f64 + inside) / rate
        };
        (map(start), map(end.max(start)))
    }

    /// Maps a span of the window, in seconds, to the recording. A start within a gap moves to the
    /// start of the next piece, and an end within a gap to the end of the previous piece.
    pub(crate) fn to_recording(&self, start: f64, end: f64) -> (f64, f64) {
        let rate = f64::from(SAMPLE_RATE);
        let (start, end) = (start.max(0.0) * rate, end.max(0.0) * rate);
        let last = self.pieces.len() - 1;
        let first_piece = self
            .pieces
            .iter()
            .position(|p| start < (p.window_start + p.length) as f64)
            .unwrap_or(last);
        let last_piece = self
            .pieces
            .iter()
            .rposition(|p| end > p.window_start as f64)
            .unwrap_or(0)
            .max(first_piece);
        let map = |piece: Piece, at: f64| {
            let inside = (at - piece.window_start as f64).clamp(0.0, piece.length as f64);
            (piece.recording_start as f64 + inside) / rate
        };
        let mapped_start = map(self.pieces[first_piece], start);
        (mapped_start, map(self.pieces[last_piece], end).max(mapped_start))
    }
}

/// Packs the segments of one channel into windows.
#[derive(Debug)]
pub(crate) struct Packer {
    capacity: usize,
    pack: bool,
    open: Option<Window>,
}

impl Packer {
    /// Creates a packer of windows of up to `max_seconds`. With `pack = false`, every segment becomes
    /// a window of its own.
    pub(crate) fn new(max_seconds: f64, pack: bool) -> Self {
        Self { capacity: (max_seconds * f64::from(SAMPLE_RATE)) as usize, pack, open: None }
    }

    /// Adds a segment. Returns a window if one is complete.
    pub(crate) fn push(&mut self, segment: Segment) -> Option<Window> {
        if !self.pack {
            return Some(Window::of(segment));
        }
        match &mut self.open {
            Some(window)
                if window.samples.len() + window.gap_before(&segment) + segment.samples.len()
                    <= self.capacity =>
            {
                window.append(segment);
                None
            }
            open => open.replace(Window::of(segment)),
        }
    }

    /// Returns the last window, if there is one.
    pub(crate) fn finish(&mut self) -> Option<Window> {
        self.open.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(start_seconds: f64, seconds: f64) -> Segment {
        let rate = f64::from(SAMPLE_RATE);
        Segment {
            start: (start_seconds * rate) as u64,
            samples: vec![0.5; (seconds * rate) as usize],
        }
    }

    #[test]
    fn packs_until_the_window_is_full_and_keeps_the_order() {
        let mut packer = Packer::new(30.0, true);
        assert_eq!(packer.push(segment(1.0, 10.0)), None);
        assert_eq!(packer.push(segment(20.0, 19.0)), None);
        let full = packer.push(segment(40.0, 2.0)).expect("10 + 0.3 + 19 + 0.3 + 2 > 30");
        assert_eq!(full.samples.len(), (29.3 * 16_000.0) as usize);
        assert_eq!(full.recording_end(), 39.0);
        assert_eq!(packer.finish(), Some(Window::of(segment(40.0, 2.0))));
        assert_eq!(packer.finish(), None);
    }

    #[test]
    fn keeps_gaps_shorter_than_the_maximum() {
        let mut packer = Packer::new(30.0, true);
        packer.push(segment(0.0, 1.0));
        packer.push(segment(1.1, 1.0));
        let window = packer.finish().unwrap();
        assert_eq!(window.samples.len(), (2.1 * 16_000.0) as usize);
    }

    #[test]
    fn does_not_pack_if_cost_depends_on_length() {
        let mut packer = Packer::new(60.0, false);
        assert!(packer.push(segment(0.0, 1.0)).is_some());
        assert_eq!(packer.finish(), None);
    }

    #[test]
    fn a_span_belongs_to_the_piece_that_most_of_it_lies_in() {
        let mut packer = Packer::new(30.0, true);
        packer.push(segment(100.0, 2.0));
        packer.push(segment(100.5 + 2.0, 1.0));
        packer.push(segment(200.0, 3.0));
        let window = packer.finish().unwrap();
        // The pieces begin at 0, 2.3 and 3.6 s in the window.
        let pieces =
            [(0.1, 0.3), (1.9, 2.5), (1.5, 2.35), (2.05, 2.1), (2.2, 2.25), (3.4, 4.0), (9.0, 9.5)]
                .map(|(start, end)| window.piece_of(start, end));
        assert_eq!(pieces, [0, 1, 0, 0, 1, 2, 2]);
        assert_eq!(window.within(1, 2.2, 2.8), (102.5, 103.0));
        assert_eq!(window.within(0, 1.5, 2.35), (101.5, 102.0));
        assert_eq!((window.pause_before(0), window.pause_before(1)), (0.0, 0.5));
        assert_eq!(window.pause_before(2), 200.0 - 103.5);
        assert!(window.has_long_pause() && !Window::of(segment(1.0, 1.0)).has_long_pause());
    }

    #[test]
    fn a_piece_begins_to_sound_with_its_first_loud_frame() {
        let mut quiet = segment(5.0, 1.0);
        quiet.samples[..4000].fill(0.001);
        assert_eq!(Window::of(quiet).onset(0), 5.25);
        assert_eq!(Window::of(segment(5.0, 1.0)).onset(0), 5.0);
        let silent = Segment { start: 16_000, samples: vec![0.0; 100] };
        assert_eq!(Window::of(silent).onset(0), 1.0);
    }

    #[test]
    fn maps_times_back_across_pieces_and_gaps() {
        let mut packer = Packer::new(30.0, true);
        packer.push(segment(100.0, 2.0));
        packer.push(segment(200.0, 3.0));
        let window = packer.finish().unwrap();
        assert_eq!(window.to_recording(0.5, 1.5), (100.5, 101.5));
        // The second piece starts at 2.3 s in the window.
        assert_eq!(window.to_recording(2.1, 3.3), (200.0, 201.0));
        assert_eq!(window.to_recording(1.0, 2.2), (101.0, 102.0));
        assert_eq!(window.to_recording(1.0, 2.8), (101.0, 200.5));
        // Recognizers with windows of 30 s may return times after the end.
        assert_eq!(window.to_recording(4.3, 30.0), (202.0, 203.0));
        assert_eq!(window.to_recording(29.0, 30.0), (203.0, 203.0));
    }
}
