//! SenseVoice against ONNX Runtime and `funasr_onnx`. The READMEs in `tests/fixtures/funasr` and
//! `tests/fixtures/sensevoice` describe how the references were made.

use std::{fs, sync::OnceLock};

use engine::OnnxFile;
use errors::Chain;
use serde::{Deserialize, de::DeserializeOwned};
use tempfile::TempDir;

use super::*;
use crate::{
    fixtures,
    npz::{Npz, features},
};

/// Opened once for the property test.
static MODEL: OnceLock<SenseVoice> = OnceLock::new();

const BPE: &str = "chn_jpn_yue_eng_ko_spectok.bpe.model";
const CONFIG: &str = "model: SenseVoiceSmall\nfrontend_conf: {fs: 16000, window: hamming, n_mels: \
                      80, frame_length: 25, frame_shift: 10, lfr_m: 7, lfr_n: 6}\n";

fn cases<T: DeserializeOwned>(name: &str) -> Vec<T> {
    fixtures::json(&format!("sensevoice/{name}"))
}

/// Makes a model directory in FunASR's layout.
fn directory() -> TempDir {
    let model = |name: &str| fixtures::gunzip(&format!("funasr/sensevoice/{name}.gz"));
    let file = |name: &str| fs::read(fixtures::path(name)).expect(name);
    fixtures::directory(&[
        ("model.onnx", model("model.onnx")),
        ("model_quant.onnx", model("model_quant.onnx")),
        ("config.yaml", CONFIG.into()),
        ("am.mvn", file("frontend/paraformer.mvn")),
        (BPE, file(&format!("sensevoice/{BPE}"))),
    ])
}

fn open(precision: impl Into<Option<Precision>>) -> SenseVoice {
    SenseVoice::open(directory().path(), "sensevoice", precision.into()).expect("opens")
}

fn speech() -> Vec<f32> {
    let mut wav = hound::WavReader::open(fixtures::path("frontend/speech_10s.wav")).expect("wav");
    wav.samples::<i16>().map(|sample| f32::from(sample.expect("sample")) / 32768.0).collect()
}

/// Runs the network of `file` up to its logits.
fn logits(file: &str, frames: usize) -> Vec<f32> {
    let file = OnnxFile::read(&directory().path().join(file)).expect("reads");
    let names: Vec<&str> = file.inputs().iter().map(|port| port.name.as_str()).collect();
    let names = names.try_into().expect("four inputs");
    let inputs = network::inputs(names, 560);
    let graph = file.network(&inputs, &[&file.outputs()[0].name]).expect("network");
    let rows = features(frames);
    let rows = engine::tensor(&[1, frames, 560], &rows).expect("rows");
    let id = |id: i32| engine::tensor(&[1], &[id]).expect("an id");
    let outputs = graph.run(vec![rows, id(0), id(15)]).expect("runs");
    engine::values(&outputs[0]).expect("floats").to_vec()
}

/// Returns the first most probable class of each row, and its log-probability.
fn argmax(logits: &[f32]) -> Vec<(usize, f32)> {
    let of = |row: &[f32]| {
        let class = (0..row.len()).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).expect("one");
        let sum: f32 = row.iter().map(|logit| (logit - row[class]).exp()).sum();
        (class, -sum.ln())
    };
    logits.chunks_exact(48).map(of).collect()
}

fn root_mean_square(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let sum: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (sum / a.len() as f64).sqrt()
}

