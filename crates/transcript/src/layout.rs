//! Splits text into captions of at most two lines, preferably where a reader would pause.
//!
//! The limits are those that the Netflix and BBC guidelines for timed text share: 42 columns per line
//! (21 full-width characters), two lines, 1 to 7 seconds, and breaks after a sentence rather than a
//! clause and after a clause rather than a word. Unicode Standard Annex #14 defines where a line may
//! break at all, with dictionaries for the scripts of South-East Asia.

use std::{ops::Range, sync::LazyLock};

use icu_segmenter::{
    GraphemeClusterSegmenter, GraphemeClusterSegmenterBorrowed, LineSegmenter,
    LineSegmenterBorrowed, options::LineBreakOptions,
};

use crate::{text::MeasuredText, timeline::Timeline};

/// Maximum width of a line in columns.
pub(crate) const MAX_LINE_COLUMNS: usize = 42;
/// Minimum time in milliseconds for which a cue is shown.
pub(crate) const MIN_CUE_MS: u64 = 1000;
/// Maximum time in milliseconds for which a cue is shown.
pub(crate) const MAX_CUE_MS: u64 = 7000;

static LINES: LazyLock<LineSegmenterBorrowed<'static>> =
    LazyLock::new(|| LineSegmenter::new_dictionary(LineBreakOptions::default()));
static GRAPHEMES: GraphemeClusterSegmenterBorrowed<'static> = GraphemeClusterSegmenter::new();

/// The kinds of places where text can be broken; greater is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Break {
    /// Inside a word that does not fit on a line.
    Forced,
    Word,
    Clause,
    Sentence,
}

impl Break {
    /// Returns the kind of break after `text`.
    fn after(text: &str) -> Self {
        let closing = ['"', '\'', ')', ']', '”', '’', '»', '」', '』', '》', '）', '】'];
        match text.trim_end().trim_end_matches(closing).chars().next_back() {
            Some('.' | '!' | '?' | '…' | '。' | '！' | '？' | '؟' | '۔' | '।' | '．') => {
                Self::Sentence
            }
            Some(',' | ';' | ':' | '–' | '—' | '，' | '、' | '；' | '：' | '،' | '؛') => {
                Self::Clause
            }
            _ => Self::Word,
        }
    }

    /// Returns the cost of ending a caption here. An additional caption costs 1.
    fn between_captions(self) -> f64 {
        match self {
            Self::Sentence => 0.0,
            Self::Clause => 0.3,
            Self::Word => 0.9,
            Self::Forced => 3.0,
        }
    }

    /// Returns the cost of ending the first line here. An empty line costs 1.
    fn between_lines(self) -> f64 {
        self.between_captions() / 3.0
    }
}

/// A part of the text that is not broken further, from its first to its last visible character.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    /// Byte offset.
    start: usize,
    /// Byte offset.
    end: usize,
    /// The kind of break after the chunk.
    after: Break,
}

/// A text split into chunks, and the width available for it.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    text: &'a MeasuredText<'a>,
    chunks: Vec<Chunk>,
    /// Width in columns that the first line of each caption has for text, next to the label.
    first_line_width: usize,
}

/// The byte ranges of a caption's text and of its lines.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Caption {
    pub(crate) text: Range<usize>,
    pub(crate) lines: Vec<Range<usize>>,
}

impl<'a> Layout<'a> {
    /// Splits `text` into chunks. Reserves `label_width` columns at the start of each caption.
    pub(crate) fn new(text: &'a MeasuredText<'a>, label_width: usize) -> Self {
        let first_line_width =
            MAX_LINE_COLUMNS.saturating_sub(label_width).max(MAX_LINE_COLUMNS / 3);
        Self { text, chunks: chunks(text, first_line_width), first_line_width }
    }

    /// Splits the text into captions with the lowest total cost, by dynamic programming over the
    /// places where it may be cut.
    pub(crate) fn captions(&self, timeline: &Timeline<'_>) -> Vec<Caption> {
        let count = self.chunks.len();
        // For the best way to caption the first n chunks: its cost, and the first chunk of its last
        // caption.
        let mut best = vec![(f64::INFINITY, 0); count + 1];
        best[0].0 = 0.0;
        for first in 0..count {
            for last in first..count {
                if !self.fits(first, last) {
                    break;
                }
                let cost = best[first].0 + self.cost(first, last, timeline);
                if cost < best[last + 1].0 {
                    best[last + 1] = (cost, first);
                }
            }
        }
        let mut captions = Vec::new();
        let mut end = count;
        while end > 0 {
            let first = best[end].1;
            captions.push(self.caption(first, end - 1));
            end = first;
        }
        captions.reverse();
        captions
    }

