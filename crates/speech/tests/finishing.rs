//! Tests of the pipeline's last step, with a recognizer that always returns the same words:
//! punctuation, digits and speakers by small models in the format of FunASR's exports
//! (`tests/fixtures`).

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    io::{Cursor, Read},
    sync::Arc,
};

use audio::{ChannelMode, Decoder};
use flate2::read::GzDecoder;
use speech::{
    itn::Normalizer,
    pipeline::{Error, Models, Outcome, Pipeline, PipelineConfig, Session, TranscribeOptions},
    punctuation::Punctuator,
    recognizer::{self, Description, Hypothesis, Precision, Recognition, Recognizer, Word},
    speakers::{
        Diarizer, SpeakerEncoder, SpeakerOptions, SpeakersConfig,
        voices::{Encoder, Voice, VoicePrints},
    },
};
use support::{InlineCompute, decoding, detector, fixture};

const WORDS: [&str; 6] = ["我", "有", "二", "十", "三", "个"];

/// Recognizes [`WORDS`] in every segment, evenly spaced and without punctuation.
struct FixedWords {
    description: Description,
    timed: bool,
}

impl Recognizer for FixedWords {
    fn description(&self) -> &Description {
        &self.description
    }

    fn max_seconds(&self) -> f64 {
        30.0
    }

    fn fixed_window(&self) -> bool {
        false
    }

    fn punctuates(&self, _: bool) -> bool {
        false
    }

    fn recognize(
        &self,
        samples: &[f32],
        _: &recognizer::RecognizeOptions,
    ) -> Result<Recognition, recognizer::Error> {
        let seconds = samples.len() as f64 / 16_000.0;
        let each = seconds / WORDS.len() as f64;
        let word = |(index, text): (usize, &&str)| Word {
            start: each * index as f64,
            end: each * (index + 1) as f64,
            text: (*text).to_owned(),
            log_probability: -0.1,
        };
        let hypothesis = Hypothesis {
            end: seconds,
            text: WORDS.concat(),
            log_probability: -0.1,
            words: if self.timed { WORDS.iter().enumerate().map(word).collect() } else { vec![] },
            ..Hypothesis::default()
        };
        Ok(Recognition { hypotheses: vec![hypothesis], detected_language: None })
    }
}

/// Creates a model directory from files of the fixtures, unpacked.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, from) in files {
        let mut bytes = fs::read(fixture(from)).unwrap();
        if from.ends_with(".gz") {
            let packed = std::mem::take(&mut bytes);
            GzDecoder::new(&packed[..]).read_to_end(&mut bytes).unwrap();
        }
        fs::write(directory.path().join(name), bytes).unwrap();
    }
    directory
}

fn punctuator() -> Punctuator {
    let directory = directory(&[
        ("model.onnx", "funasr/ct-punc/model.onnx.gz"),
        ("tokens.json", "punctuation/tokens.json"),
    ]);
    let config = "model: CTTransformer\nmodel_conf:\n  punc_list: [<unk>, _, ',', 。, '?', 、]\n";
    fs::write(directory.path().join("config.yaml"), config).unwrap();
    Punctuator::open(directory.path(), "ct-punc", Some(Precision::F32)).unwrap()
}

fn normalizer() -> Normalizer {
    let directory = directory(&[
        ("zh_itn_tagger.fst", "itn/zh_itn_tagger.fst.gz"),
        ("zh_itn_verbalizer.fst", "itn/zh_itn_verbalizer.fst.gz"),
    ]);
    Normalizer::open(directory.path()).unwrap()
}

fn diarizer() -> Diarizer {
    let directory = directory(&[("model.onnx", "campplus/model.onnx.gz")]);
    let encoder = SpeakerEncoder::open(directory.path(), "campplus").unwrap();
    Diarizer::new(Arc::new(encoder), None, &SpeakersConfig::default())
}

/// Returns a WAV file of ten sentences by one reader, with pauses, the same on all channels.
fn recording(channels: u16) -> Vec<u8> {
    let sentence = fs::read(fixture("speech/sentence.wav")).unwrap()[44..].to_vec();
    let mut data = Vec::<u8>::new();
    for _ in 0..10 {
        for sample in sentence.chunks_exact(2).chain([&[0u8, 0][..]; 24_000]) {
            (0..channels).for_each(|_| data.extend(sample));
        }
    }
    let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0".to_vec();
    wav.extend(channels.to_le_bytes());
    wav.extend(16_000u32.to_le_bytes());
    wav.extend((32_000 * u32::from(channels)).to_le_bytes());
    wav.extend((2 * channels).to_le_bytes());
    wav.extend(*b"\x10\0data");
    wav.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    wav.extend(data);
    wav
}

