//! Tests of Whisper as a whole. Those that need real models run if `SCRIPTORIUM_TEST_MODELS` names a
//! directory with `whisper-tiny.en` (and `whisper-base`), and Debian's `pocketsphinx-testdata` is
//! installed.

use std::{env, fs, path::PathBuf};

use super::*;
use crate::recognizer::{Hypothesis, Precision};

const CLIPS: &str = "/usr/share/pocketsphinx/test/data/librivox";

/// LibriVox clips with the text that faster-whisper 1.2.1 recognizes with `whisper-tiny.en` in f32
/// (the same with greedy search and with 5 beams), and its mean log-probability over all tokens and
/// no-speech probability with greedy search.
const EXPECTED: [(&str, &str, f32, f32); 5] = [
    (
        "0870",
        "And Mr. John Dashwood had then leisure to consider how much there might be prudently in \
         his power to do for them.",
        -0.2229,
        0.0510,
    ),
    ("0880", "He was not an old-sposed young man.", -0.4007, 0.0538),
    (
        "0890",
        "Unless to be rather cold-hearted and rather selfish is to be ill-disposed.",
        -0.3395,
        0.0191,
    ),
    (
        "0920",
        "Had he married a more amiable woman, he might have been made still more respectable than \
         he was.",
        -0.1786,
        0.0272,
    ),
    ("0930", "He might even have been made amiable himself.", -0.2801, 0.0359),
];

fn model(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env::var_os("SCRIPTORIUM_TEST_MODELS")?).join(name);
    path.is_dir().then_some(path)
}

/// Opens a model. Returns `None` and prints the reason if it is not installed.
fn open(name: &str, options: WhisperOptions) -> Option<Whisper> {
    let Some(path) = model(name).filter(|_| PathBuf::from(CLIPS).is_dir()) else {
        println!("skipped: needs {name} in SCRIPTORIUM_TEST_MODELS, and {CLIPS}");
        return None;
    };
    Some(Whisper::open(&path, name, options).unwrap())
}

fn clip(number: &str) -> Vec<f32> {
    let path = format!("{CLIPS}/sense_and_sensibility_01_austen_64kb-{number}.wav");
    let mut reader = hound::WavReader::open(path).unwrap();
    assert_eq!(reader.spec().sample_rate, 16_000);
    reader.samples::<i16>().map(|sample| f32::from(sample.unwrap()) / 32768.0).collect()
}

fn recognize(whisper: &Whisper, samples: &[f32]) -> Vec<Hypothesis> {
    let hypotheses = whisper.recognize(samples, &RecognizeOptions::default()).unwrap().hypotheses;
    let seconds = samples.len() as f64 / 16_000.0;
    for (i, hypothesis) in hypotheses.iter().enumerate() {
        assert!(hypothesis.start < hypothesis.end && hypothesis.end <= seconds, "{hypothesis:?}");
        assert!(i == 0 || hypotheses[i - 1].end <= hypothesis.start);
        assert!(hypothesis.log_probability < 0.0);
    }
    hypotheses
}

fn text(hypotheses: &[Hypothesis]) -> String {
    hypotheses.iter().map(|hypothesis| hypothesis.text.as_str()).collect::<Vec<_>>().join(" ")
}

#[test]
fn text_is_that_of_faster_whisper() {
    for beam_size in [1, 5] {
        let options =
            WhisperOptions { beam_size, precision: Precision::F32, ..WhisperOptions::default() };
        let Some(whisper) = open("whisper-tiny.en", options) else { return };
        for (number, expected, ..) in EXPECTED {
            let hypotheses = recognize(&whisper, &clip(number));
            assert_eq!(text(&hypotheses), expected, "{number}, {beam_size} beams");
        }
    }
}