    fn cost(&self, first: usize, last: usize, timeline: &Timeline<'_>) -> f64 {
        let range = self.range(first, last);
        let time = timeline.end_at(range.end).saturating_sub(timeline.start_at(range.start));
        let too_long = time.saturating_sub(MAX_CUE_MS) as f64 / 1000.0;
        let too_short = MIN_CUE_MS.saturating_sub(time) as f64 / 1000.0;
        let capacity = (self.first_line_width + MAX_LINE_COLUMNS) as f64;
        let empty = 1.0 - self.text.width(range) as f64 / capacity;
        let end = self.chunks[last].after;
        let cut = if last + 1 < self.chunks.len() { end.between_captions() } else { 0.0 };
        // The square of the unused share makes captions of similar length cheapest.
        1.0 + cut + empty * empty / 2.0 + 10.0 * too_long + 2.0 * too_short
    }

    fn range(&self, first: usize, last: usize) -> Range<usize> {
        self.chunks[first].start..self.chunks[last].end
    }

    fn width(&self, first: usize, last: usize) -> usize {
        self.text.width(self.range(first, last))
    }

    /// Returns whether the chunks fit on two lines. A single chunk always does.
    fn fits(&self, first: usize, last: usize) -> bool {
        if self.width(first, last) <= self.first_line_width {
            return true;
        }
        let start = self.chunks[first].start;
        let upper = self.chunks[first..last]
            .partition_point(|chunk| self.text.width(start..chunk.end) <= self.first_line_width);
        match upper {
            0 => first == last,
            _ => self.width(first + upper, last) <= MAX_LINE_COLUMNS,
        }
    }

    fn caption(&self, first: usize, last: usize) -> Caption {
        let text = self.range(first, last);
        if self.text.width(text.clone()) <= self.first_line_width {
            return Caption { lines: vec![text.clone()], text };
        }
        let cost = |end: usize| {
            let (upper, lower) = (self.width(first, end), self.width(end + 1, last));
            let uneven = upper.abs_diff(lower) as f64 / MAX_LINE_COLUMNS as f64;
            self.chunks[end].after.between_lines() + uneven * uneven
        };
        let lines = (first..last)
            .filter(|&end| {
                self.width(first, end) <= self.first_line_width
                    && self.width(end + 1, last) <= MAX_LINE_COLUMNS
            })
            .min_by(|&a, &b| cost(a).total_cmp(&cost(b)))
            .map_or_else(
                || vec![text.clone()],
                |end| vec![self.range(first, end), self.range(end + 1, last)],
            );
        Caption { text, lines }
    }
}

/// Splits the text wherever a line may break, and further where a chunk would be wider than `limit`
/// columns.
fn chunks(text: &MeasuredText<'_>, limit: usize) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let mut start = 0;
    for end in LINES.segment_str(text.text()).filter(|&end| end > 0) {
        let visible = text.trimmed(start..end);
        if text.width(visible.clone()) == 0 {
            // Invisible text is not a chunk of its own: it joins the next chunk, or at the end of the
            // text the previous one.
            if let Some(last) = chunks.last_mut().filter(|_| end == text.text().len()) {
                last.end = visible.end.max(last.end);
            }
            continue;
        }
        let mut from = visible.start;
        for cut in forced_cuts(text, visible.clone(), limit) {
            chunks.push(Chunk { start: from, end: cut, after: Break::Forced });
            from = cut;
        }
        let after = Break::after(&text.text()[from..visible.end]);
        chunks.push(Chunk { start: from, end: visible.end, after });
        start = end;
    }
    chunks
}

