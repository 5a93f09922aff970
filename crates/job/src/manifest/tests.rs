//! Manifests as people and programs write them, and as they should not.

use std::io::{BufReader, Cursor, Read};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{ChannelMode, Format, Speakers};

fn entries(bytes: &[u8], format: ManifestFormat) -> Vec<Entry> {
    // A small buffer, so that everything is split somewhere.
    let mut reader = ManifestReader::new(BufReader::with_capacity(7, bytes), format)
        .unwrap_or_else(|error| panic!("{error}"));
    std::iter::from_fn(|| reader.next_row().unwrap_or_else(|error| panic!("{error}"))).collect()
}

fn json_lines(text: &str) -> Vec<Entry> {
    entries(text.as_bytes(), ManifestFormat::JsonLines)
}

fn csv(text: &str) -> Vec<Entry> {
    entries(text.as_bytes(), ManifestFormat::Csv)
}

fn unusable(bytes: &[u8]) -> String {
    match ManifestReader::new(bytes, ManifestFormat::Csv) {
        Err(ManifestError::Unusable(message)) => message,
        other => panic!("{other:?}"),
    }
}

/// Line and source, or line and error, of each row.
fn shown(entries: &[Entry]) -> Vec<(u64, String)> {
    let show = |entry: &Entry| match &entry.row {
        Ok(row) => row.source.clone(),
        Err(error) => format!("error: {error}"),
    };
    entries.iter().map(|entry| (entry.line, show(entry))).collect()
}

fn row(entry: &Entry) -> &Row {
    entry.row.as_ref().unwrap_or_else(|error| panic!("line {}: {error}", entry.line))
}

#[test]
fn rows_of_both_formats_mean_the_same() {
    let lines = "\u{feff}{\"source\": \"s3://b/a, b.wav\", \"language\": \"en\", \"formats\": [\"srt\", \
                 \"vtt\"], \"options\": {\"word_times\": false, \"speakers\": {\"min\": 2, \"max\": 5}}}\r\n\
                 \r\n   \n{\"source\":\"s3://b/c.wav\",\"output\":\"x/c\"}";
    let table = "\u{feff}source,output,language,formats,word_times,speakers\r\n\
                 \"s3://b/a, b.wav\",,en,\"srt, vtt\",false,2-5\r\n\r\ns3://b/c.wav,x/c,,,,";
    let (lines, table) = (json_lines(lines), csv(table));
    assert_eq!((lines[0].line, lines[1].line, lines.len()), (1, 4, 2));
    assert_eq!((table[0].line, table[1].line, table.len()), (2, 4, 2));
    let base = JobOptions { language: Some("de".to_owned()), ..JobOptions::default() };
    for rows in [&lines, &table] {
        assert_eq!(row(&rows[0]).source, "s3://b/a, b.wav");
        let options = row(&rows[0]).job_options(&base).unwrap_or_else(|error| panic!("{error}"));
        let expected = JobOptions {
            language: Some("en".to_owned()),
            formats: [Format::Srt, Format::Vtt].into(),
            word_times: Some(false),
            speakers: Some(Speakers { min: Some(2), max: Some(5), ..Speakers::default() }),
            ..JobOptions::default()
        };
        assert_eq!(options, expected);
        assert_eq!(row(&rows[1]).output.as_deref(), Some("x/c"));
        assert_eq!(row(&rows[1]).job_options(&base), Ok(base.clone()));
    }
}

