//! The data block of the page: times and confidences, in the order of the units in the page. It has no text of the
//! transcript but the names of people and of files.

use serde_json::{Value, json};

use super::{escape::escape_json, people::People, units::Unit};
use crate::Transcript;

/// Returns the data as JSON for a `script` element.
pub(super) fn render(
    transcript: &Transcript,
    file_name: &str,
    people: &People,
    units: &[Unit<'_>],
) -> String {
    let people: Vec<Value> = people
        .list()
        .iter()
        .map(|person| json!({ "id": person.id, "name": person.name, "named": person.is_named }))
        .collect();
    let data = json!({
        // Equal for equal transcripts: the reader's names are kept under it.
        "identity": format!("{} {}", transcript.pipeline.fingerprint, transcript.source.etag),
        "recording": file_name,
        "people": people,
        "units": units.iter().map(unit).collect::<Vec<_>>(),
    });
    escape_json(&data.to_string())
}

/// Returns `[start, end, percent, words]`, times in milliseconds. Words are one flat array of five numbers each: where
/// the word begins and how long it is in UTF-16 units, as JavaScript counts; its start, in milliseconds after the unit's;
/// its duration; and its confidence in percent.
fn unit(unit: &Unit<'_>) -> Value {
    let mut words: Vec<u64> = Vec::with_capacity(unit.words.len() * 5);
    let (mut byte, mut offset) = (0, 0);
    for word in &unit.words {
        offset += utf16_length(&unit.text[byte..word.range.start]);
        let length = utf16_length(&unit.text[word.range.clone()]);
        let start = word.start.saturating_sub(unit.start);
        words.extend([offset, length, start, word.end - word.start, percent(word.confidence)]);
        (byte, offset) = (word.range.end, offset + length);
    }
    json!([unit.start, unit.end, percent(unit.confidence), words])
}

fn utf16_length(text: &str) -> u64 {
    text.chars().map(|c| c.len_utf16() as u64).sum()
}

/// NaN becomes 0.
fn percent(confidence: f32) -> u64 {
    // The cast turns NaN into 0.
    (confidence.clamp(0.0, 1.0) * 100.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::html::units::UnitWord;

    #[test]
    fn places_of_words_are_counted_in_utf16() {
        let text = "👩 é ok".to_owned();
        let word = |range: std::ops::Range<usize>, start: u64, confidence| UnitWord {
            range,
            start,
            end: start + 200,
            confidence,
        };
        let words =
            vec![word(0..4, 1000, 0.5), word(5..7, 1300, f32::NAN), word(8..10, 1600, 0.996)];
        let unit = Unit {
            start: 1000,
            end: 2000,
            person: None,
            language: None,
            text,
            note: None,
            confidence: 0.25,
            words,
        };
        let expected =
            json!([1000, 2000, 25, [0, 2, 0, 200, 50, 3, 1, 300, 200, 0, 5, 2, 600, 200, 100]]);
        assert_eq!(super::unit(&unit), expected);
    }
}
