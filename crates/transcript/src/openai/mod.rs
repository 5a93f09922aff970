//! Renders the JSON of Whisper: that of its command line (`whisper --output_format json`), and that of
//! OpenAI's API (`response_format=verbose_json`).
//!
//! Both have fields of the decoder that a transcript does not keep. They have the value of a decoder that
//! needed no second attempt: `tokens` is empty, `temperature` is 0. `no_speech_prob` is 0 where the model
//! gives none.
//!
//! Sources: `whisper/transcribe.py` and `whisper/utils.py` of <https://github.com/openai/whisper>, and
//! `CreateTranscriptionResponseVerboseJson` of <https://github.com/openai/openai-openapi>.

mod languages;

use std::io::Write;

use flate2::{Compression, write::ZlibEncoder};
use serde::Serialize;

use crate::{Segment, Transcript, number, text, timeline::milliseconds, tokens::tokens};

/// Smallest probability whose logarithm is written: JSON has no infinity.
const MIN_PROBABILITY: f64 = 1e-4;
/// Language of OpenAI's API where none is known: the field is not optional.
const UNKNOWN_LANGUAGE: &str = "unknown";

/// The object that Whisper's command line writes.
#[derive(Serialize)]
struct WhisperJson<'a> {
    text: String,
    segments: Vec<WhisperSegment>,
    /// Code; null if it is not known.
    language: Option<&'a str>,
}

#[derive(Serialize)]
struct VerboseJson<'a> {
    task: &'static str,
    /// Name in English, in lower case.
    language: &'a str,
    /// Seconds.
    duration: f64,
    text: String,
    segments: Vec<WhisperSegment>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    words: Vec<VerboseWord>,
}

#[derive(Serialize)]
struct WhisperSegment {
    id: usize,
    /// Start in frames of 10 ms.
    seek: u64,
    start: f64,
    end: f64,
    /// With a space before it, as all texts of Whisper have in scripts with spaces.
    text: String,
    tokens: [u32; 0],
    temperature: f64,
    avg_logprob: f64,
    compression_ratio: f64,
    no_speech_prob: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    words: Vec<WhisperWord>,
}

/// A word with its punctuation, and the space before it.
#[derive(Serialize)]
struct WhisperWord {
    word: String,
    start: f64,
    end: f64,
    probability: f64,
}

/// A word without punctuation.
#[derive(Serialize)]
struct VerboseWord {
    word: String,
    start: f64,
    end: f64,
}

pub(crate) fn whisper(transcript: &Transcript) -> String {
    let segments: Vec<_> = spoken(transcript)
        .map(|(id, segment, text)| {
            let words = words(segment, &text);
            WhisperSegment { words, ..whisper_segment(id, segment, &text) }
        })
        .collect();
    let text = segments.iter().map(|segment| segment.text.as_str()).collect();
    let language = transcript.language.as_deref();
    to_line(&WhisperJson { text, segments, language })
}

pub(crate) fn verbose(transcript: &Transcript) -> String {
    let mut words = Vec::new();
    for (_, segment, text) in spoken(transcript).filter(|(_, segment, _)| !segment.words.is_empty())
    {
        let tokens = tokens(segment, &text).into_iter().filter(|token| !token.content.is_empty());
        words.extend(tokens.map(|token| VerboseWord {
            word: token.content,
            start: seconds(token.start),
            end: seconds(token.end),
        }));
    }
    let language = transcript.language.as_deref();
    to_line(&VerboseJson {
        task: "transcribe",
        language: language.map_or(UNKNOWN_LANGUAGE, |code| languages::name(code).unwrap_or(code)),
        duration: seconds(milliseconds(transcript.source.duration)),
        text: text::join(spoken(transcript).map(|(_, _, text)| text)),
        segments: spoken(transcript)
            .map(|(id, segment, text)| whisper_segment(id, segment, &text))
            .collect(),
        words,
    })
}