#[test]
fn logits_agree_with_onnx_runtime() {
    let npz = Npz::open(&fixtures::path("funasr/sensevoice/reference.npz"));
    let (float, int8) = (open(Precision::F32), open(Precision::Int8));
    let (mut own, mut theirs) = (Vec::new(), Vec::new());
    for frames in [1, 7, 93, 200] {
        let float_logits = logits("model.onnx", frames);
        let expected = npz[format!("{frames}/f32/ctc_logits").as_str()].f32();
        assert_eq!(float_logits.len(), (frames + PROMPT_ROWS) * 48);
        for (logit, expected) in float_logits.iter().zip(&expected) {
            assert!((logit - expected).abs() < 1e-4, "{frames} frames: {logit}, not {expected}");
        }
        let int8_logits = logits("model_quant.onnx", frames);
        for (model, logits) in [(&float, &expected), (&int8, &int8_logits)] {
            let found = model.network.argmax(&features(frames), [0, 15]).expect("runs");
            let wanted = argmax(logits);
            assert_eq!(found.len(), wanted.len());
            for ((class, log_probability), (id, expected)) in found.into_iter().zip(wanted) {
                assert!(class == id && (log_probability - expected).abs() < 1e-4);
            }
        }

        // Quantized networks with random weights magnify the last bit, so errors are compared.
        let quantized = npz[format!("{frames}/int8/ctc_logits").as_str()].f32();
        own.push(root_mean_square(&int8_logits, &expected));
        theirs.push(root_mean_square(&quantized, &expected));
    }
    let sum = |errors: &[f64]| errors.iter().sum::<f64>();
    eprintln!("int8 differs from float by {own:.4?}, ONNX Runtime's by {theirs:.4?}");
    assert!(sum(&own) <= 1.1 * sum(&theirs), "{own:?} {theirs:?}");
}

#[derive(Deserialize)]
struct Recognized {
    #[serde(deserialize_with = "crate::recognizer::deserialize_precision")]
    precision: Precision,
    start: usize,
    end: usize,
    language: String,
    style: String,
    ids: Vec<usize>,
    /// Includes tags.
    text: String,
}

