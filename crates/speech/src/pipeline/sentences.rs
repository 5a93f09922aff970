//! From what was recognized, stretch by stretch, to the segments of a transcript: sentences where
//! marks are set here, each with who said it.

use std::collections::HashMap;

use transcript::{Segment, Word};

use super::{Control, Error};
use crate::{
    itn::Normalizer,
    punctuation::{self, PunctuationMark, PunctuationStyle, Punctuator},
    recognizer::Hypothesis,
    speakers::{self, Turn},
    window::Window,
};

/// A pause of so many seconds ends a segment even where no sentence ends: nobody wants to read on
/// the screen what is said after it.
const LONG_PAUSE: f64 = 2.0;

/// A hypothesis at its place in the recording; `None` if it holds neither text nor an event.
pub(super) fn place(
    hypothesis: Hypothesis,
    window: &Window,
    language: Option<String>,
) -> Option<Segment> {
    let text = hypothesis.text.trim();
    if text.is_empty() && hypothesis.event.is_none() {
        return None;
    }
    let (start, end) = window.to_recording(hypothesis.start, hypothesis.end);
    let words = hypothesis.words.iter().map(|word| {
        let (start, end) = window.to_recording(word.start, word.end);
        Word {
            start: milliseconds(start),
            end: milliseconds(end),
            text: word.text.clone(),
            confidence: Some(word.log_probability.exp().clamp(0.0, 1.0)),
            speaker: None,
        }
    });
    Some(Segment {
        start: milliseconds(start),
        end: milliseconds(end),
        language,
        text: text.to_owned(),
        confidence: hypothesis.log_probability.exp().clamp(0.0, 1.0),
        words: words.collect(),
        emotion: hypothesis.emotion,
        event: hypothesis.event,
        ..Segment::default()
    })
}

/// Rounds seconds to what the clocks of recognizers are worth.
fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// What is done to the words of a channel once all are there.
pub(super) struct Finisher<'a> {
    pub(super) punctuator: Option<&'a Punctuator>,
    pub(super) normalizer: Option<&'a Normalizer>,
    pub(super) control: &'a Control,
}

impl Finisher<'_> {
    /// `segments` in order of start. With a punctuation model, marks are set over the whole text,
    /// which is cut into sentences by the words' times. (FunASR's `timestamp_sentence` cuts at
    /// commas, too; readers are better served by sentences.) Last, numbers become digits.
    ///
    /// Recognizers that set no marks of their own give words. Were there text without, it would be
    /// left as it is: nobody knows when a sentence inside of it ends.
    pub(super) fn finish(&self, mut segments: Vec<Segment>) -> Result<Vec<Segment>, Error> {
        let timed = |segment: &Segment| segment.text.is_empty() || !segment.words.is_empty();
        if let Some(punctuator) = self.punctuator
            && segments.iter().all(timed)
        {
            let words: Vec<&str> =
                segments.iter().flat_map(|s| &s.words).map(|word| word.text.as_str()).collect();
            let marks = punctuator.punctuate_while(&words, || self.go_on())?;
            return sentences(segments, &marks, self.normalizer, || self.go_on());
        }
        if let Some(normalizer) = self.normalizer {
            for segment in &mut segments {
                self.go_on()?;
                segment.text = normalizer.normalize(&segment.text);
                let marks = vec![PunctuationMark::None; segment.words.len()];
                (segment.words, _) = rewrite(std::mem::take(&mut segment.words), marks, normalizer);
            }
        }
        Ok(segments)
    }

    fn go_on(&self) -> Result<(), Error> {
        if self.control.is_interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Puts what is written in place of words; marks inside of that go.
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
    let (mut written, mut of_written) = (Vec::new(), Vec::new());
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
                    speaker: None,
                });
                of_written.push(marks[range.end - 1]);
                index = range.end;
            }
            None => {
                written.push(words[index].clone());
                of_written.push(marks[index]);
                index += 1;
            }
        }
    }
    (written, of_written)
}

/// Of the words' probabilities, as a segment's confidence is that of its tokens; `None` if there is
/// a word without one.
fn geometric_mean(words: &[Word]) -> Option<f32> {
    let mut sum = 0.0;
    for word in words {
        sum += word.confidence?.max(f32::MIN_POSITIVE).ln();
    }
    Some((sum / words.len().max(1) as f32).exp())
}