#[test]
fn probabilities_are_those_of_faster_whisper() {
    let options = WhisperOptions { precision: Precision::F32, ..WhisperOptions::default() };
    let Some(whisper) = open("whisper-tiny.en", options) else { return };
    let mut mel = Vec::new();
    for (number, _, log_probability, no_speech) in EXPECTED {
        whisper.log_mel.compute(&clip(number)).window(0, 3000, &mut mel);
        let audio = whisper.network.encode(&mel).unwrap();
        let header = whisper.header(None, false);
        let decoder = || Model::decoder(&whisper.network, &audio);
        let text = |tokens: &[u32]| whisper.tokenizer.text(tokens);
        let attempt = whisper.decoding(&text).decode(decoder, &header, header.len(), 0).unwrap();
        let off = (attempt.mean_log_probability - log_probability).abs();
        assert!(off < 2e-3, "{number}: {attempt:?}");
        let own = attempt.no_speech_probability.unwrap();
        assert!((own - no_speech).abs() < 2e-3, "{number}: {attempt:?}");
    }
}

/// A tone in noise, noise, and speech that is far too quiet.
fn no_speech() -> [Vec<f32>; 3] {
    let tone = (0..160_000)
        .map(|sample| (std::f64::consts::TAU * 440.0 / 16_000.0 * f64::from(sample)).sin());
    let mut state = 1u64;
    let noise = std::iter::from_fn(|| {
        state = state * 48_271 % 2_147_483_647;
        Some(state as f64 / 2_147_483_647.0 * 0.2 - 0.1)
    });
    let noise: Vec<f64> = noise.take(160_000).collect();
    let both = tone.zip(&noise).map(|(tone, noise)| (0.1 * (tone + noise)) as f32);
    [
        both.collect(),
        noise.iter().map(|&sample| sample as f32).collect(),
        clip("0870").iter().map(|sample| sample * 0.001).collect(),
    ]
}

/// The expected values are faster-whisper 1.2.1's `no_speech_prob`, in f32, or of CTranslate2's
/// `generate(..., return_no_speech_prob=True)` on its features where there is no text.
#[test]
fn no_speech_probability_is_that_of_faster_whisper() {
    let options = WhisperOptions {
        precision: Precision::F32,
        temperatures: vec![0.0],
        ..WhisperOptions::default()
    };
    let Some(whisper) = open("whisper-tiny.en", options) else { return };
    for (number, _, _, expected) in EXPECTED {
        for hypothesis in recognize(&whisper, &clip(number)) {
            let found = hypothesis.no_speech_probability.unwrap();
            assert!((found - expected).abs() < 2e-3, "{number}: {found}");
        }
    }
    let mut mel = Vec::new();
    for (samples, expected) in no_speech().into_iter().zip([0.8703, 0.9391, 0.3895]) {
        whisper.log_mel.compute(&samples).window(0, 3000, &mut mel);
        let audio = whisper.network.encode(&mel).unwrap();
        let header = whisper.header(None, false);
        let decoder = || Model::decoder(&whisper.network, &audio);
        let text = |tokens: &[u32]| whisper.tokenizer.text(tokens);
        let attempt = whisper.decoding(&text).decode(decoder, &header, header.len(), 0).unwrap();
        let found = attempt.no_speech_probability.unwrap();
        assert!((found - expected).abs() < 2e-3, "{found}, not {expected}");
    }
}

#[test]
fn joined_clips_are_split_at_their_times() {
    let options = WhisperOptions { precision: Precision::F32, ..WhisperOptions::default() };
    let Some(whisper) = open("whisper-tiny.en", options) else { return };
    let mut samples: Vec<f32> = EXPECTED.iter().flat_map(|(number, ..)| clip(number)).collect();
    samples.extend([0.0; 3200]);
    let hypotheses = recognize(&whisper, &samples);
    let got: Vec<_> = hypotheses.iter().map(|h| (h.start, h.end, h.text.as_str())).collect();
    assert_eq!(
        got,
        [
            (
                0.0,
                5.54,
                "And Mr. John Dashwood had then leisure to consider how much there might be \
                 prudently in"
            ),
            (5.54, 7.38, "his power to do for them."),
            (7.38, 10.4, "He was not an ill-disposed young man."),
            (
                10.4,
                15.76,
                "Unless to be rather cold-hearted and rather selfish, is to be ill-disposed."
            ),
            (
                15.76,
                20.52,
                "Had he married a more amiable woman he might have been made still more \
                 respectable than"
            ),
            (20.52, 21.76, "he was."),
            (21.76, 24.93, "He might even have been made amiable himself."),
        ]
    );
}