/// Removes tags and repeated spaces.
fn plain(mut text: &str) -> String {
    let mut plain = String::new();
    while let Some((before, rest)) = text.split_once("<|") {
        plain.push_str(before);
        text = rest.split_once("|>").expect("the end of a tag").1;
    }
    plain.push_str(text);
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn tokens_and_text_match_funasr() {
    let samples = speech();
    let models = [open(Precision::F32), open(Precision::Int8)];
    let (mut same, mut total) = (0, 0);
    for case in cases::<Recognized>("recognized.json") {
        let int8 = case.precision == Precision::Int8;
        let model = &models[usize::from(int8)];
        let options = RecognizeOptions {
            language: Some(case.language).filter(|code| code != "auto"),
            normalize: case.style == "withitn",
            ..RecognizeOptions::default()
        };
        let samples = &samples[case.start..case.end];
        let tokens = model.tokens(samples, &options).expect("recognizes");
        let ids: Vec<usize> = tokens.iter().map(|token| token.id).collect();
        if int8 {
            // Features differ in the last bits between filterbanks, and quantization magnifies
            // this.
            total += ids.len().max(case.ids.len());
            same += common(&ids, &case.ids);
            continue;
        }
        assert_eq!(ids, case.ids, "{}..{}", case.start, case.end);
        let seconds = samples.len() as f64 / SAMPLE_RATE;
        let hypothesis = model.hypothesis(&tokens, seconds);
        assert_eq!(hypothesis.text, plain(&case.text));
        let mut before = 0.0;
        for word in &hypothesis.words {
            assert!(before <= word.start && word.start <= word.end && word.end <= seconds);
            assert!(word.log_probability <= 0.0 && word.log_probability > -10.0);
            before = word.start;
        }
        let words: String = hypothesis.words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(words, hypothesis.text.replace(' ', ""));
    }
    eprintln!("int8: {same} of {total} tokens match funasr_onnx");
    assert!(total > 500 && same * 10 >= total * 9, "{same} of {total}");
}

#[derive(Deserialize)]
struct Alignment {
    rows: usize,
    /// Added to the scores of the blank.
    blank: f32,
    repeats: usize,
    tokens: Vec<usize>,
    /// Start and end of each token in milliseconds, by FunASR's `ctc_forced_align`.
    times: Vec<[i64; 2]>,
}

#[test]
fn times_of_tokens_are_those_of_funasr() {
    let npz = Npz::open(&fixtures::path("funasr/sensevoice/reference.npz"));
    let mut model = open(Precision::F32);
    // Every class is a word of its own. Four more are the tags of the prompt's rows.
    let words = (0..48).map(|class| Piece::Text(format!(" {class}").into_bytes()));
    let tags = (0..PROMPT_ROWS).map(|row| Piece::Tag(row.to_string()));
    model.pieces = words.chain(tags).collect();
    let mut total = 0;
    for case in cases::<Alignment>("alignments.json") {
        let mut logits = npz[format!("{}/f32/ctc_logits", case.rows).as_str()].f32();
        logits.iter_mut().step_by(48).for_each(|score| *score += case.blank);
        let prompt = (0..PROMPT_ROWS).map(|row| (48 + row, 0.0));
        let rows = argmax(&logits).into_iter().skip(PROMPT_ROWS);
        let rows = rows.flat_map(|row| std::iter::repeat_n(row, case.repeats));
        let tokens = greedy(prompt.chain(rows).collect(), 0);
        let seconds = (case.rows * case.repeats) as f64 * model.row_seconds;
        let hypothesis = model.hypothesis(&tokens, seconds);
        let text: Vec<String> = case.tokens.iter().map(ToString::to_string).collect();
        let found: Vec<&str> = hypothesis.words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(found, text);
        let milliseconds = |seconds: f64| (seconds * 1000.0).round() as i64;
        let times: Vec<_> = hypothesis
            .words
            .iter()
            .map(|word| [milliseconds(word.start), milliseconds(word.end)])
            .collect();
        assert_eq!(times, case.times, "{} rows, blank {}", case.rows, case.blank);
        total += times.len();
    }
    assert!(total > 600, "{total} tokens");
}

proptest::proptest! {
    /// Whatever the network finds, words are in order and within the segment, and make up the text.
    #[test]
    fn words_of_any_classes_are_in_order(
        classes in proptest::collection::vec((0usize..48, -9.0f32..0.0), 0..120),
    ) {
        let model = MODEL.get_or_init(|| open(Precision::F32));
        let seconds = classes.len().saturating_sub(PROMPT_ROWS) as f64 * model.row_seconds;
        let tokens = greedy(classes, 0);
        let hypothesis = model.hypothesis(&tokens, seconds);
        let mut before = 0.0;
        for word in &hypothesis.words {
            proptest::prop_assert!(before <= word.start && word.start <= word.end, "{:?}", hypothesis);
            proptest::prop_assert!(word.end <= seconds && word.log_probability <= 0.0);
            before = word.end;
        }
        let words: String = hypothesis.words.iter().map(|word| word.text.as_str()).collect();
        proptest::prop_assert_eq!(words, hypothesis.text.replace(' ', ""));
    }
}

/// Returns the length of the longest common subsequence.
fn common(a: &[usize], b: &[usize]) -> usize {
    let mut lengths = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (index, y) in b.iter().enumerate() {
            let above = lengths[index + 1];
            lengths[index + 1] = if x == y { diagonal + 1 } else { above.max(lengths[index]) };
            diagonal = above;
        }
    }
    lengths[b.len()]
}

#[derive(Deserialize)]
struct Cleaned {
    raw: String,
    text: String,
}

#[test]
fn text_is_cleaned_as_in_funasr() {
    let mut model = open(Precision::F32);
    for case in cases::<Cleaned>("cleaned.json") {
        // The pieces are the tags and the texts between them.
        let mut pieces = Vec::new();
        for (index, part) in case.raw.split("<|").enumerate() {
            let text = match part.split_once("|>") {
                Some((tag, text)) if index > 0 => {
                    pieces.push(Piece::Tag(tag.to_owned()));
                    text
                }
                _ => part,
            };
            pieces.push(Piece::Text(text.as_bytes().to_vec()));
        }
        let token = |id| Token { id, frames: id + 4..id + 5, log_probability: -0.1 };
        let tokens: Vec<Token> = (0..pieces.len()).map(token).collect();
        model.pieces = pieces;
        assert_eq!(model.hypothesis(&tokens, 10.0).text, case.text, "{}", case.raw);
    }
}