/// `marks`: one for each word of all segments.
fn sentences(
    segments: Vec<Segment>,
    marks: &[PunctuationMark],
    normalizer: Option<&Normalizer>,
    go_on: impl Fn() -> Result<(), Error>,
) -> Result<Vec<Segment>, Error> {
    let finish = |sentence: Sentence| sentence.finish(normalizer);
    let mut sentences = Vec::new();
    let mut open: Option<Sentence> = None;
    let mut marks = marks.iter().copied();
    for segment in segments {
        go_on()?;
        // An event without speech.
        if segment.words.is_empty() {
            sentences.push(segment);
            continue;
        }
        let kind = Segment { words: Vec::new(), text: String::new(), ..segment };
        for word in segment.words {
            let mark = marks.next().unwrap_or_default();
            let sentence = match open.take() {
                Some(sentence) if sentence.takes(&kind, &word) => open.insert(sentence),
                ended => {
                    sentences.extend(ended.map(finish));
                    open.insert(Sentence::new(&kind))
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

/// Words on their way to a segment of the transcript.
struct Sentence {
    /// Language, emotion, event, confidence of the segment where it began.
    kind: Segment,
    words: Vec<Word>,
    marks: Vec<PunctuationMark>,
}

impl Sentence {
    fn new(kind: &Segment) -> Self {
        Self { kind: kind.clone(), words: Vec::new(), marks: Vec::new() }
    }

    fn takes(&self, kind: &Segment, word: &Word) -> bool {
        let same = |of: fn(&Segment) -> &Option<String>| of(&self.kind) == of(kind);
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
        let confidence = geometric_mean(&self.words).unwrap_or(self.kind.confidence);
        let (words, marks) = match normalizer {
            Some(normalizer) => rewrite(self.words, self.marks, normalizer),
            None => (self.words, self.marks),
        };
        let texts: Vec<&str> = words.iter().map(|word| word.text.as_str()).collect();
        let style = PunctuationStyle::of(self.kind.language.as_deref(), &texts);
        let text = punctuation::join(&texts, &marks, style);
        Segment {
            start: words.first().map_or(self.kind.start, |word| word.start),
            end: words.last().map_or(self.kind.end, |word| word.end),
            text,
            confidence,
            words,
            ..self.kind
        }
    }
}

/// Says who speaks in each segment, and in each word where that is somebody else. Speakers are
/// numbered from `first`; returns how many there are.
pub(super) fn label(segments: &mut [Segment], turns: &[Turn], first: u32) -> u32 {
    let number = |speaker: usize| first + u32::try_from(speaker).unwrap_or(u32::MAX - first);
    let speaker = |start, end| speakers::dominant_speaker(turns, start, end).map(number);
    for segment in segments {
        segment.speaker = speaker(segment.start, segment.end);
        for word in &mut segment.words {
            word.speaker =
                speaker(word.start, word.end).filter(|&other| Some(other) != segment.speaker);
        }
    }
    turns.iter().map(|turn| number(turn.speaker) + 1 - first).max().unwrap_or(0)
}

/// Numbers the speakers of all channels from 0 by first appearance. `segments` in order of start.
pub(super) fn number_speakers(segments: &mut [Segment]) {
    let mut numbers = HashMap::new();
    let mut number = |speaker: &mut Option<u32>| {
        if let Some(speaker) = speaker {
            let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            *speaker = *numbers.entry(*speaker).or_insert(next);
        }
    };
    for segment in segments {
        number(&mut segment.speaker);
        segment.words.iter_mut().for_each(|word| number(&mut word.speaker));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(start: f64, text: &str, confidence: f32) -> Word {
        let (end, text) = (start + 0.4, text.to_owned());
        Word { start, end, text, confidence: Some(confidence), speaker: None }
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
    fn sentences_go_over_the_ends_of_segments() {
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
    fn a_long_pause_and_another_language_end_a_segment() {
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
    fn events_between_words_stay() {
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

    #[test]
    fn speakers_are_numbered_by_first_appearance() {
        let mut second = segment("en", vec![word(0.0, "w", 1.0)]);
        second.words[0].speaker = Some(2);
        let of = |speaker| Segment { speaker: Some(speaker), ..Segment::default() };
        let mut segments = vec![of(5), Segment { speaker: Some(0), ..second }, of(2), of(5)];
        number_speakers(&mut segments);
        let found: Vec<_> = segments.iter().map(|segment| segment.speaker).collect();
        assert_eq!(found, [Some(0), Some(1), Some(2), Some(0)]);
        assert_eq!(segments[1].words[0].speaker, Some(2));
    }

    #[test]
    fn words_name_their_speaker_only_where_it_is_another() {
        let turn = |start, end, speaker| Turn { start, end, speaker };
        let turns = [turn(0.0, 2.0, 0), turn(2.0, 2.6, 1)];
        let words = [0.0, 0.5, 1.0, 1.5, 2.1, 7.0].map(|start| word(start, "w", 1.0));
        let mut segments = vec![Segment { end: 2.5, ..segment("en", words.to_vec()) }];
        assert_eq!(label(&mut segments, &turns, 3), 2);
        assert_eq!(segments[0].speaker, Some(3));
        let of_words: Vec<_> = segments[0].words.iter().map(|word| word.speaker).collect();
        assert_eq!(of_words, [None, None, None, None, Some(4), None]);
        assert_eq!(label(&mut segments, &[], 0), 0);
        assert_eq!(segments[0].speaker, None);
    }
}
