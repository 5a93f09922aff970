//! The times at which each part of a segment's text is spoken.

use crate::{
    Segment, Word,
    text::MeasuredText,
    words::{self, PlacedWord},
};

/// Maximum time in milliseconds, ten thousand hours. No recording is that long.
const MAX_MS: f64 = 36_000_000_000.0;

/// Converts seconds to milliseconds. NaN and negative times become 0.
pub(crate) fn milliseconds(seconds: f64) -> u64 {
    // The cast turns NaN into 0.
    (seconds * 1000.0).round().clamp(0.0, MAX_MS) as u64
}

/// Spans of text whose times are known, in order. Within a span, time is proportional to the width of
/// the text, because speaking a full-width character takes about as long as two letters.
#[derive(Debug)]
pub(crate) struct Timeline<'a> {
    text: &'a MeasuredText<'a>,
    spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    /// First byte of the text.
    from: usize,
    /// Byte after the end of the text.
    to: usize,
    /// Start in milliseconds.
    start: u64,
    /// End in milliseconds.
    end: u64,
}

impl<'a> Timeline<'a> {
    /// Takes the times of the segment's words if they match `text`, the segment's cleaned text, else
    /// only its start and end.
    pub(crate) fn new(segment: &Segment, text: &'a MeasuredText<'a>) -> Self {
        let start = milliseconds(segment.start);
        let whole = Span {
            from: 0,
            to: text.text().len(),
            start,
            end: milliseconds(segment.end).max(start),
        };
        let spans = word_spans(&segment.words, text.text(), whole).unwrap_or_else(|| vec![whole]);
        Self { text, spans }
    }

    /// Returns the time at which the text from `byte` on begins.
    pub(crate) fn start_at(&self, byte: usize) -> u64 {
        let next = self.spans.partition_point(|span| span.to <= byte);
        match self.spans.get(next) {
            Some(span) => self.time(span, byte.max(span.from)),
            None => self.spans.last().map_or(0, |span| span.end),
        }
    }

    /// Returns the time at which the text before `byte` ends.
    pub(crate) fn end_at(&self, byte: usize) -> u64 {
        let next = self.spans.partition_point(|span| span.from < byte);
        match next.checked_sub(1) {
            Some(last) => self.time(&self.spans[last], byte.min(self.spans[last].to)),
            None => self.spans.first().map_or(0, |span| span.start),
        }
    }

    fn time(&self, span: &Span, byte: usize) -> u64 {
        let spoken = self.text.width(span.from..byte) as u64;
        let all = self.text.width(span.from..span.to).max(1) as u64;
        span.start + (span.end - span.start) * spoken / all
    }
}

/// Returns the times of the words, kept in order and inside the segment. Returns `None` if there are no
/// words or the text differs from them.
fn word_spans(words: &[Word], text: &str, whole: Span) -> Option<Vec<Span>> {
    let mut time = whole.start;
    let spans = words::place(words, text)?.into_iter().map(|PlacedWord { range, word }| {
        let start = milliseconds(word.start).clamp(time, whole.end);
        let end = milliseconds(word.end).clamp(start, whole.end);
        time = end;
        Span { from: range.start, to: range.end, start, end }
    });
    Some(spans.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(text: &str, words: &[(f64, f64, &str)]) -> Segment {
        Segment {
            start: 1.0,
            end: 5.0,
            text: text.to_owned(),
            confidence: 1.0,
            words: words
                .iter()
                .map(|&(start, end, text)| Word {
                    start,
                    end,
                    text: text.to_owned(),
                    ..Word::default()
                })
                .collect(),
            ..Segment::default()
        }
    }

    #[test]
    fn without_words_time_is_proportional_to_width() {
        let text = MeasuredText::new("ab你好");
        let timeline = Timeline::new(&segment(text.text(), &[]), &text);
        assert_eq!((timeline.start_at(0), timeline.end_at(2)), (1000, 2333));
        assert_eq!((timeline.start_at(5), timeline.end_at(8)), (3666, 5000));
    }

    #[test]
    fn words_give_the_times_and_include_their_punctuation() {
        let text = MeasuredText::new("“Hello,” she said.");
        let words = [(1.5, 2.0, " Hello"), (3.0, 3.25, " she"), (3.25, 4.0, " said.")];
        let timeline = Timeline::new(&segment(text.text(), &words), &text);
        let she = text.text().find("she").unwrap_or_default();
        assert_eq!((timeline.start_at(0), timeline.end_at(she - 1)), (1500, 2000));
        assert_eq!((timeline.start_at(she), timeline.end_at(text.text().len())), (3000, 4000));
    }

    #[test]
    fn words_of_another_text_are_not_used() {
        for words in [
            &[(1.5, 2.0, "Goodbye")][..],
            &[(1.5, 2.0, "Hello")],
            &[(1.5, 2.0, "Hello"), (2.0, 3.0, "world"), (3.0, 4.0, "again")],
        ] {
            let text = MeasuredText::new("Hello world");
            let timeline = Timeline::new(&segment(text.text(), words), &text);
            assert_eq!((timeline.start_at(0), timeline.end_at(11)), (1000, 5000), "{words:?}");
        }
    }

    #[test]
    fn invalid_times_are_kept_inside_the_segment_and_in_order() {
        let text = MeasuredText::new("a b c");
        let words = [(f64::NAN, 9e99, "a"), (-3.0, f64::NEG_INFINITY, "b"), (2.0, 1.0, "c")];
        let timeline = Timeline::new(&segment(text.text(), &words), &text);
        let times: Vec<u64> = [0, 2, 4].map(|byte| timeline.start_at(byte)).to_vec();
        assert!(times.is_sorted() && times.iter().all(|time| (1000..=5000).contains(time)));
        assert_eq!(milliseconds(f64::NAN), 0);
        assert_eq!(milliseconds(f64::INFINITY), 36_000_000_000);
    }
}
