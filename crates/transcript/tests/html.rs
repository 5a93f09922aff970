//! The HTML page, parsed as browsers parse it: text is never markup, and what the policy allows does not depend on it.

mod common;

use std::collections::BTreeMap;

use common::{hostile_segment, hostile_text, segment, transcript};
use proptest::prelude::*;
use scraper::{ElementRef, Html, Node, Selector};
use serde_json::Value;
use transcript::{HtmlAudio, HtmlOptions, Segment, Transcript};

fn render(transcript: &Transcript) -> Html {
    Html::parse_document(&transcript.render_html(&HtmlOptions::default()))
}

fn select<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    let selector = Selector::parse(selector).unwrap_or_else(|error| panic!("{selector}: {error}"));
    page.select(&selector).collect()
}

fn text(element: ElementRef<'_>) -> String {
    element.text().collect()
}

fn data(page: &Html) -> Value {
    let json: String = select(page, "#data").into_iter().map(text).collect();
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// Strings that end elements, attributes, comments and strings.
fn markup() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => proptest::sample::select(vec![
            "</script>", "<script>alert(1)</script>", "<!--", "-->", "]]>", "<![CDATA[", "\"", "'", "`", ">", "<",
            "<img src=x onerror=alert(1)>", "\" onload=alert(1) x=\"", "' autofocus onfocus='alert(1)",
            "</title>", "</style>", "</p></div></main>", "<svg/onload=alert(1)>", "&lt;b&gt;", "&#x3c;", "{{data}}",
            "{{script}}", "}}", "\u{2028}", "\u{2029}", "\0", "\r", "javascript:alert(1)", "${1}", "\\u003c",
            "<plaintext>", "<textarea>", "<base href=//evil>",
        ]).prop_map(str::to_owned),
        1 => hostile_text(),
    ];
    proptest::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat())
}

fn hostile() -> impl Strategy<Value = Transcript> {
    let optional = || proptest::option::of(markup());
    let marked = (hostile_segment(), markup(), optional(), optional(), optional()).prop_map(
        |(mut segment, text, language, event, emotion)| {
            segment.text.push_str(&text);
            for word in &mut segment.words {
                word.text.push_str(&text);
                word.speaker = segment.channel;
            }
            Segment { language, event, emotion, ..segment }
        },
    );
    let texts = proptest::collection::vec(markup(), 18);
    (proptest::collection::vec(marked, 0..5), texts).prop_map(|(segments, texts)| {
        let mut transcript = transcript(segments);
        let (source, pipeline) = (&mut transcript.source, &mut transcript.pipeline);
        let fields = [
            &mut source.uri,
            &mut source.etag,
            &mut source.container,
            &mut source.codec,
            &mut pipeline.version,
            &mut pipeline.recognizer,
            &mut pipeline.vad,
            &mut pipeline.precision,
            &mut pipeline.fingerprint,
            &mut transcript.processing.finished_at,
        ];
        let mut texts = texts.into_iter();
        for (field, text) in fields.into_iter().zip(texts.by_ref()) {
            *field = text;
        }
        transcript.source.warnings = texts.by_ref().take(2).collect();
        for speaker in &mut transcript.speakers {
            speaker.label = texts.next().unwrap_or_default();
            speaker.name = texts.next();
        }
        transcript
    })
}

/// Counts elements with their attributes' names. Those of the transcript have these forms, as often as the text wants:
/// a paragraph, a name, a time, its text, a unit, a note, an item of a list, a language.
fn elements(page: &Html) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for node in page.tree.nodes() {
        let name = match node.value() {
            Node::Element(element) => {
                let attributes: Vec<&str> = element.attrs().map(|(name, _)| name).collect();
                format!("{} {}", element.name(), attributes.join(" "))
            }
            Node::Comment(_) | Node::ProcessingInstruction(_) => "comment".to_owned(),
            _ => continue,
        };
        *counts.entry(name).or_insert(0) += 1;
    }
    counts
}

/// All that a transcript may add to the page, as `element attributes`.
const OF_TRANSCRIPTS: [&str; 19] = [
    "div class",
    "div class data-person",
    "b class dir",
    "a class href",
    "p dir",
    "p dir lang",
    "p class",
    "span class",
    "span class id",
    "span class dir",
    "span data-language",
    "i class",
    "ul class",
    "li class",
    "li ",
    "time datetime",
    "audio controls id preload src",
    "video controls id preload src",
    "audio id preload",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn text_is_never_markup(transcript in hostile()) {
        let plain = elements(&render(&common::transcript(Vec::new())));
        let page = render(&transcript);
        for (element, count) in elements(&page) {
            let mut attributes: Vec<&str> = element.split(' ').skip(1).collect();
            attributes.sort_unstable();
            let sorted = format!("{} {}", element.split(' ').next().unwrap_or_default(), attributes.join(" "));
            if !OF_TRANSCRIPTS.contains(&sorted.as_str()) {
                prop_assert_eq!(Some(&count), plain.get(&element), "{}", element);
            }
        }
        // Nothing but the page's own script and data.
        prop_assert_eq!(select(&page, "script").len(), 2);
        data(&page);
    }

    /// The script finds the times of each unit by its place, and each word by its place in the text of its unit.
    #[test]
    fn data_and_text_agree(transcript in hostile()) {
        let page = render(&transcript);
        let data = data(&page);
        let units = data["units"].as_array().cloned().unwrap_or_default();
        let shown = select(&page, "#transcript .s");
        prop_assert_eq!(units.len(), shown.len());
        let mut last = 0;
        for (unit, shown) in units.iter().zip(shown) {
            let number = |index: usize| unit[index].as_u64().unwrap_or_else(|| panic!("{unit}"));
            prop_assert!(number(0) >= last && number(1) >= number(0) && number(2) <= 100);
            last = number(0);
            let text: Vec<u16> = text(shown).encode_utf16().collect();
            let words: Vec<usize> = unit[3]
                .as_array()
                .into_iter()
                .flatten()
                .map(|number| usize::try_from(number.as_u64().unwrap_or(u64::MAX)).unwrap_or(usize::MAX))
                .collect();
            let (mut end, mut time) = (0, 0);
            for word in words.chunks(5) {
                prop_assert!(word[0] >= end && word[1] > 0 && word[2] >= time && word[4] <= 100);
                (end, time) = (word[0] + word[1], word[2]);
                prop_assert!(String::from_utf16(&text[word[0]..end]).is_ok(), "splits no character");
            }
        }
    }

    #[test]
    fn anchors_are_unique(transcript in hostile()) {
        let page = render(&transcript);
        let ids: Vec<_> = select(&page, "[id]").into_iter().filter_map(|e| e.attr("id")).collect();
        let unique: std::collections::BTreeSet<_> = ids.iter().collect();
        prop_assert_eq!(ids.len(), unique.len());
        for link in select(&page, "#transcript .time") {
            let target = link.attr("href").unwrap_or_default().trim_start_matches('#');
            prop_assert!(ids.contains(&target), "{}", target);
        }
    }
}

