//! Lays a caption on lines: as few as it fits on, of similar width, broken where a reader would pause.

use std::ops::Range;

use crate::{
    breaks::{Break, Chunk},
    text::MeasuredText,
};

/// Chunks that a caption has at most. Bounds the work for text of very short words on very wide lines;
/// nobody says as many words in the time of a cue.
const MAX_CHUNKS: usize = 160;

/// The space that a caption has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Space {
    /// Columns of the first line, next to the label.
    pub(crate) first_line: usize,
    /// Columns of the other lines.
    pub(crate) line: usize,
    pub(crate) max_lines: usize,
}

/// The best ways to lay chunks on lines, from one chunk on, by dynamic programming.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    text: &'a MeasuredText<'a>,
    chunks: &'a [Chunk],
    space: Space,
    /// For each number of lines and of chunks, the cost of laying these chunks on so many lines, and the
    /// chunks before the last of these lines.
    best: Vec<Vec<(f64, usize)>>,
}

impl<'a> Lines<'a> {
    /// Starts with no chunk of `chunks`, the rest of a text.
    pub(crate) fn new(text: &'a MeasuredText<'a>, chunks: &'a [Chunk], space: Space) -> Self {
        let mut best = vec![vec![(f64::INFINITY, 0)]; space.max_lines + 1];
        best[0][0].0 = 0.0;
        Self { text, chunks, space, best }
    }

    /// Adds the next chunk. Returns the cost of the best way to lay all chunks so far on lines, or `None` if
    /// they do not fit. A single chunk always fits.
    pub(crate) fn push(&mut self) -> Option<f64> {
        let count = self.best[0].len();
        if count > self.chunks.len().min(MAX_CHUNKS) {
            return None;
        }
        self.best[0].push((f64::INFINITY, 0));
        for lines in 1..=self.space.max_lines {
            let best = self.best_with_last_line(lines, count);
            self.best[lines].push(best);
        }
        let lines = self.fewest()?;
        let all = self.width(0..count);
        // What the lines cost more than lines of equal width.
        let equal = 2.0 * all * all / lines as f64;
        Some((self.best[lines][count].0 - equal).max(0.0))
    }

    fn best_with_last_line(&self, lines: usize, count: usize) -> (f64, usize) {
        let mut best = (f64::INFINITY, 0);
        for before in (0..count).rev() {
            let width = self.columns(before..count);
            let limit = if lines == 1 { self.space.first_line } else { self.space.line };
            let alone = lines == 1 && count == 1;
            if width > limit && !alone {
                break;
            }
            let above = self.best[lines - 1][before].0;
            if !above.is_finite() {
                continue;
            }
            let cut = match before.checked_sub(1) {
                Some(last) => between_lines(self.chunks[last].after),
                None => 0.0,
            };
            let share = self.width(before..count);
            let cost = above + cut + 2.0 * share * share;
            if cost < best.0 {
                best = (cost, before);
            }
        }
        best
    }

    /// Returns the smallest number of lines that all chunks so far fit on.
    fn fewest(&self) -> Option<usize> {
        (1..=self.space.max_lines)
            .find(|&lines| self.best[lines].last().is_some_and(|best| best.0.is_finite()))
    }

    /// Returns the bytes of each line of the best way to lay all chunks so far.
    pub(crate) fn lines(&self) -> Vec<Range<usize>> {
        let mut lines = Vec::new();
        let mut count = self.best[0].len() - 1;
        for number in (1..=self.fewest().unwrap_or(0)).rev() {
            let before = self.best[number][count].1;
            lines.push(self.chunks[before].start..self.chunks[count - 1].end);
            count = before;
        }
        lines.reverse();
        lines
    }

    fn columns(&self, chunks: Range<usize>) -> usize {
        self.text.width(self.chunks[chunks.start].start..self.chunks[chunks.end - 1].end)
    }

    /// Returns the width of the chunks as a share of a line.
    fn width(&self, chunks: Range<usize>) -> f64 {
        self.columns(chunks) as f64 / self.space.line as f64
    }
}

/// Returns the cost of breaking a line here. The square of the difference of two lines' widths, as a share of
/// a line, costs as much.
fn between_lines(after: Break) -> f64 {
    match after {
        Break::Sentence => 0.0,
        Break::Clause => 0.04,
        Break::Phrase => 0.15,
        Break::Word => 0.3,
        Break::Bound => 0.8,
        Break::Compound => 1.5,
        Break::Forced => 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::breaks::{Context, chunks};

    fn laid(text: &str, first_line: usize, line: usize, max_lines: usize) -> Option<Vec<String>> {
        let measured = MeasuredText::new(text);
        let context = Context { language: Some("en"), borders: &[] };
        let chunks = chunks(&measured, line, context);
        let mut lines = Lines::new(&measured, &chunks, Space { first_line, line, max_lines });
        for _ in &chunks {
            lines.push()?;
        }
        Some(lines.lines().into_iter().map(|line| text[line].to_owned()).collect())
    }

    #[test]
    fn text_that_fits_on_one_line_is_not_broken() {
        let text = "Good morning. How are you?";
        assert_eq!(laid(text, 42, 42, 2), Some(vec![text.to_owned()]));
        assert_eq!(laid(text, 26, 26, 2), Some(vec![text.to_owned()]));
        assert_eq!(laid(text, 25, 25, 1), None);
    }

    #[test]
    fn lines_break_where_a_reader_pauses() {
        let cases = [
            (
                "When the rain stopped at last, everybody went out again.",
                ["When the rain stopped at last,", "everybody went out again."],
            ),
            (
                "He had been sitting alone there in the old house.",
                ["He had been sitting alone there", "in the old house."],
            ),
            (
                "Then I saw that tall Mr. John Dashwood there at last.",
                ["Then I saw that tall", "Mr. John Dashwood there at last."],
            ),
        ];
        for (text, lines) in cases {
            assert_eq!(laid(text, 42, 42, 2), Some(lines.map(str::to_owned).to_vec()));
        }
    }

    #[test]
    fn the_label_shortens_the_first_line() {
        let text = "When the rain stopped at last, everybody went out again.";
        let lines = laid(text, 27, 42, 2).unwrap_or_default();
        assert_eq!(lines, ["When the rain stopped", "at last, everybody went out again."]);
        // One long word is not broken for a label.
        assert_eq!(laid("incomprehensibilities", 5, 42, 2).map(|lines| lines.len()), Some(1));
    }

    #[test]
    fn as_many_lines_as_allowed() {
        let text = "one two three four five six seven eight nine ten";
        let lines = laid(text, 12, 12, 5).unwrap_or_default();
        assert_eq!(lines, ["one two", "three four", "five six", "seven eight", "nine ten"]);
        assert_eq!(laid(text, 12, 12, 4), None);
    }
}
