//! Tests of FunASR's models: a small trained Paraformer, in the directory that FunASR's exporter
//! wrote, compared with the output of FunASR's own runtime for the same recordings.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::Value;

use crate::{
    services::Services,
    support::{Scriptorium, fixture, models, read_json, text_of},
};

/// Returns the texts that funasr_onnx recognized in the segments of each recording, by name.
fn expected() -> BTreeMap<String, Vec<String>> {
    let text = |entry: &Value| entry["text"].as_str().unwrap().to_owned();
    let texts = |entry: &Value| match entry["segments"].as_array() {
        Some(segments) => segments.iter().map(text).collect(),
        None => vec![text(entry)],
    };
    let expected = read_json(&fixture("words/expected.json"));
    let all = expected.as_object().unwrap();
    all.iter().map(|(name, entry)| (format!("{name}.flac"), texts(entry))).collect()
}

fn words_model() -> String {
    fixture("words/model").to_str().unwrap().to_owned()
}

fn check(transcript: &Value, name: &str, expected: &[String]) {
    assert_eq!(text_of(transcript), expected.join(" "), "{name}");
    assert_eq!(transcript["pipeline"]["recognizer"], "model");
    assert_eq!(transcript["pipeline"]["precision"], "int8");
    for segment in transcript["segments"].as_array().unwrap() {
        let words = segment["words"].as_array().unwrap();
        let joined: Vec<_> = words.iter().map(|word| word["text"].as_str().unwrap()).collect();
        assert_eq!(joined.join(" "), segment["text"].as_str().unwrap(), "{name}");
        let mut end = segment["start"].as_f64().unwrap();
        for word in words {
            let start = word["start"].as_f64().unwrap();
            assert!(start >= end - 1e-6, "{name}: {segment:#}");
            end = word["end"].as_f64().unwrap();
            assert!(end > start, "{name}: {segment:#}");
        }
        assert!(end <= segment["end"].as_f64().unwrap() + 1e-6, "{name}: {segment:#}");
    }
}

#[test]
fn a_trained_paraformer_agrees_with_funasr() {
    let Some(models) = models() else { return };
    let out = tempfile::tempdir().unwrap();
    let audio = fixture("words/audio");
    let arguments = ["transcribe", audio.to_str().unwrap(), "--model", &words_model()];
    let more = ["--out", out.path().to_str().unwrap(), "--format", "json,srt", "--json"];
    Scriptorium::new(&models).run(arguments.into_iter().chain(more)).expect_code(0);
    let expected = expected();
    assert!(expected.len() >= 6);
    for (name, texts) in &expected {
        let transcript = read_json(&out.path().join(format!("{name}.json")));
        check(&transcript, name, texts);
    }
    // Each segment lies within the segment that FunASR's detector finds.
    let long = read_json(&out.path().join("long.flac.json"));
    let found = long["segments"].as_array().unwrap();
    let texts: Vec<&str> = found.iter().map(|s| s["text"].as_str().unwrap()).collect();
    assert_eq!(texts, expected["long.flac"]);
    let segments = &read_json(&fixture("words/expected.json"))["long"]["segments"];
    for (segment, detected) in found.iter().zip(segments.as_array().unwrap()) {
        let seconds = |index: usize| detected["milliseconds"][index].as_f64().unwrap() / 1000.0;
        assert!(segment["start"].as_f64().unwrap() >= seconds(0), "{segment:#}");
        assert!(segment["end"].as_f64().unwrap() <= seconds(1), "{segment:#}");
    }
}