#[test]
fn silence_and_noise_give_no_text() {
    for name in ["whisper-tiny.en", "whisper-base"] {
        let Some(whisper) = open(name, WhisperOptions::default()) else { return };
        assert_no_text(&whisper);
    }
}

fn assert_no_text(whisper: &Whisper) {
    let mut random = fastrand::Rng::with_seed(1);
    let mut noise = |seconds: usize, level: f32| -> Vec<f32> {
        (0..seconds * 16_000).map(|_| (random.f32() - 0.5) * 2.0 * level).collect()
    };
    let mut cases = vec![vec![0.0; 480_000], vec![0.0; 800], vec![f32::NAN; 16_000], vec![]];
    for level in [3e-5, 1e-3, 1e-2, 0.1] {
        cases.push(noise(30, level));
    }
    cases.push(noise(2, 1e-2));
    let hum = |i: usize| 0.1 * (i as f32 * 50.0 * std::f32::consts::TAU / 16_000.0).sin();
    cases.push((0..480_000).map(hum).collect());
    for (i, samples) in cases.iter().enumerate() {
        let name = &whisper.description().name;
        assert_eq!(text(&recognize(whisper, samples)), "", "{name}, case {i}");
    }
}

#[test]
fn sampling_is_deterministic() {
    let options =
        WhisperOptions { temperatures: vec![0.8], best_of: 3, ..WhisperOptions::default() };
    let Some(whisper) = open("whisper-tiny.en", options) else { return };
    let samples = clip("0890");
    assert_eq!(recognize(&whisper, &samples), recognize(&whisper, &samples));
}

fn in_language(language: &str) -> RecognizeOptions {
    RecognizeOptions { language: Some(language.into()), ..RecognizeOptions::default() }
}

#[test]
fn knows_its_languages() {
    let Some(whisper) = open("whisper-tiny.en", WhisperOptions::default()) else { return };
    assert_eq!(whisper.description().languages, ["en"]);
    assert_eq!(
        whisper.recognize(&clip("0930"), &RecognizeOptions::default()).unwrap().detected_language,
        None
    );
    assert!(whisper.recognize(&[], &in_language("en")).is_ok());
    let error = whisper.recognize(&[], &in_language("de")).unwrap_err();
    assert!(matches!(error, Error::UnknownLanguage { language, .. } if language == "de"));
}

#[test]
fn a_multilingual_model_detects_the_language() {
    let options = WhisperOptions { precision: Precision::F32, ..WhisperOptions::default() };
    let Some(whisper) = open("whisper-base", options) else { return };
    assert_eq!(whisper.description().languages.len(), 99);
    // The probabilities are faster-whisper's.
    for (number, expected) in [("0870", 0.9979), ("0880", 0.9916), ("0930", 0.9917)] {
        let found = whisper.recognize(&clip(number), &RecognizeOptions::default()).unwrap();
        let detected = found.detected_language.unwrap();
        assert_eq!(detected.language, "en");
        assert!((detected.probability - expected).abs() < 2e-3, "{number}: {detected:?}");
    }
    let samples = clip("0880");
    let given = whisper.recognize(&samples, &in_language("en")).unwrap();
    assert_eq!(given.detected_language, None);
    assert_eq!(text(&given.hypotheses), "He was not an ill-disposed young man.");
    assert_eq!(given.hypotheses, recognize(&whisper, &samples));
    let error = whisper.recognize(&samples, &in_language("tlh"));
    assert!(matches!(error, Err(Error::UnknownLanguage { .. })));
}

/// Opens a directory of links to the files of a model, after `change`.
fn copy(name: &str, change: impl Fn(&Path)) -> Option<Result<Whisper, Error>> {
    let Some(original) = model(name) else {
        println!("skipped: needs {name} in SCRIPTORIUM_TEST_MODELS");
        return None;
    };
    let directory = tempfile::tempdir().unwrap();
    for file in [MODEL, CONFIG, TOKENIZER, "vocabulary.txt"] {
        std::os::unix::fs::symlink(
            fs::canonicalize(original.join(file)).unwrap(),
            directory.path().join(file),
        )
        .unwrap();
    }
    change(directory.path());
    Some(Whisper::open(directory.path(), name, WhisperOptions::default()))
}

