//! The formats for other programs, read back as such programs read them.

mod common;

use common::{segment, transcript, transcript_of};
use serde_json::{Value, json};
use transcript::{Format, KnownVoice, Segment, Speech, Transcript, Turn, Word};

fn word(start: f64, end: f64, text: &str, confidence: f32) -> Word {
    Word { start, end, text: text.to_owned(), confidence: Some(confidence), ..Word::default() }
}

/// Two people, of whom the second interrupts the first, and a segment without words.
fn conversation() -> Transcript {
    let mut first = segment(0.5, 4.0, "I've been on hold. Sorry? Yes.");
    first.speaker = Some(0);
    first.language = Some("en".to_owned());
    first.words = vec![
        word(0.5, 0.8, "I've", 0.99),
        word(0.8, 1.0, "been", 1.0),
        word(1.0, 1.123, "on", 0.875),
        word(1.2, 2.0, "hold.", 0.5),
        Word { speaker: Some(1), ..word(2.5, 3.0, "Sorry?", 0.75) },
        word(3.5, 4.0, "Yes.", 0.25),
    ];
    let mut second = segment(6.0, 8.0, "I am sorry about that.");
    (second.speaker, second.confidence) = (Some(1), 0.625);
    second.language = Some("en".to_owned());
    let mut transcript = transcript(vec![first, second]);
    transcript.source.uri = "s3://calls/2026/on hold.wav".to_owned();
    transcript.source.channels = 1;
    transcript
}

