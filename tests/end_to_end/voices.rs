//! Known voices: enrolled, listed, removed, and named in transcripts.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    services::Services,
    support::{Scriptorium, fixture, models, read_json, without_models, write_wav},
};

const DATA: &str = "/usr/share/pocketsphinx/test/data";
/// Clips of a reader, and of a person who gives commands.
const READER: [&str; 3] = ["0880", "0890", "0930"];

/// Returns the pulled models, if the trained CAM++ and recordings of real people are there.
fn trained() -> Option<PathBuf> {
    let models = models()?;
    if !models.join("campplus").exists() || !Path::new(DATA).exists() {
        // No package provides the weights on some platforms.
        eprintln!("skipped: no campplus in SCRIPTORIUM_TEST_MODELS, or no pocketsphinx-testdata");
        return None;
    }
    Some(models)
}

fn samples(name: &str) -> Vec<i16> {
    let bytes = fs::read(Path::new(DATA).join(name)).unwrap();
    let start = if name.ends_with(".wav") { 44 } else { 0 };
    bytes[start..].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
}

fn clip(number: &str) -> String {
    format!("librivox/sense_and_sensibility_01_austen_64kb-{number}.wav")
}

/// Writes clips, with pauses between them.
fn write(path: &Path, clips: &[&str]) {
    let mut all = Vec::new();
    for clip in clips {
        all.extend(samples(clip));
        all.extend([0; 16_000]);
    }
    write_wav(path, 16_000, 1, u32::try_from(2 * all.len()).unwrap(), all.into_iter());
}

/// Enrolls the reader as Jane and the other one as Tom; returns the file.
fn enroll(scriptorium: &Scriptorium, folder: &Path) -> PathBuf {
    let voices = folder.join("voices.json");
    let jane = folder.join("jane");
    fs::create_dir(&jane).unwrap();
    for number in READER {
        write(&jane.join(format!("{number}.wav")), &[&clip(number)]);
    }
    let tom = folder.join("tom.wav");
    write(&tom, &["numbers.raw", "tidigits/dhd.2934z.raw"]);
    let file = voices.to_str().unwrap();
    for (name, path) in [("Jane", &jane), ("Tom", &tom)] {
        let path = path.to_str().unwrap();
        let enrolled = ["speakers", "enroll", name, path, "--voices", file];
        let enrolled = scriptorium.run(enrolled).expect_code(0);
        assert!(enrolled.stdout.starts_with(&format!("{name}: ")), "{enrolled:?}");
        assert!(!enrolled.stderr.contains("several people"), "{enrolled:?}");
    }
    voices
}

/// Writes a conversation of the two, with what they say elsewhere.
fn conversation(path: &Path) {
    write(path, &[&clip("0870"), "goforward.raw", &clip("0920"), "something.raw"]);
}

/// Returns the names of the speakers of a transcript, in order of their first word.
fn names(transcript: &Value) -> Vec<&str> {
    let speakers = transcript["speakers"].as_array().unwrap();
    speakers.iter().map(|speaker| speaker["name"].as_str().unwrap_or("")).collect()
}