fn replace(path: &Path, content: &str) {
    fs::remove_file(path).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn files_of_another_model_are_refused() {
    let Some(opened) = copy("whisper-tiny.en", |_| ()) else { return };
    let digest = opened.unwrap().description().digest.clone();
    let same = copy("whisper-tiny.en", |path| replace(&path.join(CONFIG), "{}")).unwrap().unwrap();
    assert_ne!(same.description().digest, digest);

    type Change = fn(&Path);
    let cases: [(&str, Change); 3] = [
        ("tokenizer.json: is for", |path| {
            let mut special = vec!["<|endoftext|>", "<|startoftranscript|>"];
            special.push("<|notimestamps|>");
            replace(&path.join(TOKENIZER), &tokenizer::tests::tokenizer_json(&special));
        }),
        ("config.json: is not a configuration", |path| replace(&path.join(CONFIG), "}")),
        ("vocabulary file has 2 tokens", |path| replace(&path.join("vocabulary.txt"), "a\nb\n")),
    ];
    for (expected, change) in cases {
        let error = copy("whisper-tiny.en", change).unwrap().err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    for file in [MODEL, CONFIG, TOKENIZER] {
        let error = Whisper::open(directory.path(), "m", WhisperOptions::default()).err().unwrap();
        assert!(matches!(&error, Error::Model { path, .. } if path.ends_with(file)), "{error}");
        assert!(error.to_string().contains("is missing"), "{error}");
        fs::write(directory.path().join(file), "").unwrap();
    }
}

#[test]
fn options_out_of_range_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let wrong = [
        WhisperOptions { beam_size: 0, ..WhisperOptions::default() },
        WhisperOptions { best_of: 1000, ..WhisperOptions::default() },
        WhisperOptions { temperatures: vec![], ..WhisperOptions::default() },
        WhisperOptions { temperatures: vec![f32::NAN], ..WhisperOptions::default() },
        WhisperOptions { patience: 0.0, ..WhisperOptions::default() },
        WhisperOptions { max_initial_timestamp: -1.0, ..WhisperOptions::default() },
    ];
    for options in wrong {
        let error = Whisper::open(directory.path(), "m", options.clone()).err().unwrap();
        assert!(error.to_string().contains("settings: "), "{options:?}: {error}");
    }
}

/// `cargo test -p speech --lib speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    use crate::compute::thread_cpu_seconds as thread_time;

    for (precision, beam_size) in
        [(Precision::F32, 1), (Precision::F32, 5), (Precision::Int8, 1), (Precision::Int8, 5)]
    {
        let options = WhisperOptions { beam_size, precision, ..WhisperOptions::default() };
        let Some(whisper) = open("whisper-tiny.en", options) else { return };
        let clips: Vec<_> = EXPECTED.iter().map(|(number, ..)| clip(number)).collect();
        recognize(&whisper, &clips[0]);
        let start = thread_time();
        let texts: Vec<_> =
            clips.iter().map(|samples| text(&recognize(&whisper, samples))).collect();
        println!("{precision:?}, {beam_size} beams: {:.2} s", thread_time() - start);
        println!("{texts:#?}");

        let all: Vec<f32> = clips.concat();
        let start = thread_time();
        let features = whisper.log_mel.compute(&all);
        println!("log-mel of {:.1} s: {:.4} s", all.len() as f64 / 16e3, thread_time() - start);
        let mut mel = Vec::new();
        features.window(0, whisper.network.dimensions().frames(), &mut mel);
        let start = thread_time();
        let audio = whisper.network.encode(&mel).unwrap();
        println!("encoder: {:.4} s", thread_time() - start);

        let mut decoder = whisper.network.decoder(&audio);
        let mut logits = Vec::new();
        decoder.step(&[whisper.tokenizer.start_of_transcript], &mut logits).unwrap();
        let start = thread_time();
        for _ in 0..100 {
            decoder.step(&[1000], &mut logits).unwrap();
        }
        println!("decoder step: {:.6} s", (thread_time() - start) / 100.0);
        let start = thread_time();
        for _ in 0..100 {
            whisper.rules.apply(&[whisper.rules.timestamp_begin, 1000], &mut logits);
            std::hint::black_box(decode::probability(&logits, 1000));
        }
        println!("rules and log-softmax: {:.6} s", (thread_time() - start) / 100.0);
    }
}
