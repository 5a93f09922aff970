//! Diarization of conversations of real voices with the published models: bounds on the error rate, the confusion and
//! the number of speakers. What the recordings are: `tests/fixtures/speakers/conversations/README.md`.
//!
//! The bounds are a little above what was measured, so that a change that makes diarization worse is seen. The edges of
//! these references come from the energy; 6 to 14 % of missed speech and false alarms are the reference's own.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod support;

use std::{fs, io::Cursor, path::PathBuf, sync::Arc};

use audio::{ChannelMode, Decoder};
use speech::{
    pipeline::{Models, Outcome, Pipeline, PipelineConfig, Session, TranscribeOptions},
    recognizer::FakeRecognizer,
    speakers::{
        Diarizer, SpeakerEncoder, SpeakerOptions, SpeakersConfig, segmentation::SegmentationNetwork,
    },
};
use support::{
    InlineCompute, decoding,
    der::{self, Score},
    detector, fixture,
};

/// Opens the published models, if they are installed: see tests/run.sh.
fn pipeline(step: Option<f64>, segmentation: bool) -> Option<Pipeline> {
    let Some(models) = std::env::var_os("SCRIPTORIUM_TEST_MODELS").map(PathBuf::from) else {
        eprintln!("skipped: SCRIPTORIUM_TEST_MODELS is not set; run `make test`");
        return None;
    };
    let names = ["campplus", "pyannote-segmentation-3.0"];
    if let Some(missing) = names.iter().find(|name| !models.join(name).is_dir()) {
        eprintln!("skipped: SCRIPTORIUM_TEST_MODELS has no {missing}");
        return None;
    }
    let encoder = SpeakerEncoder::open(&models.join(names[0]), names[0]).unwrap();
    let network = segmentation
        .then(|| Arc::new(SegmentationNetwork::open(&models.join(names[1]), names[1]).unwrap()));
    let mut config = SpeakersConfig::default();
    config.step_seconds = step.unwrap_or(config.step_seconds);
    let diarizer = Diarizer::new(Arc::new(encoder), network, &config);
    let models = Models {
        vad: detector(),
        // Speakers do not depend on words.
        recognizer: Arc::new(FakeRecognizer::new("silent", |_| String::new())),
        punctuator: None,
        diarizer: Some(Arc::new(diarizer)),
        normalizer: None,
    };
    Some(Pipeline::new(models, PipelineConfig::default(), Arc::new(InlineCompute)))
}

/// Transcribes a recording among the fixtures.
fn transcribe(pipeline: &Pipeline, file: &str, options: SpeakerOptions) -> Outcome {
    let bytes = fs::read(fixture(&format!("speakers/{file}"))).unwrap();
    let decoder = Decoder::open(Box::new(Cursor::new(bytes)), &decoding(ChannelMode::Mix)).unwrap();
    let options = TranscribeOptions { speakers: Some(options), ..TranscribeOptions::default() };
    pipeline.transcribe(decoder, &options, &Arc::new(Session::default())).unwrap()
}

/// Diarizes a recording among the fixtures.
fn diarize(pipeline: &Pipeline, file: &str, options: SpeakerOptions) -> Vec<der::Turn> {
    let outcome = transcribe(pipeline, file, options);
    outcome.turns.iter().map(|turn| (turn.start, turn.end, turn.speaker.to_string())).collect()
}

/// Scores a conversation among the fixtures.
fn score(pipeline: &Pipeline, name: &str, options: SpeakerOptions) -> Score {
    let found = diarize(pipeline, &format!("conversations/{name}.flac"), options);
    let reference = fixture(&format!("speakers/conversations/{name}.rttm"));
    let reference = der::read_rttm(&fs::read_to_string(reference).unwrap(), name);
    let seconds = reference.iter().fold(0.0, |end, turn| f64::max(end, turn.1)) + 0.5;
    let score = der::score(&reference, &found, seconds);
    eprintln!("{name}: {:.1} %, {score:?}", 100.0 * score.rate());
    score
}

/// Checks a conversation: no more errors and confusion than so much, and the right number of speakers.
fn check(pipeline: &Pipeline, name: &str, rate: f64, confusion: f64) {
    let score = score(pipeline, name, SpeakerOptions::default());
    assert_eq!(score.speakers, score.reference_speakers, "{name}: {score:?}");
    assert!(score.rate() <= rate, "{name}: {score:?}");
    assert!(score.confusion() <= confusion, "{name}: {score:?}");
}

