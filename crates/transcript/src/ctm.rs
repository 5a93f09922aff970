//! Renders CTM (NIST, as sclite reads it): the words with their times and confidences.

use std::fmt::Write;

use crate::{
    Transcript, names::Channels, number, punctuation, recording_name, tokens::Token,
    utterances::utterances,
};

pub(crate) fn render(transcript: &Transcript) -> String {
    let channels = Channels::new(transcript);
    let mut words: Vec<(u64, Token, String)> = Vec::new();
    for utterance in utterances(&transcript.segments) {
        let channel = channels.nist_number(utterance.segment);
        let of_turn = utterance.tokens.into_iter().filter_map(|token| {
            let word = word(&token.content)?;
            Some((channel, token, word))
        });
        words.extend(of_turn);
    }
    // The format asks for the order of the channels' names as text, then of the times.
    words.sort_by_key(|(channel, token, _)| (channel.to_string(), token.start));
    let file = recording_name::file_id(&transcript.source.uri);
    let mut ctm = String::new();
    for (channel, token, word) in words {
        let start = number::seconds(token.start);
        let duration = number::seconds(token.end - token.start);
        let confidence = number::rounded_probability(token.confidence);
        let _infallible =
            writeln!(ctm, "{file} {channel} {start} {duration} {word} {confidence:.4}");
    }
    ctm
}

/// Returns a word as CTM allows it: without white space and `;;`, which begins a comment. `None` if it
/// is punctuation.
fn word(content: &str) -> Option<String> {
    let word = content.trim_matches(|c: char| punctuation::is_mark(c) || c.is_whitespace());
    let mut word = word.replace(char::is_whitespace, "_");
    while word.contains(";;") {
        word = word.replace(";;", ";");
    }
    // Reserved in references, for alternatives.
    if matches!(word.as_str(), "<ALT_BEGIN>" | "<ALT>" | "<ALT_END>") {
        word = word.trim_matches(['<', '>']).to_owned();
    }
    (!word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_field_without_punctuation() {
        for (content, expected) in [
            ("Hi", Some("Hi")),
            ("“No", Some("No")),
            ("New\u{a0}York", Some("New_York")),
            ("a;;;b", Some("a;b")),
            ("<ALT>", Some("ALT")),
            ("don't", Some("don't")),
            ("5%", Some("5%")),
            ("th-", Some("th-")),
            ("…", None),
            ("", None),
        ] {
            assert_eq!(word(content).as_deref(), expected, "{content}");
        }
    }
}
