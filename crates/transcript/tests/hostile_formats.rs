//! The formats for other programs are well formed, whatever the transcript.

mod common;

use std::collections::BTreeSet;

use common::{hostile_seconds, hostile_segment, hostile_text, transcript, transcript_of};
use proptest::prelude::*;
use serde_json::Value;
use transcript::{Format, Segment, Speech, Transcript, Turn};

fn json(transcript: &Transcript, format: Format) -> Value {
    serde_json::from_slice(&transcript.render(format))
        .unwrap_or_else(|error| panic!("{format}: {error}"))
}

fn aws(transcript: &Transcript) -> Value {
    json(transcript, Format::Aws)
}

/// Adds speakers, tracks and languages to hostile segments.
fn spoken_segment() -> impl Strategy<Value = Segment> {
    let speaker = || proptest::option::of(prop_oneof![0..3_u32, Just(u32::MAX)]);
    let track = proptest::option::weighted(0.2, 1..3_u32);
    let language = proptest::option::of(proptest::sample::select(vec!["en", "de", "\"\n"]));
    let confidence = prop_oneof![0.0..1.0_f32, Just(f32::NAN), Just(f32::INFINITY)];
    let speakers = proptest::collection::vec(speaker(), 40);
    (hostile_segment(), speaker(), speakers, track, language, confidence).prop_map(
        |(mut segment, speaker, speakers, track, language, confidence)| {
            for (word, speaker) in segment.words.iter_mut().zip(speakers) {
                (word.speaker, word.confidence) = (speaker, speaker.map(|_| confidence));
            }
            let language = language.map(str::to_owned);
            Segment { speaker, track, language, confidence, ..segment }
        },
    )
}

fn hostile_turn() -> impl Strategy<Value = Turn> {
    let channel = proptest::option::of(prop_oneof![0..3_u32, Just(u32::MAX)]);
    let track = proptest::option::weighted(0.2, 1..3_u32);
    let speaker = prop_oneof![0..4_u32, Just(u32::MAX)];
    (hostile_seconds(), hostile_seconds(), speaker, track, channel).prop_map(
        |(start, end, speaker, track, channel)| Turn { start, end, speaker, track, channel },
    )
}

fn hostile_uri() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "s3://b/[a-z ;;\u{a0}\u{2028}.%\t]{0,20}\\.wav",
        "file:///(%[0-9A-F]{2}|[a-z;/]){0,20}"
    ]
}

fn number(field: &str) -> f64 {
    let number: f64 = field.parse().unwrap_or_else(|error| panic!("{field:?}: {error}"));
    assert!(number.is_finite() && number >= 0.0, "{field}");
    number
}

/// Returns the fields of lines as readers split them, in Rust or in Python, at white space.
fn fields(text: &str, count: usize) -> Vec<Vec<&str>> {
    let separator = |c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c);
    let lines: Vec<Vec<&str>> = text
        .split_terminator('\n')
        .map(|line| line.split(separator).collect::<Vec<_>>())
        .inspect(|fields| {
            assert_eq!(fields.len(), count, "{fields:?}");
            assert!(fields.iter().all(|field| !field.is_empty()), "{fields:?}");
            assert!(!fields.iter().any(|field| field.contains(";;")), "{fields:?}");
        })
        .collect();
    assert!(text.is_empty() || text.ends_with('\n'));
    lines
}

fn check_rttm(rttm: &str) {
    let lines = fields(rttm, 10);
    for line in &lines {
        assert_eq!((line[0], number(line[2]) >= 1.0), ("SPEAKER", true));
        assert!(number(line[4]) > 0.0, "{line:?}");
        assert_eq!((&line[5..7], &line[8..]), (&["<NA>"; 2][..], &["<NA>"; 2][..]));
    }
    assert!(lines.is_sorted_by(|a, b| number(a[3]) <= number(b[3])), "{rttm}");
}

fn check_ctm(ctm: &str) {
    let lines = fields(ctm, 6);
    for line in &lines {
        number(line[3]);
        assert!(number(line[5]) <= 1.0);
        assert!(!line[4].starts_with("<ALT"), "{line:?}");
    }
    let order = |line: &[&str]| (line[1].to_owned(), number(line[2]));
    assert!(lines.is_sorted_by(|a, b| order(a) <= order(b)), "{ctm}");
}

