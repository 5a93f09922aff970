//! Turns recognized hypotheses into the segments of a transcript: sentences, where a model of the
//! pipeline adds the punctuation.

use std::mem;

use transcript::{Segment, Word};

use super::{Error, Session};
use crate::{
    itn::Normalizer,
    punctuation::{self, PunctuationMark, PunctuationStyle, Punctuator},
    window::LONG_PAUSE,
};

/// Adds punctuation and digits to the words of a channel, once all of them are known.
pub(super) struct SentenceBuilder<'a> {
    pub(super) punctuator: Option<&'a Punctuator>,
    pub(super) normalizer: Option<&'a Normalizer>,
    pub(super) session: &'a Session,
}

impl SentenceBuilder<'_> {
    /// Turns recognized segments, in order of start, into the segments of a transcript.
    ///
    /// With a punctuation model, the whole text is punctuated and then split into sentences by the
    /// times of its words. (FunASR's `timestamp_sentence` also splits at commas; whole sentences are
    /// easier to read.) Numbers become digits last.
    ///
    /// Recognizers without punctuation of their own return words. If a segment has text but no
    /// words, segments stay as recognized, because it is unknown when a sentence within it ends.
    pub(super) fn build(&self, mut segments: Vec<Segment>) -> Result<Vec<Segment>, Error> {
        let timed = |segment: &Segment| segment.text.is_empty() || !segment.words.is_empty();
        let check = || self.session.check();
        if let Some(punctuator) = self.punctuator
            && segments.iter().all(timed)
        {
            let words: Vec<&str> =
                segments.iter().flat_map(|s| &s.words).map(|word| word.text.as_str()).collect();
            let marks = punctuator.punctuate_while(&words, check)?;
            return sentences(segments, &marks, self.normalizer, check);
        }
        if let Some(normalizer) = self.normalizer {
            for segment in &mut segments {
                check()?;
                segment.text = normalizer.normalize(&segment.text);
                let marks = vec![PunctuationMark::None; segment.words.len()];
                (segment.words, _) = rewrite(mem::take(&mut segment.words), marks, normalizer);
            }
        }
        Ok(segments)
    }
}

/// Replaces spoken numbers and the like by their written form. `marks`: the punctuation after each
/// word; marks within a replaced span are dropped.
fn rewrite(
    words: Vec<Word>,
    marks: Vec<PunctuationMark>,
    normalizer: &Normalizer,
) -> (Vec<Word>, Vec<PunctuationMark>) {
    let mut rewrites = Vec::new();
    let mut start = 0;
    for (index, mark) in marks.iter().enumerate() {
        if *mark != PunctuationMark::None || index + 1 == marks.len() {
            let clause: Vec<&str> = words[start..=index].iter().map(|w| w.text.as_str()).collect();
            let shifted = normalizer.rewrite(&clause).into_iter().map(|rewrite| {
                (rewrite.words.start + start..rewrite.words.end + start, rewrite.text)
            });
            rewrites.extend(shifted);
            start = index + 1;
        }
    }
    let (mut written, mut written_marks) = (Vec::new(), Vec::new());
    let mut rewrites = rewrites.into_iter().peekable();
    let mut index = 0;
    while index < words.len() {
        match rewrites.next_if(|(range, _)| range.start == index) {
            Some((range, text)) => {
                let replaced = &words[range.clone()];
                written.push(Word {
                    start: replaced[0].start,
                    end: replaced[replaced.len() - 1].end,
                    text,
                    confidence: geometric_mean(replaced),
                    ..Word::default()
                });
                written_marks.push(marks[range.end - 1]);
                index = range.end;
            }
            None => {
                written.push(words[index].clone());
                written_marks.push(marks[index]);
                index += 1;
            }
        }
    }
    (written, written_marks)
}

/// Returns the geometric mean of the words' confidences, as a segment's confidence is the geometric
/// mean of its tokens' probabilities. Returns `None` if a word has no confidence.
pub(super) fn geometric_mean(words: &[Word]) -> Option<f32> {
    let mut sum = 0.0;
    for word in words {
        sum += word.confidence?.max(f32::MIN_POSITIVE).ln();
    }
    Some((sum / words.len().max(1) as f32).exp())
}

/// Splits segments into sentences. `marks`: the punctuation after each word of all segments.
fn sentences(
    segments: Vec<Segment>,
    marks: &[PunctuationMark],
    normalizer: Option<&Normalizer>,
    check: impl Fn() -> Result<(), Error>,
) -> Result<Vec<Segment>, Error> {
    let finish = |sentence: Sentence| sentence.finish(normalizer);
    let mut sentences = Vec::new();
    let mut open: Option<Sentence> = None;
    let mut marks = marks.iter().copied();
    for segment in segments {
        check()?;
        // A segment without words is an event.
        if segment.words.is_empty() {
            sentences.push(segment);
            continue;
        }
        let attributes = Segment { words: Vec::new(), text: String::new(), ..segment };
        for word in segment.words {
            let mark = marks.next().unwrap_or_default();
            let sentence = match open.take() {
                Some(sentence) if sentence.accepts(&attributes, &word) => open.insert(sentence),
                ended => {
                    sentences.extend(ended.map(finish));
                    open.insert(Sentence::new(&attributes))
                }
            };
            sentence.push(word, mark);
            if mark.ends_sentence() {
                sentences.extend(open.take().map(finish));
            }
        }
    }
    sentences.extend(open.map(finish));
    Ok(sentences)
}