/// Returns where to cut a range that is wider than `limit`: between graphemes if one fits, else
/// between characters.
fn forced_cuts(text: &MeasuredText<'_>, range: Range<usize>, limit: usize) -> Vec<usize> {
    let mut cuts = Vec::new();
    if text.width(range.clone()) <= limit {
        return cuts;
    }
    let slice = &text.text()[range.clone()];
    let mut graphemes = GRAPHEMES.segment_str(slice).map(|at| range.start + at).peekable();
    let mut start = range.start;
    let mut grapheme_start = start;
    for (at, c) in slice.char_indices().map(|(at, c)| (range.start + at, c)) {
        while let Some(boundary) = graphemes.next_if(|&boundary| boundary <= at) {
            grapheme_start = boundary;
        }
        if text.width(start..at + c.len_utf8()) > limit {
            start = if grapheme_start > start { grapheme_start } else { at };
            cuts.push(start);
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Segment;

    /// Returns the captions of `text` spoken in `seconds`, their lines joined by `/`.
    fn captions(text: &str, seconds: f64, label_width: usize) -> Vec<String> {
        let measured = MeasuredText::new(text);
        let segment =
            Segment { end: seconds, text: text.to_owned(), confidence: 1.0, ..Segment::default() };
        let timeline = Timeline::new(&segment, &measured);
        let captions = Layout::new(&measured, label_width).captions(&timeline);
        let lines = |caption: Caption| {
            caption.lines.into_iter().map(|line| &text[line]).collect::<Vec<_>>().join("/")
        };
        captions.into_iter().map(lines).collect()
    }

    #[test]
    fn text_that_fits_on_one_line_is_not_broken() {
        assert_eq!(captions("Good morning. How are you?", 2.0, 0), ["Good morning. How are you?"]);
        assert_eq!(captions(&"a".repeat(42), 2.0, 0), ["a".repeat(42)]);
    }

    #[test]
    fn lines_break_after_the_clause() {
        assert_eq!(
            captions("When the rain stopped at last, everybody went out again.", 4.0, 0),
            ["When the rain stopped at last,/everybody went out again."]
        );
    }

    #[test]
    fn long_text_is_cut_after_sentences() {
        assert_eq!(
            captions(
                "It was a bright cold day in April, and the clocks were striking thirteen. \
                 Nobody in the street looked up, for nobody there had ever owned a clock.",
                9.0,
                0
            ),
            [
                "It was a bright cold day in April,/and the clocks were striking thirteen.",
                "Nobody in the street looked up,/for nobody there had ever owned a clock."
            ]
        );
    }

    #[test]
    fn slow_speech_is_cut_by_time() {
        let slow = captions("One, two, three, four, five, six.", 18.0, 0);
        assert_eq!(slow, ["One, two,", "three, four,", "five, six."]);
    }

    #[test]
    fn chinese_breaks_between_characters_and_not_before_punctuation() {
        let text = "今天天气很好，我们一起去公园散步，然后去吃了一顿很好的晚饭。";
        assert_eq!(
            captions(text, 6.0, 0),
            ["今天天气很好，我们一起去公园散步，/然后去吃了一顿很好的晚饭。"]
        );
        let unbroken = captions(&"好".repeat(50), 6.0, 0);
        assert!(unbroken.iter().all(|lines| lines.split('/').all(|line| line.len() <= 63)));
        assert_eq!(unbroken.concat().replace('/', ""), "好".repeat(50));
    }

    #[test]
    fn text_without_breaks_is_cut_between_graphemes() {
        let word = "e\u{301}".repeat(100);
        let cut = captions(&word, 6.0, 0);
        assert_eq!(cut.concat().replace('/', ""), word);
        assert!(
            cut.iter()
                .flat_map(|lines| lines.split('/'))
                .all(|line| line.starts_with('e')
                    && line.chars().filter(|&c| c == 'e').count() <= 42)
        );
        // A single grapheme wider than a line: a long sequence of leading consonants.
        let jamo = captions(&"\u{1100}".repeat(60), 6.0, 0);
        assert!(jamo.iter().flat_map(|lines| lines.split('/')).all(|l| l.chars().count() <= 21));
    }

    #[test]
    fn the_label_shortens_the_first_line() {
        let text = "When the rain stopped at last, everybody went out again.";
        for lines in captions(text, 4.0, 15) {
            let mut lines = lines.split('/');
            assert!(lines.next().is_some_and(|first| first.len() <= 27));
            assert!(lines.all(|line| line.len() <= 42));
        }
    }
}