fn check_tsv(tsv: &str) {
    let mut lines = tsv.split_terminator('\n');
    assert_eq!(lines.next(), Some("start\tend\ttext"));
    for line in lines {
        let fields: Vec<&str> = line.split('\t').collect();
        let [start, end, text] = fields[..] else { panic!("{line:?}") };
        assert!(start.parse::<u64>().unwrap_or(u64::MAX) <= end.parse().unwrap_or(0), "{line}");
        assert!(!text.trim().is_empty() && !text.contains(char::is_control), "{line:?}");
    }
}

/// Reads CSV as RFC 4180 describes it.
fn check_csv(csv: &str) {
    let mut rows: Vec<Vec<String>> = vec![vec![String::new()]];
    let (mut quoted, mut characters) = (false, csv.chars().peekable());
    while let Some(c) = characters.next() {
        let row = rows.last_mut().unwrap_or_else(|| panic!("no row"));
        match c {
            '"' if quoted && characters.next_if_eq(&'"').is_some() => {
                row.last_mut().unwrap_or_else(|| panic!("no field")).push('"')
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(String::new()),
            '\n' if !quoted => rows.push(vec![String::new()]),
            c => row.last_mut().unwrap_or_else(|| panic!("no field")).push(c),
        }
    }
    assert!(!quoted && rows.pop() == Some(vec![String::new()]), "{csv:?}");
    for row in &rows {
        assert_eq!(row.len(), 9, "{row:?}");
        assert!(!row.iter().any(|field| field.starts_with(['=', '+', '-', '@'])), "{row:?}");
        assert!(!row.iter().any(|field| field.contains(char::is_control)), "{row:?}");
    }
    for row in &rows[1..] {
        assert!(number(&row[1]) <= number(&row[2]) && number(&row[7]) <= 1.0, "{row:?}");
    }
}

/// Each line is a paragraph that has no markup but the speaker in bold.
fn check_markdown(markdown: &str) {
    let mut lines = markdown.split_terminator('\n');
    assert!(lines.next().is_some_and(|line| line.starts_with("# ")));
    for line in lines {
        // What is escaped is no markup.
        let mut plain = String::new();
        let mut characters = line.chars();
        while let Some(c) = characters.next() {
            if c == '\\' {
                characters.next();
            } else {
                plain.push(c);
            }
        }
        let rest = match plain.strip_prefix("**").and_then(|rest| rest.split_once("** ")) {
            Some((_, rest)) => rest,
            None => &plain,
        };
        let text = match rest.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
            Some((_, text)) => text,
            None => {
                assert!(line.is_empty() || line.starts_with("Language: "), "{line:?}");
                rest
            }
        };
        assert!(
            !text.contains(['*', '_', '`', '[', ']', '<', '>', '&', '|', '~', '$']),
            "{line:?}"
        );
        assert!(!line.contains(char::is_control), "{line:?}");
    }
}

fn check_jsonl(jsonl: &str, transcript: &Transcript) {
    // As Python's `splitlines` does.
    let ends = [
        '\n', '\r', '\u{b}', '\u{c}', '\u{1c}', '\u{1d}', '\u{1e}', '\u{85}', '\u{2028}',
        '\u{2029}',
    ];
    for line in jsonl.split_terminator(ends) {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        assert!(transcript.segments.iter().any(|segment| line["id"] == segment.id), "{line}");
        let named = line
            .get("speaker")
            .and_then(Value::as_u64)
            .map(|id| u32::try_from(id).unwrap_or(u32::MAX));
        let name =
            named.and_then(|id| transcript.speaker(id)).map(|speaker| speaker.display_name());
        assert_eq!(line.get("speaker_name").and_then(Value::as_str), name.as_deref());
    }
}

