//! Transcripts of version 1, which former releases wrote, are read as those of version 2.

use std::{error::Error, fs};

use serde_json::{Value, json};
use transcript::{Format, Transcript};

const SCHEMA: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schemas/transcript.v1.schema.json");

/// Two tracks, each with a speaker 0, and a word of another speaker.
fn version_1() -> Value {
    json!({
        "version": 1,
        "source": {
            "uri": "s3://calls/0042.mkv", "size": 1, "etag": "9b", "duration": 45.0, "channels": 2,
            "sample_rate": 8000, "container": "mkv", "codec": "aac", "warnings": ["short"]
        },
        "pipeline": {
            "version": "scriptorium 0.1.0", "recognizer": "sensevoice", "vad": "fsmn-vad",
            "speakers": "campplus", "precision": "int8", "fingerprint": "5f70"
        },
        "segments": [
            {
                "start": 0.5, "end": 2.5, "track": 1, "speaker": 0, "language": "de", "text": "Ja, gut.",
                "confidence": 0.5, "emotion": "happy", "event": "laughter",
                "words": [
                    { "start": 0.5, "end": 1.0, "text": "Ja,", "confidence": 0.5, "speaker": 1 },
                    { "start": 1.5, "end": 2.5, "text": "gut." }
                ]
            },
            {
                "start": 3.0, "end": 9.25, "track": 2, "channel": 1, "speaker": 0, "language": "en",
                "text": "Yes,\nwell.", "confidence": 0.75
            }
        ],
        "processing": {
            "finished_at": "2026-11-22T07:38:18Z", "wall_seconds": 1.5, "cpu_seconds": 1.4,
            "audio_seconds_per_core_second": 31.25, "stages": [{ "name": "decode", "seconds": 0.03 }]
        }
    })
}

#[test]
fn what_version_2_adds_is_found() -> Result<(), Box<dyn Error>> {
    let old = version_1();
    let published: Value = serde_json::from_slice(&fs::read(SCHEMA)?)?;
    assert!(jsonschema::validator_for(&published)?.is_valid(&old));
    let transcript = Transcript::from_json(old.to_string().as_bytes())?;
    let mut expected = old;
    expected["version"] = json!(2);
    expected["language"] = json!("en");
    expected["text"] = json!("Ja, gut. Yes, well.");
    expected["speakers"] = json!([
        { "id": 0, "label": "Speaker 1", "track": 1, "seconds": 1.0 },
        { "id": 1, "label": "Speaker 2", "track": 1, "seconds": 0.5 },
        { "id": 2, "label": "Speaker 3", "channel": 1, "track": 2, "seconds": 6.25 },
    ]);
    expected["segments"][0]["id"] = json!(0);
    expected["segments"][1]["id"] = json!(1);
    expected["segments"][1]["speaker"] = json!(2);
    let json: Value = serde_json::from_slice(&transcript.render(Format::Json))?;
    assert_eq!(json, expected);
    assert!(jsonschema::validator_for(&transcript::json_schema())?.is_valid(&json));
    // Once upgraded, it stays as it is.
    assert_eq!(Transcript::from_json(json.to_string().as_bytes())?, transcript);
    Ok(())
}

#[test]
fn what_is_wrong_is_refused_with_its_place() -> Result<(), Box<dyn Error>> {
    for (pointer, value, reason) in [
        ("/segments/1/start", json!(-1), "segments[1].start: -1 is before the recording"),
        (
            "/segments/0/words/1/end",
            json!("x"),
            "at segments[0].words[1].end: invalid type: string",
        ),
        ("/source", json!({}), "at source: missing field `uri`"),
    ] {
        let mut transcript = version_1();
        *transcript.pointer_mut(pointer).ok_or(pointer)? = value;
        let error =
            Transcript::from_json(transcript.to_string().as_bytes()).err().ok_or(pointer)?;
        assert!(error.to_string().contains(reason), "{pointer}: {error}");
    }
    Ok(())
}

#[test]
fn the_schema_of_version_1_stays_where_it_was() -> Result<(), Box<dyn Error>> {
    let schema: Value = serde_json::from_slice(&fs::read(SCHEMA)?)?;
    let id = schema["$id"].as_str().ok_or("no $id")?;
    assert!(id.ends_with("/docs/schemas/transcript.v1.schema.json"), "{id}");
    assert_eq!(schema["properties"]["version"]["const"], json!(1));
    Ok(())
}