#[test]
fn text_stands_in_the_page_as_it_was_said() {
    let said = "</script><b>&amp; \"quoted\" 'text' <!-- مرحبا 👩";
    let mut greeting = segment(1.5, 3.0, said);
    (greeting.language, greeting.speaker) = (Some("ar".to_owned()), Some(0));
    let mut transcript = transcript(vec![greeting]);
    transcript.source.uri = "file:///a/%3Cb%3E%20%22x%22.mp3".to_owned();
    let page = render(&transcript);
    let paragraph = select(&page, "#transcript p");
    assert_eq!(paragraph.iter().map(|p| text(*p)).collect::<Vec<_>>(), [said]);
    assert_eq!((paragraph[0].attr("lang"), paragraph[0].attr("dir")), (Some("ar"), Some("auto")));
    assert_eq!(text(select(&page, "h1")[0]), "<b> \"x\".mp3");
    assert_eq!(text(select(&page, "title")[0]), "<b> \"x\".mp3");
    assert_eq!(select(&page, "audio")[0].attr("src"), Some("./%3Cb%3E%20%22x%22.mp3"));
    assert_eq!(text(select(&page, "#transcript .name")[0]), "Speaker 1");
    assert_eq!(select(&page, "#transcript .time")[0].attr("href"), Some("#t=1.5"));
    assert_eq!(data(&page)["recording"], "<b> \"x\".mp3");
}

#[test]
fn the_policy_names_script_and_style_and_where_the_recording_is() {
    let policy = |audio: HtmlAudio| {
        let html = transcript(Vec::new()).render_html(&HtmlOptions { audio });
        let page = Html::parse_document(&html);
        let meta = select(&page, "meta[http-equiv=Content-Security-Policy]");
        meta[0].attr("content").unwrap_or_default().to_owned()
    };
    let policies = [
        (policy(HtmlAudio::Beside), "media-src 'self' file: blob:;"),
        (policy(HtmlAudio::None), "media-src blob:;"),
        (
            policy(HtmlAudio::Link("https://e.example/x.mp3?a='".into())),
            "media-src https://e.example blob:;",
        ),
        (policy(HtmlAudio::Link("javascript:alert(1)".into())), "media-src blob:;"),
        (
            policy(HtmlAudio::Embedded { media_type: "audio/mpeg".into(), bytes: vec![1] }),
            "media-src data: blob:;",
        ),
    ];
    for (policy, media) in policies {
        assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
        assert!(policy.contains(media), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}

#[test]
fn a_recording_can_be_a_part_of_the_page() {
    let source = |media_type: &str| {
        let audio =
            HtmlAudio::Embedded { media_type: media_type.to_owned(), bytes: vec![0, 255, 16] };
        let html = transcript(Vec::new()).render_html(&HtmlOptions { audio });
        let page = Html::parse_document(&html);
        let media = select(&page, "#media")[0];
        (media.value().name().to_owned(), media.attr("src").map(str::to_owned))
    };
    let expected = |tag: &str, source: &str| (tag.to_owned(), Some(source.to_owned()));
    assert_eq!(source("audio/mpeg"), expected("audio", "data:audio/mpeg;base64,AP8Q"));
    assert_eq!(source("video/mp4"), expected("video", "data:video/mp4;base64,AP8Q"));
    assert_eq!(source("\"><x>"), expected("audio", "data:application/octet-stream;base64,AP8Q"));
}

#[test]
fn the_page_has_no_handlers_and_loads_nothing() {
    let page = render(&transcript(vec![segment(0.0, 1.0, "Hi.")]));
    for element in select(&page, "*") {
        for (name, value) in element.value().attrs() {
            assert!(
                !name.starts_with("on") && name != "style",
                "{name} of {}",
                element.value().name()
            );
            let is_reference = matches!(name, "src" | "href" | "srcset" | "action" | "poster");
            let is_inside = value.starts_with('#') || ["./a.wav", "data:,"].contains(&value);
            assert!(!is_reference || is_inside, "{value}");
        }
    }
}
