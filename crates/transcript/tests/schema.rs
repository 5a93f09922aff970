//! The published schema matches the types, accepts valid transcripts and refuses invalid ones.

use std::{error::Error, fs};

use errors::Chain;
use serde_json::{Value, json};
use transcript::{InvalidTranscript, Transcript};

const SCHEMA: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schemas/transcript.v2.schema.json");

/// `UPDATE_SCHEMAS=1 cargo test -p transcript` updates the file.
#[test]
fn the_published_schema_matches_the_types() -> Result<(), Box<dyn Error>> {
    let schema = transcript::json_schema();
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        fs::write(SCHEMA, serde_json::to_string_pretty(&schema)? + "\n")?;
    }
    let published: Value = serde_json::from_slice(&fs::read(SCHEMA)?)?;
    assert!(published == schema, "run UPDATE_SCHEMAS=1 cargo test -p transcript");
    Ok(())
}

fn example() -> Value {
    json!({
        "version": 2,
        "source": {
            "uri": "s3://calls/2026/11/22/0042.wav",
            "size": 1_440_044,
            "etag": "9b2cf535f27731c974343645a3985328",
            "duration": 45.0,
            "channels": 2,
            "sample_rate": 8000,
            "container": "wav",
            "codec": "pcm_mulaw",
            "warnings": ["the file ends 12 bytes early"]
        },
        "pipeline": {
            "version": "scriptorium 0.1.0",
            "recognizer": "whisper-tiny.en",
            "vad": "fsmn-vad",
            "punctuation": "ct-punc",
            "speakers": "campplus",
            "precision": "int8",
            "fingerprint": "5f70bf18a086007016e948b04aed3b82"
        },
        "language": "en",
        "text": "Hello.",
        "speakers": [
            { "id": 0, "label": "Speaker 1", "name": "Anna", "channel": 0, "track": 1, "seconds": 0.4 },
            { "id": 1, "label": "Speaker 2", "channel": 0, "track": 1, "seconds": 1.12 }
        ],
        "segments": [{
            "id": 0,
            "start": 0.38,
            "end": 1.9,
            "track": 1,
            "channel": 0,
            "speaker": 1,
            "language": "en",
            "text": "Hello.",
            "confidence": 0.9731,
            "no_speech_probability": 0.0125,
            "emotion": "happy",
            "event": "laughter",
            "words": [
                { "start": 0.4, "end": 0.8, "text": "Hello.", "confidence": 0.5, "speaker": 0, "other_speaker": 1 }
            ]
        }],
        "turns": [
            { "start": 0.375, "end": 0.85, "speaker": 0, "track": 1, "channel": 0 },
            { "start": 0.5, "end": 1.95, "speaker": 1, "track": 1, "channel": 0 }
        ],
        "processing": {
            "finished_at": "2026-11-22T07:38:18Z",
            "wall_seconds": 1.52,
            "cpu_seconds": 1.44,
            "audio_seconds_per_core_second": 31.25,
            "stages": [{ "name": "decode", "seconds": 0.03 }]
        }
    })
}

fn read(value: &Value) -> Result<Transcript, InvalidTranscript> {
    Transcript::from_json(value.to_string().as_bytes())
}

#[test]
fn an_example_is_valid_and_reads_back_the_same() -> Result<(), Box<dyn Error>> {
    let validator = jsonschema::validator_for(&transcript::json_schema())?;
    let transcript = read(&example())?;
    let json = transcript.to_json_pretty();
    let written: Value = serde_json::from_str(&json)?;
    assert_eq!(written, example());
    assert!(validator.is_valid(&written));
    assert_eq!(Transcript::from_json(json.as_bytes())?, transcript);
    assert!(json.ends_with("}\n"));
    Ok(())
}

#[test]
fn a_transcript_is_known_by_its_beginning() -> Result<(), Box<dyn Error>> {
    let json = read(&example())?.to_json_pretty();
    let later = json.replacen("\"version\": 2", "\"version\": 12", 1);
    for ours in [&json, &json[..100], &later, &json.replace([' ', '\n'], "")] {
        assert!(Transcript::is_of_any_version(ours.as_bytes()), "{ours}");
    }
    for theirs in ["", "{}", "[]", "{\"version\": 1, \"name\": \"config\"}", "{\"version\":\"1\"}"]
    {
        assert!(!Transcript::is_of_any_version(theirs.as_bytes()), "{theirs}");
    }
    Ok(())
}

