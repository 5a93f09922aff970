//! The text of the page: units that belong together are a paragraph, with the time and the name of who speaks.

use std::{collections::HashSet, fmt::Write};

use super::{
    clock,
    escape::escape,
    people::{COLOURS, People},
    units::Unit,
};
use crate::text;

/// Silence in milliseconds after which a new paragraph begins, as in plain text.
const PARAGRAPH_PAUSE_MS: u64 = 2000;
/// Number of bytes after which a paragraph ends with its unit.
const LONG_PARAGRAPH: usize = 500;

/// Returns the paragraphs. Units are `span` elements of the class `s`, in the order of `units`.
pub(super) fn render(units: &[Unit<'_>], people: &People) -> String {
    if units.is_empty() {
        return "<p class=\"empty\">No speech was found in the recording.</p>\n".to_owned();
    }
    let mut html = String::new();
    let mut anchors = HashSet::new();
    let mut last_person = None;
    for paragraph in paragraphs(units) {
        let Some(first) = paragraph.first() else { continue };
        // Whoever goes on speaking is not named again.
        let name = (last_person != Some(first.person)).then_some(first.person).flatten();
        last_person = Some(first.person);
        open(&mut html, first, name, people);
        let mut before = "";
        for unit in paragraph {
            write_unit(&mut html, unit, before, &mut anchors);
            before = &unit.text;
        }
        html.push_str("</p></div>\n");
    }
    html
}

/// Divides the units where the person or the language changes, after a pause, and where a paragraph is long.
fn paragraphs<'u, 'a>(units: &'u [Unit<'a>]) -> Vec<&'u [Unit<'a>]> {
    let mut paragraphs = Vec::new();
    let (mut from, mut length, mut end) = (0, 0, 0);
    for (index, unit) in units.iter().enumerate() {
        let belongs = units.get(index.wrapping_sub(1)).is_some_and(|last| {
            (last.person, last.language) == (unit.person, unit.language)
                && unit.start <= end + PARAGRAPH_PAUSE_MS
                && length < LONG_PARAGRAPH
        });
        if !belongs {
            paragraphs.extend((from < index).then(|| &units[from..index]));
            (from, length, end) = (index, 0, 0);
        }
        length += unit.text.len();
        end = end.max(unit.end);
    }
    paragraphs.extend((from < units.len()).then(|| &units[from..]));
    paragraphs
}

// Writing to a string does not fail, so the results of `write!` are not used.

fn open(html: &mut String, first: &Unit<'_>, name: Option<usize>, people: &People) {
    let colour = first.person.map_or_else(String::new, |person| format!(" c{}", person % COLOURS));
    let person =
        first.person.map_or_else(String::new, |person| format!(" data-person=\"{person}\""));
    let _ = write!(html, "<div class=\"paragraph{colour}\"{person}><div class=\"who\">");
    if let Some(person) = name.and_then(|index| people.list().get(index)) {
        let name = escape(&person.name);
        let _ = write!(html, "<b class=\"name\" dir=\"auto\">{name}</b> ");
    }
    let (time, seconds) = (clock(first.start), seconds(first.start));
    let _ = write!(html, "<a class=\"time\" href=\"#t={seconds}\">{time}</a></div><p dir=\"auto\"");
    if let Some(language) = first.language {
        let _ = write!(html, " lang=\"{language}\"");
    }
    html.push('>');
}

fn write_unit(html: &mut String, unit: &Unit<'_>, before: &str, anchors: &mut HashSet<u64>) {
    if !before.is_empty() && text::are_apart(before, &unit.text) {
        html.push(' ');
    }
    if let (Some(note), false) = (&unit.note, unit.text.is_empty()) {
        let _ = write!(html, "<i class=\"note\">[{}]</i> ", escape(note));
    }
    html.push_str("<span class=\"s\"");
    // An anchor for links to this moment. Units of several channels may start together.
    if anchors.insert(unit.start) {
        let _ = write!(html, " id=\"t={}\"", seconds(unit.start));
    }
    match (&unit.note, unit.text.is_empty()) {
        (Some(note), true) => {
            let _ = write!(html, "><i class=\"note\">[{}]</i></span>", escape(note));
        }
        _ => {
            let _ = write!(html, ">{}</span>", escape(&unit.text));
        }
    }
}

/// Writes milliseconds as seconds with as many decimals as they need: `83`, `83.2`.
fn seconds(ms: u64) -> String {
    let seconds = format!("{}.{:03}", ms / 1000, ms % 1000);
    seconds.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(start: u64, person: Option<usize>, text: &str) -> Unit<'static> {
        Unit {
            start,
            end: start + 1000,
            person,
            language: None,
            text: text.to_owned(),
            note: None,
            confidence: 1.0,
            words: Vec::new(),
        }
    }

    #[test]
    fn a_paragraph_ends_with_its_person_at_a_pause_and_when_it_is_long() {
        let long = "a".repeat(LONG_PARAGRAPH);
        let units = [
            unit(0, Some(0), "a"),
            unit(1000, Some(0), "b"),
            unit(2000, Some(1), "c"),
            unit(5001, Some(1), "d"),
            unit(6000, Some(1), &long),
            unit(7000, Some(1), "e"),
        ];
        let lengths: Vec<usize> = paragraphs(&units).into_iter().map(<[_]>::len).collect();
        assert_eq!(lengths, [2, 1, 2, 1]);
        assert!(paragraphs(&[]).is_empty());
    }

    #[test]
    fn units_of_a_paragraph_are_joined_as_text_is() {
        let units = [unit(0, None, "你好。"), unit(1000, None, "再见。"), unit(2200, None, "OK.")];
        let html = render(&units, &People::default());
        assert_eq!(
            html,
            "<div class=\"paragraph\"><div class=\"who\"><a class=\"time\" href=\"#t=0\">0:00</a></div><p dir=\"auto\">\
             <span class=\"s\" id=\"t=0\">你好。</span><span class=\"s\" id=\"t=1\">再见。</span> \
             <span class=\"s\" id=\"t=2.2\">OK.</span></p></div>\n"
        );
    }
}