/// Reads a TextGrid as Praat does: texts in quotation marks, numbers, and what is between them is ignored.
fn check_textgrid(grid: &str) {
    let mut strings = Vec::new();
    let mut rest = grid;
    while let Some(start) = rest.find('"') {
        let mut end = start + 1;
        while let Some(quote) = rest[end..].find('"') {
            end += quote + 1;
            if !rest[end..].starts_with('"') {
                break;
            }
            end += 1;
        }
        strings.push(rest[start + 1..end - 1].replace("\"\"", "\""));
        rest = &rest[end..];
    }
    assert_eq!(strings[..2], ["ooTextFile", "TextGrid"]);
    assert!(!strings.iter().any(|text| text.contains(char::is_control)), "{strings:?}");
    // No text has line breaks, so the fields of each line are known.
    let field = |line: &str, name: &str| {
        Some(line.trim().strip_prefix(name)?.strip_prefix(" = ")?.to_owned())
    };
    let all = |name: &str| grid.lines().filter_map(|line| field(line, name)).collect::<Vec<_>>();
    let (starts, ends) = (all("xmin"), all("xmax"));
    assert_eq!(starts.len(), ends.len());
    let mut tiers = 0;
    let (mut last, mut open) = (0.0, 0);
    let mut spans = starts.iter().zip(&ends).map(|(start, end)| (number(start), number(end)));
    let (zero, end) = spans.next().unwrap_or_else(|| panic!("no times"));
    for line in grid.lines() {
        if let Some(size) = field(line, "intervals: size") {
            assert_eq!((open, spans.next()), (0, Some((zero, end))), "the times of the tier");
            (last, open, tiers) = (zero, number(&size) as usize, tiers + 1);
        } else if line.trim().starts_with("intervals [") {
            let (start, end) = spans.next().unwrap_or_else(|| panic!("no times"));
            assert!(start == last && end > start, "a gap, or nothing: {start} {end}");
            (last, open) = (end, open - 1);
        }
        assert!(open > 0 || tiers == 0 || last == end, "the tier ends early");
    }
    assert!(tiers > 0 && open == 0 && spans.next().is_none());
    assert_eq!(strings.iter().filter(|text| *text == "IntervalTier").count(), tiers);
}

/// Returns the texts of the elements with a name, of an XML document that is well formed.
fn xml_texts(xml: &str, name: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(xml).unwrap_or_else(|error| panic!("{error}: {xml}"));
    let elements = document.descendants().filter(|node| node.has_tag_name(name));
    elements.map(|element| element.text().unwrap_or_default().to_owned()).collect()
}

fn check_ass(ass: &str) {
    let events = ass.split_once("\n[Events]\n").map(|(_, events)| events).unwrap_or_default();
    for event in events.lines().skip(1) {
        assert!(!event.contains(['{', '}']), "{event:?}");
        assert!(event.replace("\\N", "").find('\\').is_none(), "{event:?}");
        let fields: Vec<&str> = event.splitn(10, ',').collect();
        assert!(
            fields.len() == 10 && fields[0] == "Dialogue: 0" && fields[1] < fields[2]
                || fields[2].len() > fields[1].len(),
            "{event:?}"
        );
        assert!(!fields[9].trim().is_empty(), "{event:?}");
    }
    assert!(!ass.contains(|c: char| c.is_control() && c != '\n'), "{ass:?}");
}

fn check_openai(whisper: &Value, verbose: &Value) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned();
    let join = |parts: &[Value], field: &str| {
        parts.iter().map(|part| text(&part[field])).collect::<String>()
    };
    let (segments, plain) = (list(&whisper["segments"]), list(&verbose["segments"]));
    assert_eq!(segments.len(), plain.len());
    assert_eq!(join(&segments, "text"), text(&whisper["text"]));
    assert!(text(&verbose["text"]).len() <= text(&whisper["text"]).len() + segments.len());
    for (segment, plain) in segments.iter().zip(&plain) {
        assert_eq!((&segment["id"], &segment["text"]), (&plain["id"], &plain["text"]));
        for field in
            ["start", "end", "avg_logprob", "compression_ratio", "no_speech_prob", "temperature"]
        {
            assert!(segment[field].is_f64(), "{field} of {segment}");
        }
        for span in list(&segment["words"]).iter().chain([segment]) {
            assert!(span["start"].as_f64() <= span["end"].as_f64(), "{span}");
        }
    }
}