fn pipeline(timed: bool) -> Pipeline {
    let description = Description {
        name: "fixed-words".to_owned(),
        family: "test",
        precision: "f32",
        digest: "0".to_owned(),
        languages: vec!["zh".to_owned()],
    };
    let models = Models {
        vad: detector(),
        recognizer: Arc::new(FixedWords { description, timed }),
        punctuator: Some(Arc::new(punctuator())),
        diarizer: Some(Arc::new(diarizer())),
        normalizer: Some(Arc::new(normalizer())),
    };
    Pipeline::new(models, PipelineConfig::default(), Arc::new(InlineCompute))
}

fn run(pipeline: &Pipeline, channels: u16, options: &TranscribeOptions) -> Result<Outcome, Error> {
    let mode = if channels > 1 { ChannelMode::Split } else { ChannelMode::Mix };
    let recording = Box::new(Cursor::new(recording(channels)));
    let decoder = Decoder::open(recording, &decoding(mode)).unwrap();
    pipeline.transcribe(decoder, options, &Arc::new(Session::default()))
}

fn letters(outcome: &Outcome) -> String {
    let texts = outcome.segments.iter().flat_map(|segment| segment.text.chars());
    texts.filter(|letter| letter.is_alphanumeric()).collect()
}

#[test]
fn words_become_sentences_with_punctuation() {
    let pipeline = pipeline(true);
    let outcome = run(&pipeline, 1, &TranscribeOptions::default()).unwrap();
    assert_eq!(letters(&outcome), WORDS.concat().repeat(10));
    let last = outcome.segments.last().unwrap();
    assert!(last.text.ends_with(['。', '？']), "{last:?}");
    // A sentence ends with punctuation, or before a pause of more than two seconds.
    for segment in &outcome.segments {
        let inner = segment.text.trim_end_matches(['。', '？']);
        assert!(!inner.contains(['。', '？']), "{segment:?}");
        assert_eq!(segment.start, segment.words[0].start);
        assert_eq!(segment.end, segment.words[segment.words.len() - 1].end);
        assert_eq!(segment.speaker, None);
        assert!((segment.confidence - (-0.1_f32).exp()).abs() < 1e-3);
    }
    assert_eq!(outcome.punctuation.as_deref(), Some("ct-punc"));
    assert_eq!(outcome.speakers, None);
    let stages: Vec<_> = outcome.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(stages, ["decode", "vad", "recognize", "punctuate"]);

    let bare = TranscribeOptions { punctuate: Some(false), ..TranscribeOptions::default() };
    let outcome = run(&pipeline, 1, &bare).unwrap();
    assert_eq!(outcome.segments.len(), 10);
    assert!(outcome.segments.iter().all(|segment| segment.text == WORDS.concat()));
    assert_eq!(outcome.punctuation, None);
}

#[test]
fn numbers_become_digits_and_keep_their_times() {
    let pipeline = pipeline(true);
    let options = TranscribeOptions {
        punctuate: Some(false),
        normalize: Some(true),
        ..TranscribeOptions::default()
    };
    let outcome = run(&pipeline, 1, &options).unwrap();
    assert_eq!(outcome.segments.len(), 10);
    for segment in &outcome.segments {
        assert_eq!(segment.text, "我有23个");
        let texts: Vec<_> = segment.words.iter().map(|word| word.text.as_str()).collect();
        assert_eq!(texts, ["我", "有", "23", "个"]);
        let each = (segment.end - segment.start) / 6.0;
        let number = &segment.words[2];
        assert!((number.start - segment.start - 2.0 * each).abs() < 2e-3, "{number:?}");
        assert!((number.end - segment.start - 5.0 * each).abs() < 2e-3, "{number:?}");
    }
    assert!(outcome.warnings.is_empty());
}

#[test]
fn text_without_times_keeps_its_segments() {
    let pipeline = pipeline(false);
    let outcome = run(&pipeline, 1, &TranscribeOptions::default()).unwrap();
    assert_eq!(outcome.segments.len(), 10);
    assert!(outcome.segments.iter().all(|segment| segment.text == WORDS.concat()));
    let options = TranscribeOptions { normalize: Some(true), ..TranscribeOptions::default() };
    let outcome = run(&pipeline, 1, &options).unwrap();
    assert!(outcome.segments.iter().all(|segment| segment.text == "我有23个"));
}