#[test]
fn optional_fields_may_be_omitted() -> Result<(), Box<dyn Error>> {
    let validator = jsonschema::validator_for(&transcript::json_schema())?;
    let mut sparse = example();
    let optional = [
        ("/source", &["warnings"][..]),
        ("/pipeline", &["punctuation", "speakers"]),
        ("", &["language", "speakers", "turns"]),
        (
            "/segments/0",
            &[
                "track",
                "channel",
                "speaker",
                "language",
                "no_speech_probability",
                "emotion",
                "event",
                "words",
            ],
        ),
    ];
    for (pointer, names) in optional {
        let object = sparse.pointer_mut(pointer).and_then(Value::as_object_mut).ok_or(pointer)?;
        object.retain(|name, _| !names.contains(&&**name));
    }
    assert!(validator.is_valid(&sparse));
    assert_eq!(serde_json::to_value(read(&sparse)?)?, sparse);
    Ok(())
}

#[test]
fn schema_and_reader_refuse_the_same_errors() -> Result<(), Box<dyn Error>> {
    let validator = jsonschema::validator_for(&transcript::json_schema())?;
    let wrong = [
        ("/version", json!(3), "transcript has version 3; this program reads versions 1 and 2"),
        (
            "/version",
            json!("2"),
            "transcript has version \"2\"; this program reads versions 1 and 2",
        ),
        ("/version", json!(null), "there is no `version`"),
        ("/text", json!(null), "not valid at text: invalid type: null"),
        ("/source/size", json!(-1), "not valid at source.size: invalid value: integer `-1`"),
        ("/source/duration", json!(-1.0), "source.duration: -1 is negative"),
        ("/source/duration", json!(null), "source.duration: invalid type: null, expected f64"),
        ("/speakers/0/seconds", json!(-2), "speakers[0].seconds: -2 is negative"),
        ("/speakers/0/name", json!("n".repeat(101)), "speakers[0].name: it has more than 100 char"),
        ("/speakers/1", json!("Anna"), "not valid at speakers[1]: invalid type: string"),
        ("/segments", json!({}), "not valid at segments: invalid type: map"),
        ("/segments/0/start", json!(-0.5), "segments[0].start: -0.5 is before the recording"),
        (
            "/segments/0/confidence",
            json!(1.5),
            "segments[0].confidence: 1.5 is not between 0 and 1",
        ),
        (
            "/segments/0/no_speech_probability",
            json!(2),
            "segments[0].no_speech_probability: 2 is not",
        ),
        ("/turns/0/start", json!(-1), "turns[0].start: -1 is before the recording"),
        ("/turns/1/speaker", json!(null), "not valid at turns[1].speaker: invalid type: null"),
        ("/segments/0/words/0/confidence", json!(-1), "segments[0].words[0].confidence: -1 is not"),
        ("/segments/0/text", json!(["Hello"]), "at segments[0].text: invalid type: sequence"),
        ("/segments/0/id", json!(-1), "not valid at segments[0].id: invalid value"),
        ("/pipeline", json!({}), "not valid at pipeline: missing field `version`"),
        (
            "/processing/stages/0",
            json!({ "name": "vad" }),
            "at processing.stages[0]: missing field",
        ),
    ];
    for (pointer, value, reason) in wrong {
        let mut transcript = example();
        *transcript.pointer_mut(pointer).ok_or(pointer)? = value;
        assert!(!validator.is_valid(&transcript), "{pointer}: {transcript:#}");
        let error = Chain(&read(&transcript).err().ok_or(pointer)?).to_string();
        assert!(error.contains(reason), "{pointer}: {error}");
    }
    Ok(())
}