fn check_aws(results: &Value) {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned();
    let items = list(&results["items"]);
    for (id, item) in items.iter().enumerate() {
        assert_eq!(item["id"], id);
        let alternative = &item["alternatives"][0];
        assert!(number(&text(&alternative["confidence"])) <= 1.0, "{item}");
        assert!(!text(&alternative["content"]).trim().is_empty(), "{item}");
        if item["type"] == "pronunciation" {
            assert!(number(&text(&item["start_time"])) <= number(&text(&item["end_time"])));
        } else {
            assert_eq!(item["type"], "punctuation");
            assert_eq!((item.get("start_time"), item.get("end_time")), (None, None));
        }
    }
    // Each item is in one audio segment, in order.
    let segments = list(&results["audio_segments"]);
    let ids: Vec<_> = segments.iter().flat_map(|segment| list(&segment["items"])).collect();
    assert_eq!(ids, (0..items.len()).map(Value::from).collect::<Vec<_>>());
    for segment in &segments {
        assert!(number(&text(&segment["start_time"])) <= number(&text(&segment["end_time"])));
        for id in list(&segment["items"]) {
            let item = &results["items"][usize::try_from(id.as_u64().unwrap_or(0)).unwrap_or(0)];
            assert_eq!(item.get("speaker_label"), segment.get("speaker_label"));
            assert_eq!(item.get("channel_label"), segment.get("channel_label"));
        }
    }
    if let Some(labels) = results.get("speaker_labels") {
        let names: BTreeSet<_> = list(&labels["segments"])
            .iter()
            .map(|segment| text(&segment["speaker_label"]))
            .collect();
        assert_eq!(labels["speakers"], names.len());
        let spoken = list(&labels["segments"]).iter().flat_map(|s| list(&s["items"])).count();
        let labelled = items
            .iter()
            .filter(|item| item["type"] == "pronunciation" && item.get("speaker_label").is_some());
        assert_eq!(spoken, labelled.count());
    }
    let channels = list(&results["channel_labels"]["channels"]);
    let of_channels: usize = channels.iter().map(|channel| list(&channel["items"]).len()).sum();
    let labelled = items.iter().filter(|item| item.get("channel_label").is_some()).count();
    assert_eq!(of_channels, labelled);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_transcripts_give_valid_files(
        segments in proptest::collection::vec(spoken_segment(), 0..6),
        turns in proptest::collection::vec(hostile_turn(), 0..6),
        uri in hostile_uri(),
        name in hostile_text(),
    ) {
        let mut transcript = transcript_of(Speech { segments, turns, ..Speech::default() });
        transcript.source.uri = uri;
        for id in 0..u32::try_from(transcript.speakers.len()).unwrap_or(0) {
            transcript.name_speaker(id, &name);
        }
        check_rttm(&common::text(&transcript, Format::Rttm));
        check_ctm(&common::text(&transcript, Format::Ctm));
        check_tsv(&common::text(&transcript, Format::Tsv));
        check_csv(&common::text(&transcript, Format::Csv));
        check_markdown(&common::text(&transcript, Format::Md));
        check_jsonl(&common::text(&transcript, Format::Jsonl), &transcript);
        check_ass(&common::text(&transcript, Format::Ass));
        check_textgrid(&common::text(&transcript, Format::Textgrid));
        let said = xml_texts(&common::text(&transcript, Format::Eaf), "ANNOTATION_VALUE");
        prop_assert!(said.iter().all(|text| !text.trim().is_empty()), "{said:?}");
        for line in common::text(&transcript, Format::Tsv).lines().skip(1) {
            let text = line.rsplit('\t').next().unwrap_or_default();
            let whole = said.iter().any(|said| said == text);
            // A segment in which several people speak is several annotations.
            let divided = transcript.segments.iter().any(|s| s.words.iter().any(|w| w.speaker.is_some()));
            prop_assert!(whole || divided, "{text:?} is not among {said:?}");
        }
        let mut docx = zip::ZipArchive::new(std::io::Cursor::new(transcript.render(Format::Docx)))?;
        for index in 0..docx.len() {
            let part = std::io::read_to_string(docx.by_index(index)?)?;
            xml_texts(&part, "");
        }
        check_openai(&json(&transcript, Format::WhisperJson), &json(&transcript, Format::VerboseJson));
        let job = aws(&transcript);
        let name = job["jobName"].as_str().unwrap_or_default();
        prop_assert!((1..=200).contains(&name.len()));
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        prop_assert!(name.chars().all(is_allowed), "{name}");
        check_aws(&job["results"]);
    }

    /// Nothing is lost: the items of each segment are its text, without white space.
    #[test]
    fn the_items_of_aws_are_the_whole_text(segment in spoken_segment()) {
        let without_space = |text: &str| text.split_whitespace().collect::<String>();
        let mut segment = segment;
        // Words that are not those of the text replace it.
        let words = segment.text.split_whitespace().map(str::to_owned);
        for (word, text) in segment.words.iter_mut().zip(words.collect::<Vec<_>>()) {
            word.text = text;
        }
        let expected = without_space(common::text(&transcript(vec![segment.clone()]), Format::Tsv)
            .lines()
            .nth(1)
            .and_then(|line| line.rsplit('\t').next())
            .unwrap_or_default());
        let job = aws(&transcript(vec![segment.clone()]));
        let items = job["results"]["items"].as_array().cloned().unwrap_or_default();
        let said: String = items
            .iter()
            .filter_map(|item| item["alternatives"][0]["content"].as_str())
            .map(without_space)
            .collect();
        let words: String = segment.words.iter().map(|word| word.text.as_str()).collect();
        let is_complete = segment.words.is_empty() || words == without_space(&segment.text);
        prop_assume!(is_complete);
        prop_assert_eq!(said, expected);
    }
}
