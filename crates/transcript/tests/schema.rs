//! The published schema matches the types, accepts valid transcripts and refuses invalid ones.

use std::{error::Error, fs};

use errors::Chain;
use serde_json::{Value, json};
use transcript::{InvalidTranscript, Transcript};

const SCHEMA: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schemas/transcript.v1.schema.json");

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
        "version": 1,
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
        "segments": [{
            "start": 0.38,
            "end": 1.9,
            "channel": 0,
            "speaker": 1,
            "language": "en",
            "text": "Hello.",
            "confidence": 0.9731,
            "emotion": "happy",
            "event": "laughter",
            "words": [
                { "start": 0.4, "end": 0.8, "text": "Hello.", "confidence": 0.5, "speaker": 0 }
            ]
        }],
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
    let later = json.replacen("\"version\": 1", "\"version\": 12", 1);
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
        ("/segments/0", &["channel", "speaker", "language", "emotion", "event", "words"]),
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
        ("/version", json!(2), "transcript has version 2; this program supports version 1"),
        ("/version", json!("1"), "transcript has version \"1\"; this program supports version 1"),
        ("/version", json!(null), "there is no `version`"),
        ("/source/size", json!(-1), "integer `-1`"),
        ("/source/duration", json!(-1.0), "-1 is negative"),
        ("/source/duration", json!(null), "invalid type: null, expected f64"),
        ("/segments", json!({}), "invalid type: map"),
        ("/segments/0/start", json!(-0.5), "segment 0: starts at -0.5, before the recording"),
        ("/segments/0/confidence", json!(1.5), "segment 0: confidence 1.5 is not between 0 and 1"),
        ("/segments/0/words/0/confidence", json!(-1), "confidence -1 is not between"),
        ("/segments/0/text", json!(["Hello"]), "expected a string"),
        ("/pipeline", json!({}), "missing field `version`"),
        ("/processing/stages/0", json!({ "name": "vad", "second": 1 }), "unknown field `second`"),
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
        "transcript has version 7; this program supports version 1"
    );
    assert!(refused(b"[1]").contains("not a JSON object"));
    assert!(refused(b"").contains("not a JSON object"));
    assert!(refused(br#"{"version": 1, "version": 1}"#).contains("duplicate field"));
    assert!(refused(b"{\"version\": 1, \"x\": \"\xff\"}").contains("not valid UTF-8"));
    let mut backwards = example();
    backwards["segments"][0]["end"] = json!(0.1);
    assert!(refused(backwards.to_string().as_bytes()).contains("ends at 0.1, before its start"));
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