#[test]
fn known_voices_get_their_names() {
    let Some(models) = trained() else { return };
    let scriptorium = Scriptorium::new(&models);
    let directory = tempfile::tempdir().unwrap();
    let voices = enroll(&scriptorium, directory.path());
    assert_eq!(fs::metadata(&voices).unwrap().permissions().mode() & 0o777, 0o600);
    let file = voices.to_str().unwrap();
    let wav = directory.path().join("conversation.wav");
    conversation(&wav);
    let wav = wav.to_str().unwrap();
    let transcribe = ["transcribe", wav, "--format", "json", "--voices", file];
    let transcript = scriptorium.run(transcribe).expect_code(0).json();
    assert_eq!(names(&transcript), ["Jane", "Tom"], "{transcript:#}");

    // Of two, the one who is removed has no name any more.
    let list = || scriptorium.run(["speakers", "list", "--voices", file, "--json"]).json();
    let listed = list();
    assert_eq!(listed["encoder"]["name"], "campplus");
    assert_eq!(listed["voices"][0]["recordings"], json!(3), "{listed:#}");
    assert!(listed["voices"][0].get("print").is_none());
    let removed = scriptorium.run(["speakers", "remove", "Tom", "--voices", file]).expect_code(0);
    assert_eq!(removed.stdout, "Tom: removed\n");
    assert_eq!(list()["voices"].as_array().unwrap().len(), 1);
    let transcript = scriptorium.run(transcribe).expect_code(0).json();
    assert_eq!(names(&transcript), ["Jane", ""], "{transcript:#}");

    // A second voice of the name replaces the first only if that is meant.
    let again = ["speakers", "enroll", "Jane", wav, "--voices", file];
    let refused = scriptorium.run(again).expect_code(2);
    assert!(refused.stderr.contains("--replace replaces it"), "{refused:?}");
    let replaced = scriptorium.run(again.into_iter().chain(["--replace"])).expect_code(0);
    assert!(replaced.stderr.contains("sound like several people"), "{replaced:?}");

    // Prints of another model.
    let mut json = read_json(&voices);
    json["encoder"]["digest"] = "0000".into();
    fs::write(&voices, json.to_string()).unwrap();
    let refused = scriptorium.run(transcribe).expect_code(2);
    for part in ["voices.json", "another speaker model", "enroll the voices again"] {
        assert!(refused.stderr.contains(part), "{refused:?}");
    }
    let refused = scriptorium.run(["speakers", "enroll", "Ben", wav, "--voices", file]);
    assert!(refused.expect_code(2).stderr.contains("another speaker model"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_can_name_voices() {
    let (Some(models), Some(services)) = (trained(), Services::of_test("voices")) else { return };
    let bucket = services.bucket().await;
    let scriptorium =
        services.scriptorium(&models).with("SCRIPTORIUM__MODELS__SPEAKERS", "campplus");
    let directory = tempfile::tempdir().unwrap();
    let voices = enroll(&scriptorium, directory.path());
    bucket.put("voices.json", fs::read(&voices).unwrap()).await;
    bucket.put("damaged.json", b"{}".to_vec()).await;
    let wav = directory.path().join("conversation.wav");
    conversation(&wav);
    bucket.put("in/conversation.wav", fs::read(&wav).unwrap()).await;
    let mut worker = scriptorium.start(["worker"], &directory.path().join("log"));
    let submit = |out: &str, voices: &str| {
        let (source, out) = (services.uri("in/"), services.uri(out));
        let voices = services.uri(voices);
        scriptorium.run(["submit", &source, "--out", &out, "--voices", &voices, "--wait", "--json"])
    };
    submit("out", "voices.json").expect_code(0);
    let transcript = bucket.get("out/conversation.wav.json").await;
    assert_eq!(names(&serde_json::from_slice(&transcript).unwrap()), ["Jane", "Tom"]);
    for (name, cause) in [("damaged.json", "not a file of voice prints"), ("none.json", "no such")]
    {
        let status = submit(&format!("out-{name}"), name).expect_code(1).json();
        let failure = &status["failures"][0];
        assert_eq!(failure["code"], "voices_unusable", "{status}");
        let message = failure["message"].as_str().unwrap();
        assert!(message.contains(cause) && message.contains(name), "{message}");
    }
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    services.queue().await.delete_queues().await.unwrap();
}

#[test]
fn mistakes_are_told_before_any_model_is_opened() {
    let (_models, scriptorium) = without_models();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("voices.json");
    let path = file.to_str().unwrap();
    let wav = fixture("speech/sentence.wav");
    let wav = wav.to_str().unwrap();
    let refused = |arguments: &[&str], code: i32, cause: &str| {
        let ran = scriptorium.run(arguments).expect_code(code);
        assert!(ran.stderr.contains(cause), "{ran:?}");
    };
    refused(&["speakers", "list", "--voices", path], 2, "there is no such file");
    refused(&["speakers", "enroll", " Anna", wav, "--voices", path], 2, "try \"Anna\"");
    refused(&["speakers", "enroll", "Anna", "none.wav", "--voices", path], 1, "none.wav");
    refused(&["transcribe", wav, "--voices", path], 2, "voices.json: ");
    refused(&["transcribe", wav, "--voices", "https://example.org/v.json"], 2, "cannot be a URL");
    fs::write(&file, "{\"voice_prints_version\": 7}").unwrap();
    for command in [
        &["speakers", "list", "--voices", path][..],
        &["speakers", "enroll", "Anna", wav, "--voices", path],
        &["transcribe", wav, "--voices", path],
    ] {
        refused(command, 2, "have version 7, this program reads version 1: take a newer program");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "{\"voice_prints_version\": 7}");
}
