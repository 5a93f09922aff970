//! Tests of Parakeet-TDT's models: small ones of random weights, whose text is meaningless, in the
//! directories that users have.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    services::Services,
    support::{Scriptorium, fixture, models, text_of},
};

/// Copies files of the fixtures to a directory. Those of sherpa-onnx's layout have metadata.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (from, to) in files {
        let mut bytes = fs::read(fixture("parakeet").join(from)).unwrap();
        if to.starts_with("encoder.") {
            // `ModelProto.metadata_props`, appended: a key and a value.
            let (key, value) = (b"vocab_size", b"80");
            bytes.extend([14 << 3 | 2, 16, 1 << 3 | 2, 10]);
            bytes.extend(key);
            bytes.extend([2 << 3 | 2, 2]);
            bytes.extend(value);
        }
        fs::write(directory.path().join(to), bytes).unwrap();
    }
    directory
}

const ONNX_ASR: [(&str, &str); 3] = [
    ("onnx-asr/encoder-model.onnx", "encoder-model.onnx"),
    ("onnx-asr/decoder_joint-model.onnx", "decoder_joint-model.onnx"),
    ("onnx-asr/vocab.txt", "vocab.txt"),
];
const SHERPA_ONNX: [(&str, &str); 4] = [
    ("onnx-asr/encoder-model.onnx", "encoder.onnx"),
    ("sherpa-onnx/decoder.onnx", "decoder.onnx"),
    ("sherpa-onnx/joiner.onnx", "joiner.onnx"),
    ("onnx-asr/vocab.txt", "tokens.txt"),
];

/// Checks that words are in order, within their segments, and no names of special tokens.
fn check(transcript: &Value) {
    let segments = transcript["segments"].as_array().unwrap();
    assert!(!segments.is_empty(), "{transcript:#}");
    for segment in segments {
        let times = |value: &Value| [&value["start"], &value["end"]].map(|t| t.as_f64().unwrap());
        let [mut last, segment_end] = times(segment);
        let words = segment["words"].as_array().unwrap();
        assert!(!words.is_empty(), "{segment:#}");
        for word in words {
            let [start, end] = times(word);
            assert!(
                last - 1e-6 <= start && start <= end && end <= segment_end + 1e-6,
                "{segment:#}"
            );
            assert!(!word["text"].as_str().unwrap().contains('<'), "{segment:#}");
            last = start;
        }
    }
}

fn transcribe(models: &Path, model: &Path, more: &[&str]) -> Value {
    let recording = fixture("speakers/conversations/c2-29.flac");
    let arguments = ["transcribe", recording.to_str().unwrap(), "--format", "json"];
    let model = ["--model", model.to_str().unwrap()];
    let ran = Scriptorium::new(models).run([&arguments[..], &model, more].concat());
    ran.expect_code(0).json()
}

#[test]
fn both_layouts_of_parakeet_transcribe_alike() {
    let Some(models) = models() else { return };
    let (a, b) = (directory(&ONNX_ASR), directory(&SHERPA_ONNX));
    for precision in ["f32", "int8"] {
        let [a, b] = [&a, &b].map(|layout| {
            transcribe(&models, layout.path(), &["--precision", precision, "--hotwords", "Emma"])
        });
        check(&a);
        assert_eq!(text_of(&a), text_of(&b));
        assert_eq!(a["segments"], b["segments"]);
        assert_eq!(a["pipeline"]["precision"], precision);
        let warnings = a["source"]["warnings"].to_string();
        assert!(warnings.contains("hotwords are ignored"), "{warnings}");
    }
    if models.join("campplus").exists() {
        let labelled = transcribe(&models, a.path(), &["--speakers"]);
        check(&labelled);
        assert!(!labelled["speakers"].as_array().unwrap().is_empty(), "{labelled:#}");
    }
}

#[test]
fn a_directory_of_parakeet_says_what_is_wrong_with_it() {
    let Some(models) = models() else { return };
    let recording = fixture("speakers/conversations/s5-00.flac");
    let fails = |directory: &Path, more: &[&str], expected: &str| {
        let arguments = ["transcribe", recording.to_str().unwrap(), "--model"];
        let model = [directory.to_str().unwrap()];
        let ran = Scriptorium::new(&models).run([&arguments[..], &model, more].concat());
        let stderr = ran.expect_code(1).stderr;
        assert!(stderr.contains(expected), "{expected}: {stderr}");
    };
    let whole = directory(&ONNX_ASR);
    fails(whole.path(), &["--language", "el"], "knows only English, not `el`");
    let without_encoder = directory(&ONNX_ASR[1..]);
    fails(without_encoder.path(), &[], "encoder");
    let without_vocabulary = directory(&SHERPA_ONNX[..3]);
    fails(without_vocabulary.path(), &[], "vocabulary");
    let quantized = directory(&[
        ("onnx-asr/encoder-model.int8.onnx", "encoder-model.int8.onnx"),
        ("onnx-asr/decoder_joint-model.int8.onnx", "decoder_joint-model.int8.onnx"),
        ONNX_ASR[2],
    ]);
    check(&transcribe(&models, quantized.path(), &[]));
    fails(quantized.path(), &["--precision", "f32"], "f32 needs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_may_name_parakeet() {
    let (Some(models), Some(services)) = (models(), Services::of_test("parakeet")) else { return };
    let model = directory(&ONNX_ASR);
    let bucket = services.bucket().await;
    let recording = fs::read(fixture("speakers/conversations/c2-29.flac")).unwrap();
    bucket.put("in/talk.flac", recording).await;
    let scriptorium = services
        .scriptorium(&models)
        .with("SCRIPTORIUM__MODELS__RECOGNIZER", model.path().to_str().unwrap());
    let logs = tempfile::tempdir().unwrap();
    let mut worker = scriptorium.start(["worker"], &logs.path().join("log"));
    let (recordings, out) = (services.uri("in/"), services.uri("out"));
    let status = scriptorium
        .run(["submit", &recordings, "--out", &out, "--wait", "--json"])
        .expect_code(0)
        .json();
    assert_eq!(status["done"], 1, "{status}");
    let json = bucket.get("out/talk.flac.json").await;
    let transcript: Value = serde_json::from_slice(&json).unwrap();
    check(&transcript);
    let here = transcribe(&models, model.path(), &[]);
    assert_eq!(transcript["segments"], here["segments"]);
    assert_eq!(transcript["pipeline"]["fingerprint"], here["pipeline"]["fingerprint"]);
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    services.queue().await.delete_queues().await.unwrap();
}