/// A segment of the transcript while words are added to it.
struct Sentence {
    /// Language, emotion, event and confidence: those of the recognized segment where it starts.
    attributes: Segment,
    words: Vec<Word>,
    marks: Vec<PunctuationMark>,
}

impl Sentence {
    fn new(attributes: &Segment) -> Self {
        Self { attributes: attributes.clone(), words: Vec::new(), marks: Vec::new() }
    }

    /// Returns whether `word`, from a segment with `attributes`, continues the sentence.
    fn accepts(&self, attributes: &Segment, word: &Word) -> bool {
        let same = |of: fn(&Segment) -> &Option<String>| of(&self.attributes) == of(attributes);
        let end = self.words.last().map_or(word.start, |last| last.end);
        same(|s| &s.language)
            && same(|s| &s.emotion)
            && same(|s| &s.event)
            && word.start - end <= LONG_PAUSE
    }

    fn push(&mut self, word: Word, mark: PunctuationMark) {
        self.words.push(word);
        self.marks.push(mark);
    }

    fn finish(self, normalizer: Option<&Normalizer>) -> Segment {
        let confidence = geometric_mean(&self.words).unwrap_or(self.attributes.confidence);
        let (words, marks) = match normalizer {
            Some(normalizer) => rewrite(self.words, self.marks, normalizer),
            None => (self.words, self.marks),
        };
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        let style = PunctuationStyle::of(self.attributes.language.as_deref(), &texts);
        let text = punctuation::join(&texts, &marks, style);
        Segment {
            start: words.first().map_or(self.attributes.start, |word| word.start),
            end: words.last().map_or(self.attributes.end, |word| word.end),
            text,
            confidence,
            words,
            ..self.attributes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(start: f64, text: &str, confidence: f32) -> Word {
        let (end, text) = (start + 0.4, text.to_owned());
        Word { start, end, text, confidence: Some(confidence), ..Word::default() }
    }

    fn segment(language: &str, words: Vec<Word>) -> Segment {
        Segment {
            start: 0.0,
            end: 99.0,
            language: Some(language.to_owned()),
            text: "as recognized".to_owned(),
            confidence: 0.9,
            words,
            ..Segment::default()
        }
    }

    fn texts(segments: &[Segment]) -> Vec<&str> {
        segments.iter().map(|segment| segment.text.as_str()).collect()
    }

    #[test]
    fn sentences_span_several_segments() {
        let segments = vec![
            segment("en", vec![word(0.0, "yes", 1.0), word(0.5, "i", 0.25), word(1.0, "do", 1.0)]),
            segment("en", vec![word(2.0, "hear", 1.0), word(2.5, "you", 1.0)]),
        ];
        let marks = [
            PunctuationMark::Period,
            PunctuationMark::None,
            PunctuationMark::None,
            PunctuationMark::None,
            PunctuationMark::Question,
        ];
        let sentences = sentences(segments, &marks, None, || Ok(())).unwrap();
        assert_eq!(texts(&sentences), ["Yes.", "I do hear you?"]);
        assert_eq!((sentences[1].start, sentences[1].end), (0.5, 2.9));
        assert_eq!(sentences[1].words.len(), 4);
        assert!((sentences[1].confidence - 0.25_f32.powf(0.25)).abs() < 1e-6);
    }

    #[test]
    fn a_long_pause_or_another_language_ends_a_segment() {
        let segments = vec![
            segment("zh", vec![word(0.0, "你", 1.0), word(3.0, "好", 1.0)]),
            segment("en", vec![word(3.5, "well", 1.0)]),
        ];
        let marks = [PunctuationMark::Comma, PunctuationMark::None, PunctuationMark::Period];
        assert_eq!(
            texts(&sentences(segments, &marks, None, || Ok(())).unwrap()),
            ["你，", "好", "Well."]
        );
        assert_eq!(sentences(Vec::new(), &[], None, || Ok(())).unwrap(), []);
    }

    #[test]
    fn events_between_words_are_kept() {
        let event = Segment { event: Some("laughter".to_owned()), ..Segment::default() };
        let segments = vec![
            segment("zh", vec![word(0.0, "你", 1.0)]),
            event.clone(),
            segment("zh", vec![word(0.5, "好", 1.0)]),
        ];
        let found =
            sentences(segments, &[PunctuationMark::None, PunctuationMark::Period], None, || Ok(()))
                .unwrap();
        assert!(found.contains(&event), "{found:?}");
        assert!(texts(&found).contains(&"你好。"), "{found:?}");
    }
}