#[test]
fn tags_become_fields() {
    let model = open(Precision::F32);
    let id = |piece: Piece| model.pieces.iter().position(|p| *p == piece).expect("a piece");
    let tag = |tag: &str| id(Piece::Tag(tag.into()));
    let text = |text: &str| id(Piece::Text(text.as_bytes().to_vec()));
    let recognition = |ids: &[usize], options: &RecognizeOptions| {
        let token =
            |(row, &id): (usize, &usize)| Token { id, frames: row..row + 1, log_probability: -0.5 };
        let tokens: Vec<Token> = ids.iter().enumerate().map(token).collect();
        model.recognition(&tokens, 3.0, options)
    };
    let auto = RecognizeOptions::default();
    let chinese = RecognizeOptions { language: Some("zh".into()), ..RecognizeOptions::default() };
    let ids =
        [tag("zh"), tag("HAPPY"), tag("BGM"), tag("withitn"), text("你"), text("好"), text("。")];

    let speech = recognition(&ids, &auto);
    let detected = speech.detected_language.expect("a language");
    assert_eq!(detected.language, "zh");
    assert!((detected.probability - 0.6065).abs() < 1e-3);
    let [hypothesis] = &speech.hypotheses[..] else { panic!("{:?}", speech.hypotheses) };
    assert_eq!(hypothesis.text, "你好。");
    assert_eq!(hypothesis.emotion.as_deref(), Some("happy"));
    assert_eq!(hypothesis.event.as_deref(), Some("bgm"));
    assert_eq!(hypothesis.tokens, ids[4..].iter().map(|&id| id as u32).collect::<Vec<_>>());
    assert!((hypothesis.log_probability + 0.5).abs() < 1e-6);
    let times: Vec<_> =
        hypothesis.words.iter().map(|w| (w.text.as_str(), w.start, w.end)).collect();
    let [first, second] = times[..] else { panic!("{times:?}") };
    assert_eq!((first.0, first.1, second.0), ("你", 0.0, "好。"));
    assert!((first.2 - 0.03).abs() < 1e-9 && (second.2 - 0.09).abs() < 1e-9, "{times:?}");
    assert_eq!(recognition(&ids, &chinese).detected_language, None);

    let silent =
        recognition(&[tag("nospeech"), tag("EMO_UNKNOWN"), tag("Speech"), text("你")], &auto);
    assert_eq!(silent, Recognition::default());
    let music =
        recognition(&[tag("nospeech"), tag("HAPPY"), tag("BGM"), tag("woitn"), text("a")], &auto);
    assert_eq!((music.detected_language, music.hypotheses.len()), (None, 1));
    let music = &music.hypotheses[0];
    assert_eq!((music.text.as_str(), music.event.as_deref()), ("", Some("bgm")));
    assert_eq!((music.emotion.as_deref(), music.words.len(), music.end), (None, 0, 3.0));
    assert_eq!(recognition(&[], &auto), Recognition::default());
}

#[test]
fn accepts_short_and_unusual_audio() {
    let model = open(None);
    assert_eq!(model.description().precision, "int8");
    assert_eq!(model.description().languages, ["zh", "en", "yue", "ja", "ko"]);
    for samples in [vec![], vec![0.5; 399]] {
        let found = model.recognize(&samples, &RecognizeOptions::default()).expect("recognizes");
        assert_eq!(found, Recognition::default());
    }
    for sample in [0.0, f32::NAN, f32::MAX] {
        model.recognize(&[sample; 16_000], &RecognizeOptions::default()).expect("recognizes");
    }
    let german = RecognizeOptions { language: Some("de".into()), ..RecognizeOptions::default() };
    let error = model.recognize(&[], &german).expect_err("unknown");
    assert!(matches!(error, Error::UnknownLanguage { language, .. } if language == "de"));
}