#[test]
fn conversations_at_the_default_step() {
    let Some(pipeline) = pipeline(None, true) else { return };
    check(&pipeline, "c2-29", 0.16, 0.01);
    // A turn of 1.2 s between two others is near to either.
    check(&pipeline, "c3-60", 0.18, 0.03);
}

#[test]
fn the_models_are_named() {
    for (segmentation, name) in [(true, Some("pyannote-segmentation-3.0")), (false, None)] {
        let Some(pipeline) = pipeline(None, segmentation) else { return };
        let outcome = transcribe(&pipeline, "conversations/c2-29.flac", SpeakerOptions::default());
        assert_eq!(outcome.speakers.as_deref(), Some("campplus"));
        assert_eq!(outcome.speaker_segmentation.as_deref(), name);
    }
}

#[test]
fn conversations_at_a_step_of_a_second() {
    let Some(pipeline) = pipeline(Some(1.0), true) else { return };
    check(&pipeline, "c2-29", 0.16, 0.01);
    check(&pipeline, "c3-60", 0.16, 0.01);
}

#[test]
fn conversations_without_the_segmentation_network() {
    let Some(pipeline) = pipeline(None, false) else { return };
    check(&pipeline, "c2-29", 0.18, 0.02);
    check(&pipeline, "c3-60", 0.18, 0.02);
}

#[test]
fn a_given_number_of_speakers_is_no_worse_than_the_estimate() {
    let Some(pipeline) = pipeline(None, true) else { return };
    for (name, count) in [("c2-29", 2), ("c3-60", 3)] {
        let estimated = score(&pipeline, name, SpeakerOptions::default());
        let options = SpeakerOptions { count: Some(count), ..SpeakerOptions::default() };
        let given = score(&pipeline, name, options);
        assert_eq!(given.speakers, count);
        assert!(given.rate() <= estimated.rate() + 1e-9, "{given:?}, but estimated {estimated:?}");
    }
}

#[test]
fn one_person_is_one_speaker() {
    for segmentation in [true, false] {
        let Some(pipeline) = pipeline(None, segmentation) else { return };
        let turns = diarize(&pipeline, "conversations/s5-00.flac", SpeakerOptions::default());
        assert!(turns.iter().all(|turn| turn.2 == turns[0].2), "{turns:?}");
        let spoken: f64 = turns.iter().map(|turn| turn.1 - turn.0).sum();
        assert!(spoken > 2.5, "{turns:?}");
    }
}

/// Two men in a meeting, who speak over each other now and then.
#[test]
fn a_meeting() {
    let Some(pipeline) = pipeline(None, true) else { return };
    let found = diarize(&pipeline, "ami/dev00.flac", SpeakerOptions::default());
    let references = fs::read_to_string(fixture("speakers/ami/debug.development.rttm")).unwrap();
    let score = der::score(&der::read_rttm(&references, "dev00"), &found, 30.0);
    eprintln!("{:.1} %, {score:?}", 100.0 * score.rate());
    assert_eq!(score.speakers, 2, "{score:?}");
    assert!(score.rate() <= 0.16, "{score:?}");
}

#[test]
fn the_score_is_that_of_the_script() {
    let turn = |start, end, name: &str| (start, end, name.to_owned());
    let reference = [turn(0.0, 6.0, "Anna"), turn(4.0, 8.0, "Ben"), turn(9.0, 10.0, "Anna")];
    // Right are Anna's first 6 s and 3 of Ben's; 1 s of Ben is missed, 1 s of Anna goes to Ben, 2 s are false.
    let found =
        [turn(0.0, 6.0, "1"), turn(5.0, 8.0, "0"), turn(9.0, 10.0, "0"), turn(11.0, 13.0, "2")];
    let score = der::score(&reference, &found, 20.0);
    assert!((score.rate() - 4.0 / 11.0).abs() < 1e-6, "{score:?}");
    assert!((score.confusion() - 1.0 / 11.0).abs() < 1e-6, "{score:?}");
    assert_eq!((score.reference_speakers, score.speakers), (2, 3));
    let line = |kind, name| format!("{kind} {name} 1 0.5 1.25 <NA> <NA> Anna <NA> <NA>\n");
    let text = line("SPEAKER", "a") + &line("SPEAKER", "b") + &line("SPKR-INFO", "a");
    assert_eq!(der::read_rttm(&text, "a"), [turn(0.5, 1.75, "Anna")]);
}
