//! Joins what one person says without a long pause, over the borders of segments: the text of which cues
//! are made. A sentence that runs over two segments is one sentence.

use crate::{
    Segment, text,
    timeline::{Span, milliseconds},
    words::{self, PlacedWord},
};

/// Pause in milliseconds that ends a passage. Whisper's segments cover none that is longer.
const LONGEST_PAUSE_MS: u64 = 2000;
/// Time in milliseconds by which two segments of one speaker may overlap and still be one passage: the
/// times of recognizers are not more exact.
const OVERLAP_MS: u64 = 200;

/// What one speaker says without a long pause.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Passage {
    /// The speaker's id, if speakers are distinguished.
    pub(crate) speaker: Option<u32>,
    /// Index of the first segment.
    pub(crate) segment: usize,
    /// Code of the language, if known.
    pub(crate) language: Option<String>,
    /// Text on one line, visible.
    pub(crate) text: String,
    /// Parts of the text whose times are known, in order.
    pub(crate) spans: Vec<Span>,
    /// Bytes of the text at which a segment begins after another one, in order.
    pub(crate) borders: Vec<usize>,
}

/// Returns the passages of the segments with these indices, which are all of one channel.
pub(crate) fn passages(segments: &[Segment], indices: &[usize]) -> Vec<Passage> {
    let mut ordered: Vec<usize> = indices.to_vec();
    ordered.sort_by_key(|&index| segments.get(index).map(|segment| milliseconds(segment.start)));
    let mut passages: Vec<Passage> = Vec::new();
    for index in ordered {
        let Some(segment) = segments.get(index) else { continue };
        for piece in pieces(segment, index) {
            match passages.last_mut().filter(|last| last.continues_with(&piece)) {
                Some(last) => last.append(piece, index),
                None => passages.push(piece),
            }
        }
    }
    passages
}

impl Passage {
    fn end(&self) -> u64 {
        self.spans.last().map_or(0, |span| span.end)
    }

    fn continues_with(&self, next: &Self) -> bool {
        let start = next.spans.first().map_or(0, |span| span.start);
        self.speaker == next.speaker
            && self.language == next.language
            && start < self.end() + LONGEST_PAUSE_MS
            && start + OVERLAP_MS >= self.end()
    }

    fn append(&mut self, next: Self, segment: usize) {
        self.text.push_str(text::separator(&self.text, &next.text));
        let offset = self.text.len();
        self.text.push_str(&next.text);
        let mut time = self.end();
        for Span { range, start, end } in next.spans {
            let start = start.max(time);
            time = end.max(start);
            let range = range.start + offset..range.end + offset;
            self.spans.push(Span { range, start, end: time });
        }
        if segment != self.segment {
            self.borders.push(offset);
        }
    }
}

/// Divides a segment where the speaker changes. Each piece is a passage of its own.
fn pieces(segment: &Segment, index: usize) -> Vec<Passage> {
    let clean = text::clean(&segment.text);
    if clean.is_empty() {
        return Vec::new();
    }
    let piece = |speaker, text: &str, spans| Passage {
        speaker,
        segment: index,
        language: segment.language.clone(),
        text: text.to_owned(),
        spans,
        borders: Vec::new(),
    };
    let start = milliseconds(segment.start);
    let whole = Span { range: 0..clean.len(), start, end: milliseconds(segment.end).max(start) };
    // Words of another text than the segment's tell neither times nor speakers.
    let Some(placed) = words::place(&segment.words, &clean) else {
        return vec![piece(segment.speaker, &clean, vec![whole])];
    };
    let spans = word_spans(&placed, &whole);
    let mut begins = words::beginnings(&placed, &clean);
    begins.push(clean.len());
    let speaker = |word: &PlacedWord<'_>| word.word.speaker.or(segment.speaker);
    let mut first = 0;
    let mut pieces = Vec::new();
    for run in placed.chunk_by(|a, b| speaker(a) == speaker(b)) {
        let (from, to) = (begins[first], begins[first + run.len()]);
        let text = clean[from..to].trim();
        let from = to - clean[from..to].trim_start().len();
        let spans = spans[first..first + run.len()].iter();
        let moved = |span: &Span| Span {
            range: span.range.start - from..span.range.end - from,
            ..span.clone()
        };
        pieces.push(piece(run.first().and_then(speaker), text, spans.map(moved).collect()));
        first += run.len();
    }
    pieces
}