fn aws(transcript: &Transcript) -> Value {
    serde_json::from_str(&common::text(transcript, Format::Aws))
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn aws_has_the_structure_of_amazons_example_with_speakers() {
    let said = |id: u64, start: &str, end: &str, confidence: &str, content: &str, speaker: &str| {
        json!({
            "id": id, "type": "pronunciation", "start_time": start, "end_time": end,
            "alternatives": [{ "confidence": confidence, "content": content }],
            "speaker_label": speaker,
        })
    };
    let mark = |id: u64, content: &str, speaker: &str| {
        json!({
            "id": id, "type": "punctuation", "speaker_label": speaker,
            "alternatives": [{ "confidence": "0.0", "content": content }],
        })
    };
    let at = |start: &str, end: &str, speaker: &str| json!({ "start_time": start, "end_time": end, "speaker_label": speaker });
    let turn = |start: &str, end: &str, speaker: &str, items: &[Value]| {
        let mut turn = at(start, end, speaker);
        turn["items"] = items.into();
        turn
    };
    let part = |id: u64, text: &str, times: (&str, &str), speaker: &str, items: &[u64]| {
        let mut part = at(times.0, times.1, speaker);
        (part["id"], part["transcript"], part["items"]) = (id.into(), text.into(), items.into());
        part
    };
    let expected = json!({
        "jobName": "on-hold",
        "accountId": "",
        "status": "COMPLETED",
        "results": {
            "language_code": "en",
            "transcripts": [
                { "transcript": "I've been on hold. Sorry? Yes. I am sorry about that." }
            ],
            "speaker_labels": {
                "channel_label": "ch_0",
                "speakers": 2,
                "segments": [
                    turn("0.5", "2.0", "spk_0", &[
                        at("0.5", "0.8", "spk_0"),
                        at("0.8", "1.0", "spk_0"),
                        at("1.0", "1.123", "spk_0"),
                        at("1.2", "2.0", "spk_0"),
                    ]),
                    turn("2.5", "3.0", "spk_1", &[at("2.5", "3.0", "spk_1")]),
                    turn("3.5", "4.0", "spk_0", &[at("3.5", "4.0", "spk_0")]),
                    turn("6.0", "8.0", "spk_1", &[at("6.0", "8.0", "spk_1")]),
                ]
            },
            "items": [
                said(0, "0.5", "0.8", "0.99", "I've", "spk_0"),
                said(1, "0.8", "1.0", "1.0", "been", "spk_0"),
                said(2, "1.0", "1.123", "0.875", "on", "spk_0"),
                said(3, "1.2", "2.0", "0.5", "hold", "spk_0"),
                mark(4, ".", "spk_0"),
                said(5, "2.5", "3.0", "0.75", "Sorry", "spk_1"),
                mark(6, "?", "spk_1"),
                said(7, "3.5", "4.0", "0.25", "Yes", "spk_0"),
                mark(8, ".", "spk_0"),
                // Without the times of words, a segment is one item.
                said(9, "6.0", "8.0", "0.625", "I am sorry about that", "spk_1"),
                mark(10, ".", "spk_1"),
            ],
            "audio_segments": [
                part(0, "I've been on hold.", ("0.5", "2.0"), "spk_0", &[0, 1, 2, 3, 4]),
                part(1, "Sorry?", ("2.5", "3.0"), "spk_1", &[5, 6]),
                part(2, "Yes.", ("3.5", "4.0"), "spk_0", &[7, 8]),
                part(3, "I am sorry about that.", ("6.0", "8.0"), "spk_1", &[9, 10]),
            ],
        }
    });
    assert_eq!(aws(&conversation()), expected);
}

#[test]
fn aws_lists_the_items_of_each_channel() {
    let mut left = segment(0.0, 2.0, "Hello?");
    left.words = vec![word(0.0, 2.0, "Hello?", 1.0)];
    left.channel = Some(0);
    let mut transcript = transcript(vec![left]);
    transcript.source.channels = 2;
    let job = aws(&transcript);
    let labels = &job["results"]["channel_labels"];
    assert_eq!(labels["number_of_channels"], 2);
    assert_eq!(labels["channels"][0]["channel_label"], "ch_0");
    // The very items of the results: readers look for them there.
    assert_eq!(labels["channels"][0]["items"], job["results"]["items"]);
    assert_eq!(labels["channels"][0]["items"][0]["channel_label"], "ch_0");
    // Nobody speaks on the other channel.
    assert_eq!(labels["channels"][1], json!({ "channel_label": "ch_1", "items": [] }));
    assert_eq!(job["results"].get("speaker_labels"), None);
    assert_eq!(job["results"]["audio_segments"][0]["channel_label"], "ch_0");
}

#[test]
fn aws_gives_the_time_of_each_of_several_languages() {
    let spoken = |start: f64, end: f64, language: Option<&str>| {
        let language = language.map(str::to_owned);
        Segment { language, ..segment(start, end, "Hi") }
    };
    let of = |segments: Vec<Segment>| aws(&transcript(segments))["results"].clone();
    let none = of(vec![spoken(0.0, 1.0, None)]);
    assert_eq!((none.get("language_code"), none.get("language_codes")), (None, None));
    let one = of(vec![spoken(0.0, 1.0, Some("yue")), spoken(1.0, 2.0, None)]);
    assert_eq!((&one["language_code"], one.get("language_codes")), (&json!("yue"), None));
    let en = Some("en");
    let two = of(vec![spoken(0.0, 1.5, en), spoken(2.0, 3.0, Some("de")), spoken(3.0, 4.0, en)]);
    assert_eq!(two.get("language_code"), None);
    let durations = json!([
        { "language_code": "de", "duration_in_seconds": 1.0 },
        { "language_code": "en", "duration_in_seconds": 2.5 },
    ]);
    assert_eq!(two["language_codes"], durations);
}

#[test]
fn rttm_has_a_line_per_utterance_without_turns() {
    assert_eq!(
        common::text(&conversation(), Format::Rttm),
        "SPEAKER on_hold 1 0.500 1.500 <NA> <NA> spk_0 <NA> <NA>\n\
         SPEAKER on_hold 1 2.500 0.500 <NA> <NA> spk_1 <NA> <NA>\n\
         SPEAKER on_hold 1 3.500 0.500 <NA> <NA> spk_0 <NA> <NA>\n\
         SPEAKER on_hold 1 6.000 2.000 <NA> <NA> spk_1 <NA> <NA>\n"
    );
}

#[test]
fn rttm_has_the_turns_where_they_are_known() {
    let turn = |start, end, channel, speaker| Turn {
        start,
        end,
        speaker,
        channel: Some(channel),
        track: None,
    };
    let said = |channel, speaker, start: f64| Segment {
        channel: Some(channel),
        speaker: Some(speaker),
        ..segment(start, start + 1.0, "Hi")
    };
    let mut transcript = transcript_of(Speech {
        segments: vec![said(1, 0, 1.0), said(0, 0, 2.0)],
        // Overlapping ones, one without duration, and somebody who says nothing that was recognized.
        turns: vec![
            turn(0.5, 2.25, 1, 0),
            turn(2.0, 3.0, 0, 0),
            turn(2.125, 4.0, 1, 1),
            turn(5.0, 5.0, 1, 0),
        ],
        voices: vec![KnownVoice {
            channel: Some(0),
            name: "Anna B.".to_owned(),
            ..KnownVoice::default()
        }],
    });
    assert_eq!(
        common::text(&transcript, Format::Rttm),
        "SPEAKER a 2 0.500 1.750 <NA> <NA> spk_0 <NA> <NA>\n\
         SPEAKER a 1 2.000 1.000 <NA> <NA> Anna_B. <NA> <NA>\n\
         SPEAKER a 2 2.125 1.875 <NA> <NA> spk_2 <NA> <NA>\n\
         SPEAKER a 2 5.000 0.001 <NA> <NA> spk_0 <NA> <NA>\n"
    );
    let seconds = |transcript: &Transcript| -> Vec<f64> {
        transcript.speakers.iter().map(|speaker| speaker.seconds).collect()
    };
    assert_eq!(seconds(&transcript), [1.75, 1.0, 1.875]);
    // Names that people give replace those of known voices.
    assert!(transcript.name_speaker(1, "Bea"));
    assert!(common::text(&transcript, Format::Rttm).contains(" Bea <NA>"));
    transcript.turns.clear();
    transcript.summarize();
    assert_eq!(seconds(&transcript), [1.0, 1.0, 0.0]);
}

#[test]
fn praat_and_elan_have_a_tier_of_turns_for_each_speaker() {
    let turn = |start, end, speaker| Turn { start, end, speaker, ..Turn::default() };
    let mut said = segment(0.5, 3.0, "I am here.");
    said.speaker = Some(0);
    let mut transcript = transcript_of(Speech {
        segments: vec![said],
        // The second speaks while the first does, and nothing of it was recognized.
        turns: vec![turn(0.5, 1.5, 0), turn(1.25, 2.0, 1), turn(2.0, 3.0, 0)],
        ..Speech::default()
    });
    assert!(transcript.name_speaker(1, "Anna"));
    let grid = common::text(&transcript, Format::Textgrid);
    let names: Vec<&str> =
        grid.lines().filter_map(|line| line.trim().strip_prefix("name = ")).collect();
    assert_eq!(names, ["\"Speaker 1\"", "\"Speaker 1 (turns)\"", "\"Anna (turns)\""]);
    let turns = &grid[grid.find("Anna (turns)").unwrap_or_default()..];
    let interval = "xmin = 1.250\n            xmax = 2.000\n            text = \"Anna\"\n";
    assert!(turns.contains(interval), "{turns}");
    let eaf = common::text(&transcript, Format::Eaf);
    assert!(eaf.contains("PARTICIPANT=\"Anna\" TIER_ID=\"Anna (turns)\""), "{eaf}");
    assert_eq!(eaf.matches("<ANNOTATION_VALUE>Speaker 1</ANNOTATION_VALUE>").count(), 2);
    assert_eq!(eaf.matches("<ANNOTATION_VALUE>Anna</ANNOTATION_VALUE>").count(), 1);
}

#[test]
fn rttm_takes_channels_for_speakers_if_none_are_known() {
    let right = Segment { channel: Some(1), ..segment(1.0, 1.0, "Yes.") };
    assert_eq!(
        common::text(
            &transcript(vec![segment(0.0, 2.0, "Well."), right, segment(3.0, 4.0, "\n")]),
            Format::Rttm
        ),
        "SPEAKER a 1 0.000 2.000 <NA> <NA> unknown <NA> <NA>\n\
         SPEAKER a 2 1.000 0.001 <NA> <NA> ch_1 <NA> <NA>\n"
    );
}

#[test]
fn ctm_has_a_line_per_word() {
    assert_eq!(
        common::text(&conversation(), Format::Ctm),
        "on_hold 1 0.500 0.300 I've 0.9900\n\
         on_hold 1 0.800 0.200 been 1.0000\n\
         on_hold 1 1.000 0.123 on 0.8750\n\
         on_hold 1 1.200 0.800 hold 0.5000\n\
         on_hold 1 2.500 0.500 Sorry 0.7500\n\
         on_hold 1 3.500 0.500 Yes 0.2500\n\
         on_hold 1 6.000 2.000 I_am_sorry_about_that 0.6250\n"
    );
}

#[test]
fn tsv_has_milliseconds_and_no_tabs_in_the_text() {
    let mut transcript = conversation();
    transcript.segments[1].text = " I am\tsorry\r\nabout that. ".to_owned();
    assert_eq!(
        common::text(&transcript, Format::Tsv),
        "start\tend\ttext\n\
         500\t4000\tI've been on hold. Sorry? Yes.\n\
         6000\t8000\tI am sorry about that.\n"
    );
}

#[test]
fn channels_and_speakers_of_all_tracks_are_numbered_together() {
    let on = |track, speaker, channel, start: f64| Segment {
        track: Some(track),
        speaker: Some(speaker),
        channel,
        ..segment(start, start + 0.5, "Hi")
    };
    let segments = vec![
        on(1, 0, None, 0.0),
        on(2, 0, Some(0), 1.0),
        on(2, 1, Some(1), 2.0),
        on(1, 0, None, 3.0),
    ];
    let rttm = common::text(&transcript(segments), Format::Rttm);
    let found: Vec<_> = rttm
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .map(|fields| (fields[2], fields[7]))
        .collect();
    assert_eq!(found, [("1", "spk_0"), ("2", "spk_1"), ("3", "spk_2"), ("1", "spk_0")]);
}

#[test]
fn a_recording_in_which_nobody_speaks_gives_empty_files() {
    for transcript in [transcript(vec![]), transcript(vec![segment(0.0, 1.0, " \n\u{200b}")])] {
        assert_eq!(common::text(&transcript, Format::Rttm), "");
        assert_eq!(common::text(&transcript, Format::Ctm), "");
        assert_eq!(common::text(&transcript, Format::Tsv), "start\tend\ttext\n");
        let results =
            json!({ "transcripts": [{ "transcript": "" }], "items": [], "audio_segments": [] });
        assert_eq!(aws(&transcript)["results"], results);
    }
}

#[test]
fn jsonl_has_a_segment_per_line() {
    let mut transcript = conversation();
    transcript.segments[1].text = "I am\u{2028}sorry.".to_owned();
    let event = Segment { event: Some("bgm".to_owned()), ..segment(9.0, 10.0, "") };
    transcript.segments.extend([segment(8.5, 9.0, " "), event]);
    assert!(transcript.name_speaker(1, "Anna"));
    let jsonl = common::text(&transcript, Format::Jsonl);
    let lines: Vec<Value> =
        jsonl.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect();
    assert_eq!((lines.len(), jsonl.ends_with("}\n")), (3, true), "{jsonl}");
    assert_eq!(lines[0]["speaker_name"], "Speaker 1");
    assert_eq!(
        lines[0]["words"][4],
        json!({ "start": 2.5, "end": 3.0, "text": "Sorry?", "confidence": 0.75, "speaker": 1 })
    );
    let second = json!({
        "id": 1, "start": 6.0, "end": 8.0, "speaker": 1, "language": "en", "text": "I am sorry.",
        "confidence": 0.625, "speaker_name": "Anna",
    });
    assert_eq!(lines[1], second);
    assert_eq!((&lines[2]["event"], &lines[2]["text"]), (&json!("bgm"), &json!("")));
}

#[test]
fn csv_has_a_row_per_segment() {
    let mut transcript = conversation();
    transcript.name_speaker(0, "Müller, \"Jo\"");
    assert_eq!(
        common::text(&transcript, Format::Csv),
        "id,start,end,track,channel,speaker,language,confidence,text\n\
         0,0.500,4.000,,,\"Müller, \"\"Jo\"\"\",en,1.0,I've been on hold. Sorry? Yes.\n\
         1,6.000,8.000,,,Speaker 2,en,0.625,I am sorry about that.\n"
    );
}

#[test]
fn markdown_has_a_paragraph_per_turn() {
    let mut transcript = conversation();
    transcript.name_speaker(1, "*Anna*");
    transcript
        .segments
        .push(Segment { speaker: Some(1), ..segment(9.9, 11.0, "1. <b>Really</b>.") });
    transcript.segments.push(Segment { speaker: Some(1), ..segment(3700.0, 3701.0, "Bye.") });
    assert_eq!(
        common::text(&transcript, Format::Md),
        "# on hold\n\nLanguage: en\n\n\
         **Speaker 1** [00:00:00] I've been on hold.\n\n\
         **\\*Anna\\*** [00:00:02] Sorry?\n\n\
         **Speaker 1** [00:00:03] Yes.\n\n\
         **\\*Anna\\*** [00:00:06] I am sorry about that. 1. \\<b\\>Really\\</b\\>.\n\n\
         **\\*Anna\\*** [01:01:40] Bye.\n"
    );
}

#[test]
fn a_paragraph_ends_after_a_minute() {
    let segments = (0..20).map(|i| segment(f64::from(i) * 8.0, f64::from(i) * 8.0 + 7.0, "Blah."));
    let markdown = common::text(&transcript(segments.collect()), Format::Md);
    let times: Vec<&str> =
        markdown.lines().filter_map(|line| line.get(1..9)).filter(|t| t.contains(':')).collect();
    assert_eq!(times, ["00:00:00", "00:01:04", "00:02:08"], "{markdown}");
}

#[test]
fn whisper_json_is_that_of_whispers_command_line() {
    let mut transcript = conversation();
    transcript.segments[1].no_speech_probability = Some(0.25);
    let json: Value =
        serde_json::from_str(&common::text(&transcript, Format::WhisperJson)).unwrap_or_default();
    assert_eq!(json["text"], " I've been on hold. Sorry? Yes. I am sorry about that.");
    assert_eq!(json["language"], "en");
    let second = json!({
        "id": 1, "seek": 600, "start": 6.0, "end": 8.0, "text": " I am sorry about that.",
        "tokens": [], "temperature": 0.0, "avg_logprob": -0.47, "no_speech_prob": 0.25,
        "compression_ratio": json["segments"][1]["compression_ratio"],
    });
    assert_eq!(json["segments"][1], second);
    assert!(
        json["segments"][1]["compression_ratio"].as_f64().is_some_and(|r| (0.5..1.0).contains(&r))
    );
    let words = json["segments"][0]["words"].as_array().cloned().unwrap_or_default();
    assert_eq!(words.len(), 6);
    assert_eq!(words[3], json!({ "word": " hold.", "start": 1.2, "end": 2.0, "probability": 0.5 }));
}

#[test]
fn verbose_json_is_that_of_openais_api() {
    let json: Value = serde_json::from_str(&common::text(&conversation(), Format::VerboseJson))
        .unwrap_or_default();
    assert_eq!((&json["task"], &json["language"]), (&json!("transcribe"), &json!("english")));
    assert_eq!(
        (&json["duration"], json["segments"].as_array().map(Vec::len)),
        (&json!(60.0), Some(2))
    );
    assert_eq!(json["text"], "I've been on hold. Sorry? Yes. I am sorry about that.");
    assert_eq!(json["words"][3], json!({ "word": "hold", "start": 1.2, "end": 2.0 }));
    assert_eq!(json["segments"][0]["text"], " I've been on hold. Sorry? Yes.");
    // Without words and language.
    let json = common::text(&transcript(vec![segment(0.0, 1.0, "你好")]), Format::VerboseJson);
    let json: Value = serde_json::from_str(&json).unwrap_or_default();
    assert_eq!((&json["language"], json.get("words")), (&json!("unknown"), None));
    assert_eq!(json["segments"][0]["text"], "你好");
}

/// A name that a person has given is in all formats for people.
#[test]
fn a_name_is_shown_instead_of_the_label() {
    let mut transcript = conversation();
    assert!(transcript.name_speaker(0, "Anna  Smith\n") && !transcript.name_speaker(2, "Nobody"));
    assert_eq!(transcript.speakers[0].name.as_deref(), Some("Anna Smith"));
    for format in [Format::Srt, Format::Vtt, Format::Txt, Format::Md, Format::Csv, Format::Jsonl] {
        let text = common::text(&transcript, format);
        assert!(text.contains("Anna Smith") && !text.contains("Speaker 1"), "{format}: {text}");
    }
    assert!(common::text(&transcript, Format::Rttm).contains(" Anna_Smith <NA>"));
    assert!(common::text(&transcript, Format::Aws).contains("\"spk_0\""));
    transcript.name_speaker(0, "-->\u{202e}<i>");
    assert!(common::text(&transcript, Format::Vtt).contains("<v --&gt;&lt;i&gt;>"));
    assert!(common::text(&transcript, Format::Srt).contains("→<i>: I've"));
}