#[test]
fn null_is_the_default_of_the_workers() {
    let rows = json_lines(r#"{"source": "a", "output": null, "channels": null, "language": "fr"}"#);
    let base = JobOptions { channels: Some(ChannelMode::Split), ..JobOptions::default() };
    let expected = JobOptions { language: Some("fr".to_owned()), ..JobOptions::default() };
    assert_eq!(row(&rows[0]).job_options(&base), Ok(expected));
    assert_eq!(row(&rows[0]).output, None);
}

#[test]
fn bad_rows_do_not_end_the_manifest() {
    let text = concat!(
        "{\"source\": \"a\"}\n",
        "{\"source\": \"b\"\n",
        "[1]\n",
        "{\"output\": \"x\"}\n",
        "{\"source\": \"c\", \"source\": \"d\"}\n",
        "{\"source\": \"e\", \"langauge\": \"en\"}\n",
        "{\"source\": \"f\", \"task\": \"translate\", \"options\": {\"task\": \"translate\"}}\n",
        "{\"source\": 7}\n",
        "{\"source\": \"g\"} {}\n",
        "{\"source\": \"h\"}\n",
    );
    let found = shown(&json_lines(text));
    assert_eq!(found[0], (1, "a".to_owned()));
    assert_eq!(found[9], (10, "h".to_owned()));
    let mentions = [
        "EOF",
        "object",
        "no `source`",
        "\"source\" is given twice",
        "langauge",
        "\"task\" is given twice",
        "string",
        "trailing",
    ];
    for (index, mention) in mentions.into_iter().enumerate() {
        let (line, error) = &found[index + 1];
        assert_eq!(*line, index as u64 + 2);
        assert!(error.starts_with("error: ") && error.contains(mention), "{error}");
        assert!(!error.contains("at line 1"), "{error}");
    }
}

#[test]
fn a_bad_option_is_named() {
    let rows = json_lines(
        "{\"source\": \"a\", \"language\": \"English\"}\n{\"source\": \"a\", \"task\": 1}\n\
         {\"source\": \"a\", \"speakers\": {\"many\": 1}}",
    );
    for (entry, name) in rows.iter().zip(["language", "task", "speakers"]) {
        let error = row(entry).job_options(&JobOptions::default()).unwrap_err();
        assert!(error.to_string().starts_with(&format!("option `{name}`: ")), "{error}");
    }
    let table = shown(&csv("source,word_times,speakers\na,yes,\nb,,many\nc,true,any\n"));
    assert_eq!(table[0].1, "error: option `word_times`: \"yes\" is neither true nor false");
    assert_eq!(table[1].1, "error: option `speakers`: `many` is not a number of speakers");
    assert_eq!(table[2], (4, "c".to_owned()));
}

#[test]
fn csv_is_quoted_as_usual() {
    let text = "source;output\n\"a\"\"b\";\"x;y\"\n\"two\nlines\";z\nc\n;q\n d ;\"e\"\n";
    let found = csv(text);
    let expected = [
        (2, "a\"b".to_owned()),
        (3, "two\nlines".to_owned()),
        (5, "error: the row has 1 fields, the header 2".to_owned()),
        (6, "error: there is no `source`".to_owned()),
        (7, " d ".to_owned()),
    ];
    assert_eq!(shown(&found), expected);
    assert_eq!(row(&found[0]).output.as_deref(), Some("x;y"));
    assert_eq!(shown(&csv("output\tsource\nx\ta b\n")), [(2, "a b".to_owned())]);
    assert_eq!(shown(&csv("source\na,b\n"))[0].1, "error: the row has 2 fields, the header 1");
    assert_eq!(shown(&csv("source\r\n\r\na\r\nb")), [(3, "a".to_owned()), (4, "b".to_owned())]);
}

#[test]
fn a_wrong_header_is_refused() {
    assert!(unusable(b"source,lang\na,en\n").contains("no column \"lang\""));
    assert!(unusable(b"source, source\n").contains("two columns \"source\""));
    assert!(unusable(b"output\na\n").contains("no column `source`"));
    assert!(unusable(b"\n\r\n").contains("no header"));
    assert!(unusable(b"\xff\xfes\0o\0").contains("UTF-16"));
    assert!(unusable(b"source,\xff\n").contains("not UTF-8"));
}

/// Only the file may begin with a byte order mark, wherever its buffers end.
#[test]
fn a_byte_order_mark_behind_the_beginning_is_text() {
    for capacity in [1, 4, 100] {
        let read = |text: &str| {
            let input = BufReader::with_capacity(capacity, Cursor::new(text.to_owned()));
            let mut reader = ManifestReader::new(input, ManifestFormat::Csv)?;
            let rows = std::iter::from_fn(|| reader.next_row().unwrap_or_default());
            Ok::<_, ManifestError>(shown(&rows.collect::<Vec<_>>()))
        };
        let message = read("\r\n\u{feff}source\na\n").unwrap_err().to_string();
        assert!(message.contains("\\u{feff}source"), "{message}");
        let long = ",".repeat(5000);
        let found = read(&format!("source\n{long}\n\u{feff}a\n")).unwrap();
        assert_eq!(found[1], (3, "\u{feff}a".to_owned()));
    }
}

#[test]
fn rows_that_are_not_utf8_are_named() {
    let found = shown(&entries(
        b"{\"source\": \"\xff\"}\n{\"source\": \"a\"}\n",
        ManifestFormat::JsonLines,
    ));
    assert_eq!(found, [(1, "error: not UTF-8".to_owned()), (2, "a".to_owned())]);
    let found = shown(&entries(b"source\n\xff\na\n", ManifestFormat::Csv));
    assert_eq!(found, [(2, "error: not UTF-8".to_owned()), (3, "a".to_owned())]);
}

/// A row of 10 MB, of which no more than the limit is held.
#[test]
fn rows_are_bounded() {
    let long = "x".repeat(10 << 20);
    let found = shown(&json_lines(&format!("{{\"source\": \"{long}\"}}\n{{\"source\": \"a\"}}\n")));
    assert_eq!(found[0], (1, "error: the row has more than 512 KiB".to_owned()));
    assert_eq!(found[1], (2, "a".to_owned()));
    let found = shown(&csv(&format!("source\n{long}\na\n")));
    assert_eq!(found[0], (2, "error: the row has more than 512 KiB".to_owned()));
    assert_eq!(found[1], (3, "a".to_owned()));
    let fields = ",".repeat(5000);
    let found = shown(&csv(&format!("source\n{fields}\na\n")));
    assert_eq!(found[0].1, "error: the row has more than 512 KiB");
    assert_eq!(found[1], (3, "a".to_owned()));
    // An input without any end of a line, which is read to its end.
    let endless = std::io::repeat(b'[').take(20 << 20);
    let mut reader = ManifestReader::new(BufReader::new(endless), ManifestFormat::JsonLines)
        .unwrap_or_else(|error| panic!("{error}"));
    let entry = reader.next_row().ok().flatten().unwrap_or_else(|| panic!("no row"));
    assert_eq!(entry.row, Err(InvalidRow::TooLong { until: None }));
    assert!(matches!(reader.next_row(), Ok(None)));
}

#[test]
fn a_quote_that_is_not_closed_ends_somewhere() {
    let found = shown(&csv("source\na\n\"b\nc\nd\n"));
    assert_eq!(found[0], (2, "a".to_owned()));
    assert!(found[1].1.contains("not closed") && found[1].0 == 3 && found.len() == 2, "{found:?}");
    let rest = "c\n".repeat(400_000);
    let found = shown(&csv(&format!("source\n\"b\n{rest}")));
    assert!(found[0].1.contains("skipped up to line "), "{:?}", found[0]);
    assert!(found.len() > 100_000 && found[1].1 == "c");
    let until = found[0].1.rsplit(' ').next().and_then(|line| line.parse().ok());
    assert_eq!(until, Some(found[1].0 - 1));
    assert_eq!(found.last().map(|last| last.0), Some(400_002));
}

#[test]
fn every_option_of_a_job_is_an_option_of_a_row() {
    let schema = crate::json_schema();
    let options = schema["$defs"]["Options"]["properties"].as_object();
    let mut names: Vec<_> =
        options.into_iter().flat_map(|options| options.keys().map(String::as_str)).collect();
    let mut known: Vec<_> = columns::OPTIONS.iter().map(|option| option.0).collect();
    names.sort_unstable();
    known.sort_unstable();
    assert_eq!(known, names);
}

#[test]
fn a_failed_read_is_an_error() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("broken"))
        }
    }
    let begun = Cursor::new(b"{\"source\": \"a\"}\n").chain(BufReader::new(Broken));
    let mut reader = ManifestReader::new(begun, ManifestFormat::JsonLines)
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(reader.next_row().is_ok_and(|row| row.is_some()));
    assert!(reader.next_row().is_err());
    let opened = ManifestReader::new(BufReader::new(Broken), ManifestFormat::Csv);
    assert!(matches!(opened, Err(ManifestError::Read(_))));
}