/// Speakers who are not in the training data; the expected words are those of funasr_onnx.
#[test]
fn recognizes_speakers_outside_of_the_training_data() {
    let Some(models) = models() else { return };
    let data = Path::new("/usr/share/pocketsphinx/test/data");
    if !data.exists() {
        eprintln!("skipped: pocketsphinx-testdata is not installed; run `make test`");
        return;
    }
    let raw = fs::read(data.join("tidigits/dhd.2934z.raw")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let digits = directory.path().join("digits.wav");
    let samples = raw.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]]));
    crate::support::write_wav(&digits, 16_000, 1, raw.len() as u32, samples);
    let cards = data.join("cards/004.wav");
    for (wav, words) in [(digits, "two nine three four zero"), (cards, "five five")] {
        let arguments = ["transcribe", wav.to_str().unwrap(), "--model", &words_model()];
        let ran = Scriptorium::new(&models).run(arguments).expect_code(0);
        assert_eq!(ran.stdout.trim(), words, "{}", wav.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_can_ask_for_a_preset() {
    let (Some(models), Some(services)) = (models(), Services::of_test("presets")) else { return };
    let bucket = services.bucket().await;
    let expected = expected();
    for name in expected.keys() {
        let audio = fs::read(fixture("words/audio").join(name)).unwrap();
        bucket.put(&format!("in/{name}"), audio).await;
    }
    let scriptorium = services
        .scriptorium(&models)
        .with("SCRIPTORIUM__MODELS__ALSO", &words_model())
        .with("SCRIPTORIUM__RECOGNIZER__HOTWORDS", "Scriptorium");
    let directory = tempfile::tempdir().unwrap();
    let mut worker = scriptorium.start(["worker"], &directory.path().join("log"));

    let recordings = services.uri("in/");
    let submit = |out: &str, more: &[&str]| {
        let arguments = [&["submit", &recordings, "--out", out], more].concat();
        scriptorium.run(arguments.into_iter().chain(["--wait", "--json"]))
    };
    let out = services.uri("out");
    let status = submit(&out, &["--model", "model", "--hotwords", "left,right"]).expect_code(0);
    assert_eq!(status.json()["done"], expected.len());
    for (name, texts) in &expected {
        let json = bucket.get(&format!("out/{name}.json")).await;
        let transcript: Value = serde_json::from_slice(&json).unwrap();
        check(&transcript, name, texts);
        let warning = &transcript["source"]["warnings"][0];
        assert!(warning.as_str().unwrap().contains("hotwords are ignored"), "{warning}");
    }

    let lost = services.uri("lost");
    let status = submit(&lost, &["--model", "paraformer-unheard-of"]).expect_code(1).json();
    assert_eq!(status["failed"], expected.len(), "{status}");
    let failure = &status["failures"][0];
    assert_eq!(failure["code"], "model_unavailable", "{status}");
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains("loaded: model, whisper-tiny.en"), "{message}");
    let unlabelled = services.uri("unlabelled");
    let status = submit(&unlabelled, &["--model", "model", "--speakers=2"]).expect_code(1).json();
    let message = status["failures"][0]["message"].as_str().unwrap();
    assert!(message.contains("no speaker model is loaded"), "{message}");

    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    services.queue().await.delete_queues().await.unwrap();
}

/// A broken model directory is reported at start-up, not by the first job.
#[test]
fn names_a_broken_model_directory_and_its_fault() {
    let Some(models) = models() else { return };
    let wav = fixture("words/audio/01_phrase.flac");
    let broken = |change: &dyn Fn(&Path)| {
        let directory = tempfile::tempdir().unwrap();
        let model = directory.path().join("broken");
        fs::create_dir(&model).unwrap();
        for name in ["model_quant.onnx", "am.mvn", "config.yaml", "tokens.json"] {
            fs::copy(fixture("words/model").join(name), model.join(name)).unwrap();
        }
        change(&model);
        let arguments = ["transcribe", wav.to_str().unwrap(), "--model", model.to_str().unwrap()];
        let ran = Scriptorium::new(&models).run(arguments).expect_code(1);
        assert_eq!(ran.stdout, "");
        ran.stderr
    };
    let write = |name: &'static str, text: &'static str| {
        move |model: &Path| fs::write(model.join(name), text).unwrap()
    };
    for (stderr, file, fault) in [
        (broken(&write("tokens.json", r#"["<blank>", "<s>", "</s>"]"#)), "tokens.json", "3 tokens"),
        (
            broken(&write("config.yaml", "frontend_conf: [")),
            "config.yaml",
            "not a model's configuration",
        ),
        (broken(&write("am.mvn", "<Nnet>")), "am.mvn", "<AddShift>"),
        (broken(&write("model_quant.onnx", "no model")), "model_quant.onnx", "not an ONNX model"),
        (broken(&|model| fs::remove_file(model.join("am.mvn")).unwrap()), "am.mvn", "missing"),
    ] {
        assert!(stderr.contains(file) && stderr.contains(fault), "{file}: {stderr}");
    }
}

/// Most punctuation models are published in int8 only; the recognizer can run in f32 nevertheless.
#[test]
fn the_punctuation_model_may_have_another_precision() {
    let Some(models) = models() else { return };
    let directory = tempfile::tempdir().unwrap();
    let compressed = fixture("funasr/ct-punc/model_quant.onnx.gz");
    let unpacked = Command::new("gzip").arg("-dc").arg(compressed).output().unwrap();
    fs::write(directory.path().join("model_quant.onnx"), unpacked.stdout).unwrap();
    let config = "model: CTTransformer\nmodel_conf:\n  punc_list: [<unk>, _, ',', 。, '?', 、]\n";
    fs::write(directory.path().join("config.yaml"), config).unwrap();
    let tokens = directory.path().join("tokens.json");
    fs::copy(fixture("punctuation/tokens.json"), tokens).unwrap();
    let wav = fixture("words/audio/01_phrase.flac");
    let punctuation = ["--punctuation-model", directory.path().to_str().unwrap()];
    let arguments = ["transcribe", wav.to_str().unwrap(), "--precision", "f32"];
    Scriptorium::new(&models).run(arguments.into_iter().chain(punctuation)).expect_code(0);
}

#[test]
fn inspects_a_model_directory() {
    let Some(models) = models() else { return };
    let inspect = |path: &str| Scriptorium::new(&models).run(["models", "inspect", path, "--json"]);
    let words = inspect(&words_model()).expect_code(0).json();
    assert_eq!(words["family"], "paraformer", "{words:#}");
    assert_eq!(words["precisions"], serde_json::json!(["int8"]), "{words:#}");
    let whisper = inspect("whisper-tiny.en").expect_code(0).json();
    assert_eq!(whisper["family"], "whisper", "{whisper:#}");
    assert_eq!(whisper["vocabulary"], 51864, "{whisper:#}");
    let whisper = inspect("whisper-base").expect_code(0).json();
    assert_eq!(whisper["vocabulary"], 51865, "{whisper:#}");
    assert_eq!(whisper["languages"], serde_json::json!(["multilingual"]), "{whisper:#}");
    let nothing = tempfile::tempdir().unwrap();
    let error = inspect(nothing.path().to_str().unwrap()).expect_code(1).stderr;
    assert!(error.contains(nothing.path().to_str().unwrap()), "{error}");
}

/// Uses the trained CAM++ and recordings of real people.
#[test]
fn labels_the_speakers_of_a_conversation() {
    let Some(models) = models() else { return };
    let data = Path::new("/usr/share/pocketsphinx/test/data");
    if !models.join("campplus").exists() || !data.exists() {
        // No package provides the weights on some platforms.
        eprintln!("skipped: no campplus in SCRIPTORIUM_TEST_MODELS, or no pocketsphinx-testdata");
        return;
    }
    // A reader and a person who gives commands alternate.
    let mut samples = Vec::new();
    let mut say = |name: &str| {
        let bytes = fs::read(data.join(name)).unwrap();
        let start = if name.ends_with(".wav") { 44 } else { 0 };
        let said = bytes[start..].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]]));
        let begin = samples.len();
        samples.extend(said);
        let middle = (begin + samples.len()) as f64 / 2.0 / 16_000.0;
        samples.extend([0; 16_000]);
        middle
    };
    let clip = |number| format!("librivox/sense_and_sensibility_01_austen_64kb-{number}.wav");
    let (first, second) = (say(&clip("0870")), say("goforward.raw"));
    let (third, fourth) = (say(&clip("0920")), say("something.raw"));
    let directory = tempfile::tempdir().unwrap();
    let wav = directory.path().join("conversation.wav");
    let bytes = u32::try_from(2 * samples.len()).unwrap();
    crate::support::write_wav(&wav, 16_000, 1, bytes, samples.into_iter());

    let arguments = ["transcribe", wav.to_str().unwrap(), "--format", "json"];
    let more = ["--speaker-model", "campplus", "--speakers=2"];
    let transcript = Scriptorium::new(&models)
        // Whisper packs segments into one window, and may write one sentence across two of them.
        .with("SCRIPTORIUM__MODELS__RECOGNIZER", &words_model())
        .run(arguments.into_iter().chain(more))
        .expect_code(0)
        .json();
    assert_eq!(transcript["pipeline"]["speakers"], "campplus");
    let speaker_at = |seconds: f64| {
        let segments = transcript["segments"].as_array().unwrap();
        let covers = |s: &&Value| {
            s["start"].as_f64().unwrap() <= seconds && seconds <= s["end"].as_f64().unwrap()
        };
        segments.iter().find(covers).map(|segment| segment["speaker"].as_u64().unwrap())
    };
    let found = [first, second, third, fourth].map(speaker_at);
    assert_eq!(found, [Some(0), Some(1), Some(0), Some(1)], "{transcript:#}");
}