#[test]
fn refuses_directories_that_do_not_fit() {
    let directory = directory();
    let path = directory.path();
    let open = || SenseVoice::open(path, "sensevoice", Some(Precision::F32));
    let refused = |cause: &str| {
        let error = open().err().expect(cause);
        assert!(matches!(error, Error::Model { .. }), "{error}");
        let message = Chain(&error).to_string();
        assert!(message.contains(cause), "{message}");
    };
    let digest = open().expect("whole").description().digest.clone();

    fs::remove_file(path.join(BPE)).expect("remove");
    refused("no tokens.json or tokens.txt, nor a chn_jpn_yue_eng_ko_spectok.bpe.model");
    let tokens = fs::read_to_string(fixtures::path("sensevoice/tokens.txt")).expect("fixture");
    fs::write(path.join("tokens.txt"), &tokens).expect("write");
    let with_tokens = open().expect("whole");
    assert_ne!(with_tokens.description().digest, digest);
    let (short, _) = tokens.rsplit_once('<').expect("a tag at the end");
    fs::write(path.join("tokens.txt"), short).expect("write");
    refused("holds 47 pieces, but the network has 48 classes");
    fs::write(path.join("tokens.txt"), tokens).expect("write");

    let model = fs::read(path.join("model.onnx")).expect("model");
    // The name of a weight precedes the 192 bytes of its values.
    let name = b"ctc.ctc_lo.bias\x4a\xc0\x01";
    let at = model.windows(name.len()).position(|bytes| bytes == name).expect("a bias");
    let mut broken = model.clone();
    broken[at + name.len() + 40..][..4].fill(0xFF);
    fs::write(path.join("model.onnx"), broken).expect("write");
    refused("a weight of `ctc.ctc_lo.bias` is NaN: the file is damaged");
    fs::write(path.join("model.onnx"), &model[..model.len() / 2]).expect("write");
    refused("is not a usable ONNX model");
    fs::write(path.join("model.onnx"), model).expect("write");

    fs::write(path.join("config.yaml"), CONFIG.replace("lfr_m: 7", "lfr_m: 6")).expect("write");
    refused("560 values");
    fs::remove_file(path.join("config.yaml")).expect("remove");
    refused("no `neg_mean` in its metadata, and no config.yaml");
}

#[test]
fn both_layouts_give_the_same_recognition() {
    let funasr = directory();
    let sherpa = tempfile::tempdir().expect("directory");
    let cmvn = fs::read_to_string(funasr.path().join("am.mvn")).expect("am.mvn");
    let values = |name: &str| {
        let (_, after) = cmvn.split_once(name).expect("a component");
        let (_, after) = after.split_once("<LearnRateCoef> 0 [").expect("values");
        let (values, _) = after.split_once(']').expect("their end");
        values.split_whitespace().collect::<Vec<_>>().join(",")
    };
    let mut model = fs::read(funasr.path().join("model_quant.onnx")).expect("model");
    for (key, value) in [
        ("neg_mean", values("<AddShift>").as_str()),
        ("inv_stddev", &values("<Rescale>")),
        ("lfr_window_size", "7"),
        ("lfr_window_shift", "6"),
        ("normalize_samples", "0"),
        ("lang_auto", "0"),
        ("lang_zh", "3"),
        ("with_itn", "14"),
        ("without_itn", "15"),
    ] {
        model.extend(fixtures::onnx_metadata(key, value));
    }
    fs::write(sherpa.path().join("model.int8.onnx"), model).expect("write");
    fs::copy(fixtures::path("sensevoice/tokens.txt"), sherpa.path().join("tokens.txt"))
        .expect("copy");
    let [funasr, sherpa] = [funasr, sherpa]
        .map(|directory| SenseVoice::open(directory.path(), "sensevoice", None).expect("opens"));
    let samples = &speech()[..48_000];
    let options = RecognizeOptions { language: Some("zh".into()), ..RecognizeOptions::default() };
    let found = sherpa.recognize(samples, &options).expect("recognizes");
    assert!(!sherpa.tokens(samples, &options).expect("tokens").is_empty());
    assert_eq!(found, funasr.recognize(samples, &options).expect("recognizes"));
}

#[test]
fn refuses_another_network() {
    let directory = directory();
    let model = fixtures::gunzip("funasr/paraformer/model.onnx.gz");
    fs::write(directory.path().join("model.onnx"), model).expect("write");
    let error = SenseVoice::open(directory.path(), "sensevoice", Some(Precision::F32));
    let error = error.err().expect("refused");
    assert!(error.to_string().contains("has 2 inputs, but SenseVoiceSmall has 4"), "{error}");
}