/// Returns the times of the words, kept in order and inside the segment.
fn word_spans(placed: &[PlacedWord<'_>], whole: &Span) -> Vec<Span> {
    let mut time = whole.start;
    let spans = placed.iter().map(|PlacedWord { range, word }| {
        let start = milliseconds(word.start).clamp(time, whole.end);
        let end = milliseconds(word.end).clamp(start, whole.end);
        time = end;
        Span { range: range.clone(), start, end }
    });
    spans.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Word;

    /// A segment whose words are each `(start, end, text, speaker)`.
    fn segment(text: &str, words: &[(f64, f64, &str, Option<u32>)]) -> Segment {
        let words = words.iter().map(|&(start, end, text, speaker)| Word {
            start,
            end,
            text: text.to_owned(),
            speaker,
            ..Word::default()
        });
        let (start, end, text) = (1.0, 5.0, text.to_owned());
        Segment { start, end, text, words: words.collect(), ..Segment::default() }
    }

    fn all(segments: &[Segment]) -> Vec<Passage> {
        passages(segments, &(0..segments.len()).collect::<Vec<_>>())
    }

    fn texts(segments: &[Segment]) -> Vec<String> {
        all(segments).into_iter().map(|passage| passage.text).collect()
    }

    #[test]
    fn segments_are_joined_over_short_pauses() {
        let at = |start, end, text| Segment { start, end, ..segment(text, &[]) };
        let mut segments = [
            at(0.0, 2.0, "how much there might be in"),
            at(2.5, 4.0, "his power."),
            at(6.0, 7.0, "He"),
        ];
        let joined = ["how much there might be in his power.", "He"];
        assert_eq!(texts(&segments), joined);
        assert_eq!(all(&segments)[0].borders, [27]);
        let spans: Vec<_> = all(&segments)[0].spans.iter().map(|s| (s.start, s.end)).collect();
        assert_eq!(spans, [(0, 2000), (2500, 4000)]);
        // Another language or speaker, and segments that overlap by much, stand apart.
        segments[1].language = Some("de".to_owned());
        assert_eq!(texts(&segments).len(), 3);
        segments[1].language = None;
        segments[1].speaker = Some(1);
        assert_eq!(texts(&segments).len(), 3);
        segments[1].speaker = None;
        segments[1].start = 1.7;
        assert_eq!(texts(&segments).len(), 3);
        // They come in order of time, not in that of the list.
        segments.reverse();
        assert_eq!(texts(&segments).last().map(String::as_str), Some("He"));
        let chinese = [at(0.0, 1.0, "今天天气"), at(1.0, 2.0, "很好。")];
        assert_eq!(texts(&chinese), ["今天天气很好。"]);
    }

    #[test]
    fn a_segment_is_divided_where_the_speaker_changes() {
        let mut segment = segment(
            "Yes, “really?” No.",
            &[(1.0, 1.5, "Yes", None), (2.0, 3.0, "really", Some(1)), (3.0, 4.0, "No", None)],
        );
        segment.speaker = Some(0);
        let found: Vec<_> = all(&[segment])
            .into_iter()
            .map(|p| (p.speaker, p.text, p.spans[0].range.clone(), p.spans[0].start))
            .collect();
        let expected = [
            (Some(0), "Yes,".to_owned(), 0..3, 1000),
            (Some(1), "“really?”".to_owned(), 3..9, 2000),
            (Some(0), "No.".to_owned(), 0..2, 3000),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn words_of_another_text_are_not_used() {
        for words in [
            &[(1.5, 2.0, "Goodbye", None)][..],
            &[(1.5, 2.0, "Hello", None)],
            &[(1.5, 2.0, "Hello", None), (2.0, 3.0, "world", Some(1)), (3.0, 4.0, "again", None)],
        ] {
            let found = all(&[segment("Hello world", words)]);
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].spans, [Span { range: 0..11, start: 1000, end: 5000 }]);
        }
    }

    #[test]
    fn invalid_times_are_kept_inside_the_segment_and_in_order() {
        let (nan, minus) = (f64::NAN, f64::NEG_INFINITY);
        let words = [(nan, 9e99, "a", None), (-3.0, minus, "b", None), (2.0, 1.0, "c", None)];
        let found = all(&[segment("a b c", &words)]);
        let times: Vec<u64> =
            found[0].spans.iter().flat_map(|span| [span.start, span.end]).collect();
        assert!(times.is_sorted() && times.iter().all(|time| (1000..=5000).contains(time)));
    }
}
