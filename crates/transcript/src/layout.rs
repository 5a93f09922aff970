//! Splits a passage into captions, preferably where a reader would pause.

use std::ops::Range;

use crate::{
    SubtitleOptions,
    breaks::{Break, Chunk, Context, chunks},
    lines::{Lines, Space},
    text::MeasuredText,
    timeline::Timeline,
};

/// Time in milliseconds for which a cue may stay after the end of its speech, for those who still read.
///
/// Netflix allows half a second; the BBC asks for no more than 1.5 s (section 5.2), which this and the
/// closing of small gaps are together. Whoever writes subtitles by hand shortens a text that takes longer; we
/// cannot.
pub(crate) const READING_LAG_MS: u64 = 1000;
/// Cost of a caption: more of them change more often, and are read with more haste.
const CAPTION: f64 = 0.6;
/// Pause in milliseconds within a caption that costs nothing.
const SMALL_PAUSE_MS: u64 = 500;

/// A text split into chunks, and the space available for it.
#[derive(Debug)]
pub(crate) struct Layout<'a> {
    text: &'a MeasuredText<'a>,
    timeline: &'a Timeline<'a>,
    options: &'a SubtitleOptions,
    chunks: Vec<Chunk>,
    space: Space,
    /// Milliseconds between each chunk and the next one.
    pauses: Vec<u64>,
    /// Sums over the chunks before each one.
    sums: Vec<Sums>,
    /// For each chunk, the first chunk of the next sentence.
    next_sentence: Vec<usize>,
}

/// Sums over chunks, so that any run of them is summed in constant time.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    words: f64,
    /// Cost of showing the pauses after the chunks within a caption.
    pauses: f64,
    /// Sentences that end with a chunk.
    sentences: u32,
    /// The first chunk of the last sentence that begins with one of them or the next.
    sentence: usize,
}

/// The byte ranges of a caption's text and of its lines.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Caption {
    pub(crate) text: Range<usize>,
    pub(crate) lines: Vec<Range<usize>>,
}

impl<'a> Layout<'a> {
    /// Splits `text` into chunks. Reserves `label_width` columns at the start of each caption, but at most
    /// two thirds of the line.
    pub(crate) fn new(
        text: &'a MeasuredText<'a>,
        timeline: &'a Timeline<'a>,
        context: Context<'_>,
        label_width: usize,
        options: &'a SubtitleOptions,
    ) -> Self {
        let line = options.max_line_width();
        let first_line = line.saturating_sub(label_width).max(line / 3);
        let space = Space { first_line, line, max_lines: options.max_lines() };
        let chunks = chunks(text, line, context);
        let pauses: Vec<u64> = chunks
            .windows(2)
            .map(|pair| {
                timeline.start_at(pair[1].start).saturating_sub(timeline.end_at(pair[0].end))
            })
            .chain([0])
            .collect();
        let mut sums = vec![Sums::default()];
        let mut sum = Sums::default();
        for (index, (chunk, &pause)) in chunks.iter().zip(&pauses).enumerate() {
            sum.words += chunk.words;
            sum.pauses += inside_caption(pause);
            if chunk.after == Break::Sentence {
                sum.sentences += 1;
                sum.sentence = index + 1;
            }
            sums.push(sum);
        }
        let mut next_sentence = vec![chunks.len(); chunks.len()];
        for index in (1..chunks.len()).rev() {
            let ends = chunks[index - 1].after == Break::Sentence;
            next_sentence[index - 1] = if ends { index } else { next_sentence[index] };
        }
        Self { text, timeline, options, chunks, space, pauses, sums, next_sentence }
    }

