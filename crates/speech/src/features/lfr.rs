//! Low frame rate (LFR): stacks neighbouring frames into one row, as FunASR's `apply_lfr`.

/// Stacks `m` frames into one row and steps by `n` frames (LFR `m`/`n`), over one stream of frames.
///
/// Row `i` has `m` frames of the stream, from frame `i n - (m - 1) / 2` on. Copies of the first and
/// the last frame replace those beyond the ends. `t` frames give `ceil(t / n)` rows.
pub struct Lfr {
    /// Number of values per frame.
    bins: usize,
    m: usize,
    n: usize,
    /// Frames that later rows need, with the copies before the start.
    pending: Vec<f32>,
    /// Number of frames taken so far.
    frames: u64,
    /// Number of rows returned so far.
    rows: u64,
}

impl Lfr {
    /// Starts a stream. `m = n = 1` returns the frames as they are.
    ///
    /// # Panics
    /// Panics unless `m >= n >= 1` and `bins >= 1`.
    pub fn new(bins: usize, m: usize, n: usize) -> Self {
        assert!(bins > 0 && m >= n && n > 0, "LFR {m}/{n} of {bins} bins");
        Self { bins, m, n, pending: Vec::new(), frames: 0, rows: 0 }
    }

    /// Returns the number of values per row.
    pub fn width(&self) -> usize {
        self.bins * self.m
    }

    /// Takes frames, row-major `[_, bins]`, and appends the rows that they complete to `rows`.
    pub fn push(&mut self, frames: &[f32], rows: &mut Vec<f32>) {
        debug_assert_eq!(frames.len() % self.bins, 0);
        if frames.is_empty() {
            return;
        }
        if self.frames == 0 {
            for _ in 0..(self.m - 1) / 2 {
                self.pending.extend_from_slice(&frames[..self.bins]);
            }
        }
        self.frames += (frames.len() / self.bins) as u64;
        self.pending.extend_from_slice(frames);
        self.take_complete(rows);
    }

    /// Ends the stream: appends the rows that need copies of the last frame. A new stream starts
    /// then.
    pub fn finish(&mut self, rows: &mut Vec<f32>) {
        let missing = self.frames.div_ceil(self.n as u64) - self.rows;
        if let Some(last) = self.pending.len().checked_sub(self.bins)
            && missing > 0
        {
            let last = self.pending[last..].to_vec();
            let needed = ((missing as usize - 1) * self.n + self.m) * self.bins;
            while self.pending.len() < needed {
                self.pending.extend_from_slice(&last);
            }
            self.take_complete(rows);
        }
        *self = Self::new(self.bins, self.m, self.n);
    }

    fn take_complete(&mut self, rows: &mut Vec<f32>) {
        let (width, step) = (self.width(), self.n * self.bins);
        if self.pending.len() < width {
            return;
        }
        let complete = 1 + (self.pending.len() - width) / step;
        rows.reserve(complete * width);
        for row in 0..complete {
            rows.extend_from_slice(&self.pending[row * step..][..width]);
        }
        self.rows += complete as u64;
        self.pending.drain(..complete * step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Computes the rows of a whole sequence by the definition.
    fn reference(frames: usize, m: usize, n: usize) -> Vec<f32> {
        let mut rows = Vec::new();
        for row in 0..frames.div_ceil(n) {
            for column in 0..m {
                let frame = (row * n + column).saturating_sub((m - 1) / 2).min(frames - 1);
                rows.extend([frame as f32, frame as f32 + 0.5]);
            }
        }
        rows
    }

    proptest! {
        #[test]
        fn rows_do_not_depend_on_the_pushes(
            frames in 0usize..60,
            m in 1usize..9,
            n in 1usize..9,
            cut in 1usize..20,
        ) {
            prop_assume!(m >= n);
            let input: Vec<f32> = (0..frames).flat_map(|f| [f as f32, f as f32 + 0.5]).collect();
            let mut lfr = Lfr::new(2, m, n);
            // The second round shows that `finish` resets the state.
            for _ in 0..2 {
                let mut rows = Vec::new();
                input.chunks(2 * cut).for_each(|chunk| lfr.push(chunk, &mut rows));
                lfr.finish(&mut rows);
                prop_assert_eq!(&rows, &reference(frames, m, n));
            }
        }
    }
}