fn quoted(cell: &str) -> String {
    format!("\"{}\"", cell.replace('"', "\"\""))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        sources in proptest::collection::vec("[ -~éа\n\r\t電\"',;]{1,20}", 1..20),
        outputs in proptest::collection::vec("[ -~\"\n]{0,9}", 20),
    ) {
        let rows = || sources.iter().zip(&outputs);
        let lines: String = rows()
            .map(|(source, output)| format!("{}\n", json!({"source": source, "output": output})))
            .collect();
        let cells = |(source, output): (&String, &String)| {
            format!("{},{},{}\r\n", quoted(output), quoted(source), "en")
        };
        let table: String = "output,source,language\n".chars().collect::<String>()
            + &rows().map(cells).collect::<String>();
        for (entries, empty) in [(json_lines(&lines), true), (csv(&table), false)] {
            prop_assert_eq!(entries.len(), sources.len());
            for (entry, (source, output)) in entries.iter().zip(rows()) {
                prop_assert_eq!(&row(entry).source, source);
                let expected = (empty || !output.is_empty()).then_some(output);
                prop_assert_eq!(row(entry).output.as_ref(), expected);
            }
        }
    }

    /// Whatever the bytes are, reading ends, and lines do not descend.
    #[test]
    fn any_bytes_are_read_to_the_end(
        bytes in proptest::collection::vec(
            proptest::sample::select(b"\"{}[],:;\\\n\r\t\0\xff\xef\xbb\xbfsourcea1 ".to_vec()), 0..200),
        header in any::<bool>(),
    ) {
        let bytes = if header { [b"source,output\n", &bytes[..]].concat() } else { bytes };
        for format in [ManifestFormat::JsonLines, ManifestFormat::Csv] {
            let Ok(mut reader) = ManifestReader::new(BufReader::with_capacity(5, &bytes[..]), format)
            else { continue };
            let mut last = 0;
            while let Ok(Some(entry)) = reader.next_row() {
                prop_assert!(entry.line >= last, "{} after {}", entry.line, last);
                last = entry.line;
            }
            prop_assert!(last <= 1 + bytes.iter().filter(|byte| **byte == b'\n').count() as u64);
        }
    }
}
