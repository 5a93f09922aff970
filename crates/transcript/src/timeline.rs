//! The times at which each part of a text is spoken.

use std::ops::Range;

use crate::text::MeasuredText;

/// Maximum time in milliseconds, ten thousand hours. No recording is that long.
const MAX_MS: f64 = 36_000_000_000.0;

/// Converts seconds to milliseconds. NaN and negative times become 0.
pub(crate) fn milliseconds(seconds: f64) -> u64 {
    // The cast turns NaN into 0.
    (seconds * 1000.0).round().clamp(0.0, MAX_MS) as u64
}

/// A part of a text and when it is spoken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// Bytes of the text, not empty.
    pub(crate) range: Range<usize>,
    /// Start in milliseconds.
    pub(crate) start: u64,
    /// End in milliseconds, not before `start`.
    pub(crate) end: u64,
}

/// Spans of text whose times are known, in order. Within a span, time is proportional to the width of
/// the text, because speaking a full-width character takes about as long as two letters.
#[derive(Debug)]
pub(crate) struct Timeline<'a> {
    text: &'a MeasuredText<'a>,
    spans: &'a [Span],
}

impl<'a> Timeline<'a> {
    /// Takes spans of `text` in order, both of bytes and of times.
    pub(crate) fn new(text: &'a MeasuredText<'a>, spans: &'a [Span]) -> Self {
        Self { text, spans }
    }

    /// Returns the time at which the text from `byte` on begins.
    pub(crate) fn start_at(&self, byte: usize) -> u64 {
        let next = self.spans.partition_point(|span| span.range.end <= byte);
        match self.spans.get(next) {
            Some(span) => self.time(span, byte.max(span.range.start)),
            None => self.spans.last().map_or(0, |span| span.end),
        }
    }

    /// Returns the time at which the text before `byte` ends.
    pub(crate) fn end_at(&self, byte: usize) -> u64 {
        let next = self.spans.partition_point(|span| span.range.start < byte);
        match next.checked_sub(1).and_then(|last| self.spans.get(last)) {
            Some(span) => self.time(span, byte.min(span.range.end)),
            None => self.spans.first().map_or(0, |span| span.start),
        }
    }

    fn time(&self, span: &Span, byte: usize) -> u64 {
        let spoken = self.text.width(span.range.start..byte) as u64;
        let all = self.text.width(span.range.clone()).max(1) as u64;
        span.start + (span.end - span.start) * spoken / all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_within_a_span_is_proportional_to_width() {
        let text = MeasuredText::new("ab你好");
        let spans = [Span { range: 0..8, start: 1000, end: 5000 }];
        let timeline = Timeline::new(&text, &spans);
        assert_eq!((timeline.start_at(0), timeline.end_at(2)), (1000, 2333));
        assert_eq!((timeline.start_at(5), timeline.end_at(8)), (3666, 5000));
    }

    #[test]
    fn what_is_between_spans_takes_no_time() {
        let text = MeasuredText::new("“Hello,” she said.");
        let word = |word: &str, start, end| {
            let at = text.text().find(word).unwrap_or_default();
            Span { range: at..at + word.len(), start, end }
        };
        let spans = [word("Hello", 1500, 2000), word("she", 3000, 3250), word("said", 3250, 4000)];
        let timeline = Timeline::new(&text, &spans);
        let she = text.text().find("she").unwrap_or_default();
        assert_eq!((timeline.start_at(0), timeline.end_at(she - 1)), (1500, 2000));
        assert_eq!((timeline.start_at(she), timeline.end_at(text.text().len())), (3000, 4000));
        assert_eq!(Timeline::new(&text, &[]).end_at(3), 0);
    }

    #[test]
    fn seconds_become_milliseconds() {
        assert_eq!(milliseconds(1.2345), 1235);
        assert_eq!(milliseconds(f64::NAN), 0);
        assert_eq!(milliseconds(-1.0), 0);
        assert_eq!(milliseconds(f64::INFINITY), 36_000_000_000);
    }
}