/// Returns the segments with visible text: their numbers here, and their texts on one line.
fn spoken(transcript: &Transcript) -> impl Iterator<Item = (usize, &Segment, String)> {
    let texts = transcript.segments.iter().map(|segment| (segment, text::clean(&segment.text)));
    let spoken = texts.filter(|(_, text)| !text.is_empty());
    spoken.enumerate().map(|(id, (segment, text))| (id, segment, text))
}

fn whisper_segment(id: usize, segment: &Segment, text: &str) -> WhisperSegment {
    let start = milliseconds(segment.start);
    let confidence = number::rounded_probability(segment.confidence);
    WhisperSegment {
        id,
        seek: start / 10,
        start: seconds(start),
        end: seconds(milliseconds(segment.end).max(start)),
        text: spaced(text),
        tokens: [],
        temperature: 0.0,
        avg_logprob: rounded(confidence.max(MIN_PROBABILITY).ln()),
        compression_ratio: rounded(compression_ratio(text)),
        no_speech_prob: segment.no_speech_probability.map_or(0.0, number::rounded_probability),
        words: Vec::new(),
    }
}

/// Returns the words of a segment, which one after the other are its text; none if it has no words.
fn words(segment: &Segment, text: &str) -> Vec<WhisperWord> {
    if segment.words.is_empty() {
        return Vec::new();
    }
    let mut rest = text;
    let words = tokens(segment, text).into_iter().map(|token| {
        let word = format!("{}{}", token.content, token.closing);
        // Takes the word off the text, to see whether there is a space before it.
        let (is_first, after) = (rest.len() == text.len(), after_letters(rest, &word));
        let has_space = rest.starts_with(char::is_whitespace) || after.is_none();
        rest = after.unwrap_or(rest);
        WhisperWord {
            word: if is_first {
                spaced(&word)
            } else {
                [if has_space { " " } else { "" }, &word].concat()
            },
            start: seconds(token.start),
            end: seconds(token.end),
            probability: number::rounded_probability(token.confidence),
        }
    });
    words.collect()
}

/// Returns what follows `word` in `text`, which begins with it, apart from white space.
fn after_letters<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let mut rest = text;
    for letter in word.chars().filter(|c| !c.is_whitespace()) {
        rest = rest.trim_start().strip_prefix(letter)?;
    }
    Some(rest)
}

/// Puts a space before a text, but not before full-width characters: Chinese and Japanese have none.
fn spaced(text: &str) -> String {
    let first = text.chars().next().map_or(0, |c| text::width(c.encode_utf8(&mut [0; 4])));
    if first == 2 { text.to_owned() } else { format!(" {text}") }
}

/// Returns how much smaller zlib makes a text, as Whisper computes it. A repeated text has a high ratio.
fn compression_ratio(text: &str) -> f64 {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    compressed.map_or(1.0, |compressed| text.len() as f64 / compressed.len().max(1) as f64)
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

fn to_line(value: &impl Serialize) -> String {
    let mut json =
        serde_json::to_string(value).expect("strings and numbers can be written as JSON");
    json.push('\n');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Word;

    #[test]
    fn words_carry_the_space_before_them() {
        let written = |text: &str, words: &str| {
            let words =
                words.split('/').map(|word| Word { text: word.to_owned(), ..Word::default() });
            let segment = Segment { words: words.collect(), ..Segment::default() };
            super::words(&segment, text).into_iter().map(|word| word.word).collect::<Vec<_>>()
        };
        assert_eq!(
            written("Hi, twenty-one. Ok", "Hi/twenty/one/Ok"),
            [" Hi,", " twenty-", "one.", " Ok"]
        );
        assert_eq!(written("你好，world。", "你/好/world"), ["你", "好，", "world。"]);
        // Words of another text.
        assert_eq!(written("23, yes.", "twenty/three,/yes"), [" twenty", " three,", " yes"]);
    }

    #[test]
    fn repeated_text_compresses_well() {
        assert!(compression_ratio("Thank you for watching.") < 1.2);
        assert!(compression_ratio(&"Thank you for watching. ".repeat(20)) > 2.4);
    }
}
