//! Renders a page for people: the text with its times, a player of the recording, speakers, and search.
//!
//! The page is one file that loads nothing but the recording. Its policy (CSP) forbids all other requests, and runs only
//! the script and the style of this module, which it names by their digests. Text of the transcript is never markup: it
//! is escaped in the page, and the script only ever sets text.
//!
//! Words are not elements. The script marks them with the CSS Custom Highlight API, so that a page of a hundred thousand
//! words stays small, and copying and screen readers see plain text. Without the script, the page is a readable document.

mod audio;
mod data;
mod escape;
mod paragraphs;
mod people;
mod units;

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

pub use self::audio::HtmlAudio;
use self::{
    audio::Player,
    escape::{escape, language_tag},
    people::People,
};
use crate::{Transcript, recording_name, text, timeline::milliseconds};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Options of the HTML page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HtmlOptions {
    /// Where the page takes the recording from.
    pub audio: HtmlAudio,
}

/// Renders the page, as UTF-8. Accepts any text.
pub(crate) fn render(transcript: &Transcript, options: &HtmlOptions) -> String {
    let mut people = People::of(transcript);
    let units = units::units(transcript, &people);
    people.count(&units);
    let name = text::clean(&recording_name::file_name(&transcript.source.uri));
    let player = Player::new(&options.audio, transcript);
    let values = [
        ("csp", policy(&player.media_source)),
        ("title", escape(&name)),
        ("style", STYLE.to_owned()),
        ("facts", facts(transcript, &people)),
        ("warnings", warnings(transcript)),
        ("speakers", people.render()),
        ("player", player.element),
        ("paragraphs", paragraphs::render(&units, &people)),
        ("about", about(transcript)),
        ("data", data::render(transcript, &name, &people, &units)),
        ("script", SCRIPT.to_owned()),
    ];
    fill(PAGE, &values)
}

/// Puts values into the places `{{name}}` of a template. The values are not searched for places.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let length: usize = values.iter().map(|(_, value)| value.len()).sum();
    let mut page = String::with_capacity(template.len() + length);
    let mut parts = template.split("{{");
    page.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (name, rest) = part.split_once("}}").unwrap_or(("", part));
        let value = values.iter().find(|(known, _)| *known == name);
        page.push_str(value.map_or("", |(_, value)| value));
        page.push_str(rest);
    }
    page
}

/// Returns the page's content security policy.
fn policy(media_source: &str) -> String {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; media-src {media_source}; \
         base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        digest(SCRIPT),
        digest(STYLE)
    )
}

/// Returns the line below the title: duration, languages, number of speakers, and date.
fn facts(transcript: &Transcript, people: &People) -> String {
    let mut facts = vec![duration(milliseconds(transcript.source.duration))];
    let mut languages: Vec<&str> = Vec::new();
    for segment in &transcript.segments {
        let language = segment.language.as_deref().and_then(language_tag);
        if let Some(language) = language.filter(|language| !languages.contains(language)) {
            languages.push(language);
        }
        if languages.len() == MAX_LANGUAGES {
            break;
        }
    }
    if !languages.is_empty() {
        // The script replaces the codes by names.
        let codes = languages.iter().map(|code| format!("<span data-language>{code}</span>"));
        facts.push(codes.collect::<Vec<_>>().join(", "));
    }
    match people.list().len() {
        0 => {}
        1 => facts.push("1 speaker".to_owned()),
        count => facts.push(format!("{count} speakers")),
    }
    let date: String = transcript.processing.finished_at.chars().take(10).collect();
    if date.len() == 10 && date.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
        facts.push(format!("transcribed on <time datetime=\"{date}\">{date}</time>"));
    }
    facts.join(" · ")
}

/// Number of languages that are listed below the title.
const MAX_LANGUAGES: usize = 5;

fn warnings(transcript: &Transcript) -> String {
    let items = transcript.source.warnings.iter().map(|warning| text::clean(warning));
    let items: String = items.map(|warning| format!("<li>{}</li>", escape(&warning))).collect();
    if items.is_empty() { items } else { format!("<ul class=\"warnings\">{items}</ul>") }
}

/// Returns what the page says about its own making.
fn about(transcript: &Transcript) -> String {
    let (source, pipeline) = (&transcript.source, &transcript.pipeline);
    let models = [Some(&pipeline.recognizer), Some(&pipeline.vad), pipeline.punctuation.as_ref()];
    let models: Vec<&str> =
        models.into_iter().flatten().chain(&pipeline.speakers).map(String::as_str).collect();
    let channels = match source.channels {
        1 => "1 channel".to_owned(),
        channels => format!("{channels} channels"),
    };
    let audio =
        format!("{} in {}, {} Hz, {channels}", source.codec, source.container, source.sample_rate);
    let rows = [
        ("Recording", source.uri.clone()),
        ("Audio", audio),
        ("Models", format!("{} ({})", models.join(", "), pipeline.precision)),
        ("Finished", transcript.processing.finished_at.clone()),
        ("Made with", pipeline.version.clone()),
        ("Fingerprint", pipeline.fingerprint.clone()),
    ];
    let row = |(term, value): (&str, String)| {
        format!("<dt>{term}</dt><dd dir=\"auto\">{}</dd>", escape(&text::clean(&value)))
    };
    rows.into_iter().map(row).collect()
}

/// Writes a duration for people: `9 h 12 min`, `4 min 5 s`.
fn duration(ms: u64) -> String {
    let seconds = (ms + 500) / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, 0) => format!("{m} min"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, 0, _) => format!("{h} h"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}

/// Writes a time for people: `1:23`, `1:02:03`.
fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, m, s) => format!("{m}:{s:02}"),
        (h, m, s) => format!("{h}:{m:02}:{s:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_searched_for_places() {
        let values = [("a", "{{b}}".to_owned()), ("b", "2".to_owned())];
        assert_eq!(fill("<{{a}}|{{b}}|{{c}}>", &values), "<{{b}}|2|>");
    }

    #[test]
    fn all_places_of_the_page_are_known() {
        let known = [
            "csp",
            "title",
            "style",
            "facts",
            "warnings",
            "speakers",
            "player",
            "paragraphs",
            "about",
            "data",
            "script",
        ];
        let places: Vec<&str> =
            PAGE.split("{{").skip(1).filter_map(|part| Some(part.split_once("}}")?.0)).collect();
        assert!(places.iter().all(|place| known.contains(place)), "{places:?}");
        assert!(known.iter().all(|name| places.contains(name)), "{places:?}");
    }

    #[test]
    fn script_and_style_do_not_end_their_elements() {
        assert!(!SCRIPT.contains("</") && !SCRIPT.contains("<!--") && !STYLE.contains('<'));
        // A parser would replace them, and the digests would differ.
        assert!(!SCRIPT.contains(['\r', '\0']) && !STYLE.contains(['\r', '\0']));
    }

    #[test]
    fn durations_and_times_are_for_people() {
        let shown = |ms| (duration(ms), clock(ms));
        assert_eq!(shown(4_499), ("4 s".to_owned(), "0:04".to_owned()));
        assert_eq!(shown(245_000), ("4 min 5 s".to_owned(), "4:05".to_owned()));
        assert_eq!(shown(33_123_000), ("9 h 12 min".to_owned(), "9:12:03".to_owned()));
    }
}