#[test]
fn the_reader_checks_the_version_first() {
    let refused = |bytes: &[u8]| {
        Transcript::from_json(bytes)
            .map_or_else(|error| Chain(&error).to_string(), |_| "read".to_owned())
    };
    assert_eq!(
        refused(br#"{"version": 7, "anything": "else"}"#),
        "transcript has version 7; this program reads versions 1 and 2"
    );
    assert!(refused(b"[1]").contains("not a JSON object"));
    assert!(refused(b"").contains("not a JSON object"));
    assert!(refused(br#"{"version": 2, "version": 2}"#).contains("duplicate field"));
    assert!(refused(b"{\"version\": 2, \"x\": \"\xff\"}").contains("not valid UTF-8"));
}

/// What a schema cannot say.
#[test]
fn the_reader_refuses_what_contradicts_itself() -> Result<(), Box<dyn Error>> {
    for (pointer, value, reason) in [
        ("/segments/0/end", json!(0.1), "segments[0].end: 0.1 is before the start at 0.38"),
        (
            "/segments/0/words/0/end",
            json!(0.1),
            "segments[0].words[0].end: 0.1 is before the start",
        ),
        ("/segments/0/speaker", json!(7), "segments[0].speaker: 7 is not the id of one of the"),
        ("/segments/0/words/0/speaker", json!(2), "segments[0].words[0].speaker: 2 is not the id"),
        (
            "/segments/0/words/0/other_speaker",
            json!(2),
            "segments[0].words[0].other_speaker: 2 is not",
        ),
        (
            "/turns/1/speaker",
            json!(2),
            "turns[1].speaker: 2 is not the id of one of the `speakers`",
        ),
        ("/turns/0/end", json!(0.1), "turns[0].end: 0.1 is before the start at 0.375"),
        ("/speakers/1/id", json!(0), "speakers[1].id: 0 does not follow the id before it"),
    ] {
        let mut transcript = example();
        *transcript.pointer_mut(pointer).ok_or(pointer)? = value;
        let error = Chain(&read(&transcript).err().ok_or(pointer)?).to_string();
        assert!(error.contains(reason), "{pointer}: {error}");
    }
    let mut twice = example();
    let segment = twice["segments"][0].clone();
    twice["segments"].as_array_mut().ok_or("no segments")?.push(segment);
    let error = read(&twice).err().ok_or("two segments with one id")?.to_string();
    assert!(error.contains("segments[1].id: 0 is the id of another segment"), "{error}");
    Ok(())
}

#[test]
fn a_message_does_not_quote_a_whole_file() -> Result<(), Box<dyn Error>> {
    let mut transcript = example();
    transcript["segments"][0]["start"] = json!("x".repeat(1_000_000));
    let error = read(&transcript).err().ok_or("a text for a number")?.to_string();
    assert!(error.len() < 500 && error.contains("segments[0].start"), "{}", error.len());
    Ok(())
}

/// Newer minor versions may add fields anywhere.
#[test]
fn fields_that_are_not_known_are_left_out() -> Result<(), Box<dyn Error>> {
    let validator = jsonschema::validator_for(&transcript::json_schema())?;
    let mut newer = example();
    for pointer in [
        "",
        "/source",
        "/pipeline",
        "/speakers/0",
        "/segments/0",
        "/segments/0/words/0",
        "/turns/0",
        "/processing",
    ] {
        newer.pointer_mut(pointer).ok_or(pointer)?["mood"] = json!({ "of": ["the", "day"] });
    }
    assert!(validator.is_valid(&newer));
    assert_eq!(serde_json::to_value(read(&newer)?)?, example());
    Ok(())
}

/// An address at which the schema is found, by which other schemas and editors refer to it.
#[test]
fn the_schema_has_the_address_of_its_file() {
    let schema = transcript::json_schema();
    let id = schema["$id"].as_str().unwrap_or_default();
    assert!(
        id.starts_with("https://") && id.ends_with("/docs/schemas/transcript.v2.schema.json"),
        "{id}"
    );
}

#[test]
fn numbers_are_written_rounded_and_never_as_null() -> Result<(), Box<dyn Error>> {
    let mut transcript = read(&example())?;
    transcript.segments[0].start = 0.379_999_995;
    transcript.segments[0].confidence = f32::NAN;
    transcript.processing.audio_seconds_per_core_second = f64::INFINITY;
    let written: Value = serde_json::from_str(&transcript.to_json_pretty())?;
    assert_eq!(written["segments"][0]["start"], json!(0.38));
    assert_eq!(written["segments"][0]["confidence"], json!(0.0));
    assert_eq!(written["processing"]["audio_seconds_per_core_second"], json!(0.0));
    Ok(())
}