#[test]
fn speakers_are_identified_in_each_channel() {
    let pipeline = pipeline(true);
    let speakers = SpeakerOptions { count: Some(2), ..SpeakerOptions::default() };
    let options = TranscribeOptions { speakers: Some(speakers), ..TranscribeOptions::default() };
    let outcome = run(&pipeline, 2, &options).unwrap();
    assert_eq!(outcome.speakers.as_deref(), Some("campplus"));
    assert_eq!(outcome.speaker_segmentation, None);
    assert!(outcome.stages.iter().any(|stage| stage.name == "speakers" && stage.seconds > 0.0));
    // The transcript numbers them together.
    let of = |channel| {
        let segments = outcome.segments.iter().filter(move |s| s.channel == Some(channel));
        let speakers = segments.flat_map(|segment| {
            let of_words = segment.words.iter().filter_map(|word| word.speaker);
            of_words.chain(segment.speaker)
        });
        speakers.collect::<BTreeSet<_>>()
    };
    // One that says too little has none.
    assert!([0, 1].iter().any(|&channel| !of(channel).is_empty()), "{:?}", outcome.segments);
    for channel in [0, 1] {
        assert!(of(channel).iter().all(|&speaker| speaker < 2), "{:?}", outcome.segments);
    }

    let invalid = SpeakerOptions { min: Some(3), max: Some(2), ..SpeakerOptions::default() };
    let options = TranscribeOptions { speakers: Some(invalid), ..TranscribeOptions::default() };
    assert!(matches!(run(&pipeline, 1, &options), Err(Error::Unsupported(_))));
}

#[test]
fn the_fingerprint_depends_on_what_changes_the_text() {
    let pipeline = pipeline(true);
    let of =
        |options: &TranscribeOptions| pipeline.fingerprint(&decoding(ChannelMode::Mix), options);
    let plain = of(&TranscribeOptions::default());
    assert_eq!(
        plain,
        of(&TranscribeOptions { punctuate: Some(true), ..TranscribeOptions::default() })
    );
    // The recognizer does not support hotwords, so that they have no effect.
    let hotwords = vec!["word".to_owned()];
    assert_eq!(plain, of(&TranscribeOptions { hotwords, ..TranscribeOptions::default() }));
    let speakers = Some(SpeakerOptions::default());
    for other in [
        TranscribeOptions { punctuate: Some(false), ..TranscribeOptions::default() },
        TranscribeOptions { normalize: Some(true), ..TranscribeOptions::default() },
        TranscribeOptions { speakers, ..TranscribeOptions::default() },
        TranscribeOptions { language: Some("zh".to_owned()), ..TranscribeOptions::default() },
    ] {
        assert_ne!(plain, of(&other), "{other:?}");
    }
}

#[test]
fn voice_prints_are_of_the_speaker_model_and_part_of_the_fingerprint() {
    let pipeline = pipeline(true);
    let directory = directory(&[("model.onnx", "campplus/model.onnx.gz")]);
    let encoder = SpeakerEncoder::open(directory.path(), "campplus").unwrap();
    let options = |encoder: Encoder, name: &str| {
        let mut prints = VoicePrints::new(encoder);
        let (name, print) = (name.to_owned(), vec![0.6, 0.8]);
        prints.insert(Voice { name, seconds: 10.0, recordings: 1, print }).unwrap();
        let speakers = SpeakerOptions { voices: Some(Arc::new(prints)), ..Default::default() };
        TranscribeOptions { speakers: Some(speakers), ..TranscribeOptions::default() }
    };
    let of =
        |options: &TranscribeOptions| pipeline.fingerprint(&decoding(ChannelMode::Mix), options);
    let anna = options((&encoder).into(), "Anna");
    pipeline.check(&anna).unwrap();
    let speakers = Some(SpeakerOptions::default());
    let unnamed = TranscribeOptions { speakers, ..TranscribeOptions::default() };
    assert_ne!(of(&anna), of(&unnamed));
    assert_ne!(of(&anna), of(&options((&encoder).into(), "Ben")));
    assert_eq!(of(&anna), of(&options((&encoder).into(), "Anna")));

    let other = Encoder { name: "campplus".to_owned(), digest: "other".to_owned() };
    let error = run(&pipeline, 1, &options(other, "Anna")).unwrap_err();
    assert!(matches!(error, Error::Voices(_)), "{error:?}");
}