    /// Splits the text into captions with the lowest total cost, by dynamic programming over the
    /// places where it may be cut.
    pub(crate) fn captions(&self) -> Vec<Caption> {
        let count = self.chunks.len();
        // For the best way to caption the first n chunks: its cost, and the first chunk of its last
        // caption.
        let mut best = vec![(f64::INFINITY, 0); count + 1];
        best[0].0 = 0.0;
        for first in 0..count {
            let mut lines = Lines::new(self.text, &self.chunks[first..], self.space);
            for last in first..count {
                let Some(line_cost) = lines.push() else { break };
                let time = self.spoken(first, last);
                if last > first && time > 2 * self.options.max_duration() {
                    break;
                }
                let cost = best[first].0 + 0.7 * line_cost + self.cost(first, last, time);
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

    /// Returns the milliseconds from the start of the first chunk to the end of the last one.
    fn spoken(&self, first: usize, last: usize) -> u64 {
        let range = self.range(first, last);
        self.timeline.end_at(range.end).saturating_sub(self.timeline.start_at(range.start))
    }

    fn cost(&self, first: usize, last: usize, spoken: u64) -> f64 {
        let seconds = |milliseconds: u64| milliseconds as f64 / 1000.0;
        let columns = self.text.width(self.range(first, last));
        // What follows decides how long the cue can stay.
        let is_last = last + 1 == self.chunks.len();
        let lag = if is_last { READING_LAG_MS } else { self.pauses[last].min(READING_LAG_MS) };
        let shown = (spoken + lag).saturating_sub(if is_last { 0 } else { self.options.min_gap() });
        let too_long = seconds(spoken.saturating_sub(self.options.max_duration()));
        let too_short = seconds(self.options.min_duration().saturating_sub(shown));
        let too_fast = seconds(self.options.reading_time(columns).saturating_sub(shown));
        let capacity = self.space.first_line + self.space.line * (self.space.max_lines - 1);
        let empty = 1.0 - (columns as f64 / capacity as f64).min(1.0);
        let (before, inside) = (self.sums[first], self.sums[last]);
        let pauses = inside.pauses - before.pauses;
        let cut = if is_last { 0.0 } else { self.cut(last) };
        // The square of the unused share makes captions of similar length cheapest.
        CAPTION
            + cut
            + empty * empty / 2.0
            + pauses
            + 3.0 * too_long
            + 2.0 * too_short
            + 0.6 * too_fast
            + self.fragments(first, last)
    }

    /// Returns the cost of ending a caption with a chunk.
    fn cut(&self, last: usize) -> f64 {
        let cost = match self.chunks[last].after {
            Break::Sentence => return 0.0,
            Break::Clause => 0.3,
            Break::Phrase => 0.7,
            Break::Word => 1.0,
            Break::Bound => 1.7,
            Break::Compound => return 3.0,
            Break::Forced => return 5.0,
        };
        // Where the speaker pauses, the listener expects an end.
        let pause = self.pauses[last].saturating_sub(200).min(800) as f64 / 800.0;
        cost * (1.0 - 0.7 * pause)
    }

    /// Returns the cost of parts of sentences: one to three words of a longer sentence, and the end of one
    /// sentence together with the beginning of another.
    fn fragments(&self, first: usize, last: usize) -> f64 {
        let starts = first == 0 || self.ends_sentence(first - 1);
        let ends = self.ends_sentence(last);
        let (before, inside) = (self.sums[first], self.sums[last]);
        let words = |from: usize, to: usize| self.sums[to].words - self.sums[from].words;
        match (starts, ends) {
            (true, true) => 0.0,
            // All are of one sentence.
            _ if inside.sentences == before.sentences => {
                // A word between two pauses is said alone.
                let pause = |chunk: usize| self.pauses[chunk].min(1500);
                let around = if starts { 0 } else { pause(first - 1) };
                let around = around.max(if ends { 0 } else { pause(last) });
                short_fragment(words(first, last + 1)) * (1.0 - around as f64 / 2000.0)
            }
            _ => {
                let tail = words(first, self.next_sentence[first]);
                let head = words(inside.sentence, last + 1);
                let cut = match self.chunks[last].after {
                    _ if ends => 0.6,
                    Break::Clause => 0.6,
                    _ => 0.9,
                };
                let tail = if starts { 0.0 } else { short_fragment(tail) };
                cut + 0.6 * (tail + if ends { 0.0 } else { short_fragment(head) })
            }
        }
    }

    fn ends_sentence(&self, chunk: usize) -> bool {
        chunk + 1 == self.chunks.len() || self.chunks[chunk].after == Break::Sentence
    }

    fn range(&self, first: usize, last: usize) -> Range<usize> {
        self.chunks[first].start..self.chunks[last].end
    }

    fn caption(&self, first: usize, last: usize) -> Caption {
        let mut lines = Lines::new(self.text, &self.chunks[first..=last], self.space);
        for _ in first..=last {
            lines.push();
        }
        Caption { text: self.range(first, last), lines: lines.lines() }
    }
}

/// Returns the cost of showing so few words of a sentence apart from the others.
fn short_fragment(words: f64) -> f64 {
    match words {
        ..1.5 => 2.5,
        ..2.5 => 0.8,
        ..3.5 => 0.3,
        _ => 0.0,
    }
}

/// Returns the cost of a pause inside of a caption: text that is shown before it is said.
fn inside_caption(pause: u64) -> f64 {
    let long = pause.saturating_sub(SMALL_PAUSE_MS) as f64 / 1000.0;
    let jump = match pause {
        2000.. => 4.0,
        1000.. => 0.5,
        _ => 0.0,
    };
    1.5 * long.min(1.5) + jump
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SubtitleOptions, timeline::Span};

    /// Returns the captions of `text` spoken in `seconds`, their lines joined by `/`.
    fn captions(text: &str, seconds: u64, label_width: usize) -> Vec<String> {
        captions_with(text, seconds, label_width, &SubtitleOptions::default())
    }

    fn captions_with(
        text: &str,
        seconds: u64,
        label_width: usize,
        options: &SubtitleOptions,
    ) -> Vec<String> {
        let spans = [Span { range: 0..text.len(), start: 0, end: seconds * 1000 }];
        captions_of(text, &spans, label_width, options)
    }

    fn captions_of(
        text: &str,
        spans: &[Span],
        label_width: usize,
        options: &SubtitleOptions,
    ) -> Vec<String> {
        let measured = MeasuredText::new(text);
        let timeline = Timeline::new(&measured, spans);
        let context = Context { language: Some("en"), borders: &[] };
        let captions = Layout::new(&measured, &timeline, context, label_width, options).captions();
        let lines = |caption: Caption| {
            caption.lines.into_iter().map(|line| &text[line]).collect::<Vec<_>>().join("/")
        };
        captions.into_iter().map(lines).collect()
    }

    #[test]
    fn text_that_fits_on_one_line_is_not_broken() {
        assert_eq!(captions("Good morning. How are you?", 2, 0), ["Good morning. How are you?"]);
        assert_eq!(captions(&"a".repeat(42), 2, 0), ["a".repeat(42)]);
    }

    #[test]
    fn long_text_is_cut_after_sentences() {
        assert_eq!(
            captions(
                "It was a bright cold day in April, and the clocks were striking thirteen. \
                 Nobody in the street looked up, for nobody there had ever owned a clock.",
                9,
                0
            ),
            [
                "It was a bright cold day in April,/and the clocks were striking thirteen.",
                "Nobody in the street looked up,/for nobody there had ever owned a clock."
            ]
        );
    }

    #[test]
    fn no_word_of_a_sentence_stands_alone() {
        // Two lines of 42 columns have room for all but `atom.`
        let text = "You take two hydrogen atoms, you ram them together, and what's left over is a helium atom.";
        assert_eq!(
            captions(text, 5, 0),
            [
                "You take two hydrogen atoms,/you ram them together,",
                "and what's left over is a helium atom."
            ]
        );
        // Neither does one behind a small pause.
        let text = "Everything that they could have said about it that whole long day was said by her, only.";
        let last = text.len() - "only.".len();
        let spans = [
            Span { range: 0..last - 1, start: 0, end: 4000 },
            Span { range: last..text.len(), start: 4500, end: 4750 },
        ];
        assert_eq!(
            captions_of(text, &spans, 0, &SubtitleOptions::default()),
            [
                "Everything that they could have said",
                "about it that whole long/day was said by her, only."
            ]
        );
    }

    #[test]
    fn slow_speech_is_cut_by_time() {
        let slow = captions("One, two, three, four, five, six.", 18, 0);
        assert_eq!(slow, ["One, two,", "three, four,", "five, six."]);
    }

    #[test]
    fn chinese_is_cut_after_clauses_and_not_before_punctuation() {
        let text = "今天天气很好，我们一起去公园散步，然后去吃了一顿很好的晚饭。";
        assert_eq!(
            captions(text, 6, 0),
            ["今天天气很好，我们一起去公园散步，/然后去吃了一顿很好的晚饭。"]
        );
        let unbroken = captions(&"好".repeat(50), 6, 0);
        assert!(unbroken.iter().all(|lines| lines.split('/').all(|line| line.len() <= 63)));
        assert_eq!(unbroken.concat().replace('/', ""), "好".repeat(50));
    }

    #[test]
    fn text_without_breaks_is_cut_between_graphemes() {
        let word = "e\u{301}".repeat(100);
        let cut = captions(&word, 6, 0);
        assert_eq!(cut.concat().replace('/', ""), word);
        let lines = || cut.iter().flat_map(|lines| lines.split('/'));
        assert!(lines().all(|line| line.starts_with('e')));
        assert!(lines().all(|line| line.chars().filter(|&c| c == 'e').count() <= 42));
        // A single grapheme wider than a line: a long sequence of leading consonants.
        let jamo = captions(&"\u{1100}".repeat(60), 6, 0);
        assert!(jamo.iter().flat_map(|lines| lines.split('/')).all(|l| l.chars().count() <= 21));
    }

    #[test]
    fn lines_are_as_many_and_as_wide_as_allowed() -> Result<(), crate::InvalidSubtitleOption> {
        let text = "It was a bright cold day in April, and the clocks were striking thirteen.";
        let options = SubtitleOptions::default().with_max_line_width(30)?.with_max_lines(3)?;
        assert_eq!(
            captions_with(text, 5, 0, &options),
            ["It was a bright cold day/in April, and the clocks/were striking thirteen."]
        );
        let options = SubtitleOptions::default().with_max_line_width(80)?.with_max_lines(1)?;
        assert_eq!(captions_with(text, 5, 0, &options), [text]);
        Ok(())
    }
}
