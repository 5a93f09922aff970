//! Tests of the pipeline with a scripted recognizer.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs,
    io::Cursor,
    path::Path,
    sync::{Arc, Mutex},
};

use audio::{ChannelMode, Decoder};
use speech::{
    pipeline::{Error, Models, Outcome, Pipeline, PipelineConfig, Session, TranscribeOptions},
    recognizer::{self, Description, DetectedLanguage, Hypothesis, Recognition, Recognizer},
};
use support::{InlineCompute, decoding, detector};

/// Recognizes one word in every window. If no language is given, it detects German.
struct OneWord {
    description: Description,
    fixed_window: bool,
    /// Seconds and language of each call.
    calls: Mutex<Vec<(f64, Option<String>)>>,
}

impl OneWord {
    fn new(fixed_window: bool) -> Arc<Self> {
        let description = Description {
            name: "one-word".to_owned(),
            family: "test",
            precision: "f32",
            digest: "0".to_owned(),
            languages: vec!["en".to_owned(), "de".to_owned()],
        };
        Arc::new(Self { description, fixed_window, calls: Mutex::default() })
    }
}

impl Recognizer for OneWord {
    fn description(&self) -> &Description {
        &self.description
    }

    fn max_seconds(&self) -> f64 {
        30.0
    }

    fn fixed_window(&self) -> bool {
        self.fixed_window
    }

    fn punctuates(&self, _: bool) -> bool {
        true
    }

    fn keeps_language(&self) -> bool {
        true
    }

    fn recognize(
        &self,
        samples: &[f32],
        options: &recognizer::RecognizeOptions,
    ) -> Result<Recognition, recognizer::Error> {
        let seconds = samples.len() as f64 / 16_000.0;
        self.calls.lock().unwrap().push((seconds, options.language.clone()));
        let detected = DetectedLanguage { language: "de".to_owned(), probability: 0.9 };
        let word = Hypothesis {
            start: 0.0,
            end: seconds,
            text: " word ".to_owned(),
            tokens: vec![1],
            log_probability: 0.5_f32.ln(),
            ..Hypothesis::default()
        };
        let detected_language = options.language.is_none().then_some(detected);
        Ok(Recognition { hypotheses: vec![word], detected_language })
    }
}

/// Returns a WAV file with two channels. The first one has the sentence `times` times, the second one
/// only the last time. A pause of five seconds follows each sentence.
fn recording(times: usize) -> Vec<u8> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    let sentence = fs::read(fixtures.join("speech/sentence.wav")).unwrap()[44..].to_vec();
    let mut data = Vec::new();
    for turn in 1..=times {
        // Backwards on the other channel: one voice on both is transcribed once.
        for (sample, backwards) in sentence.chunks_exact(2).zip(sentence.chunks_exact(2).rev()) {
            data.extend(sample);
            data.extend(if turn == times { backwards } else { &[0, 0] });
        }
        data.resize(data.len() + 4 * 16_000 * 5, 0);
    }
    let mut wav =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x80\x3e\0\0\0\xfa\0\0\x04\0\x10\0data"
            .to_vec();
    wav.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    wav.extend(data);
    wav
}

fn run(
    recognizer: &Arc<OneWord>,
    channels: ChannelMode,
    options: &TranscribeOptions,
    session: &Arc<Session>,
) -> Result<Outcome, Error> {
    let models = Models {
        vad: detector(),
        recognizer: Arc::clone(recognizer) as Arc<dyn Recognizer>,
        punctuator: None,
        diarizer: None,
        normalizer: None,
    };
    let pipeline = Pipeline::new(models, PipelineConfig::default(), Arc::new(InlineCompute));
    let recording = Box::new(Cursor::new(recording(10)));
    let decoder = Decoder::open(recording, &decoding(channels)).unwrap();
    pipeline.transcribe(decoder, options, session)
}

#[test]
fn segments_are_packed_and_the_first_window_of_a_channel_decides_its_language() {
    let recognizer = OneWord::new(true);
    let options = TranscribeOptions::default();
    let outcome = run(&recognizer, ChannelMode::Split, &options, &Arc::default()).unwrap();
    let calls = recognizer.calls.lock().unwrap();
    // Ten sentences of 3 s fill two windows; the other channel has one sentence.
    assert!((3..=4).contains(&calls.len()), "{calls:?}");
    assert!(calls.iter().all(|(seconds, _)| *seconds <= 30.0));
    let given = calls.iter().filter(|(_, language)| language.is_some()).count();
    assert_eq!(given, calls.len() - 2, "one detection for each channel: {calls:?}");
    assert!(outcome.segments.iter().all(|s| s.language.as_deref() == Some("de")));
    assert!(outcome.segments.iter().all(|s| s.text == "word" && (s.confidence - 0.5).abs() < 1e-3));
    assert!(outcome.segments.is_sorted_by(|a, b| a.start <= b.start));
    let second: Vec<_> = outcome.segments.iter().filter(|s| s.channel == Some(1)).collect();
    assert_eq!(second.len(), 1);
    // The last of ten sentences, which are 8.29 s apart.
    assert!((second[0].start - 74.6).abs() < 0.5, "{second:?}");
    assert!((outcome.report.duration - 82.9).abs() < 0.1);
    let stages: Vec<_> = outcome.stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(stages, ["decode", "vad", "recognize"]);
}

#[test]
fn segments_are_not_packed_if_cost_depends_on_length() {
    let recognizer = OneWord::new(false);
    let options =
        TranscribeOptions { language: Some("en".to_owned()), ..TranscribeOptions::default() };
    let session = Arc::new(Session::default());
    let outcome = run(&recognizer, ChannelMode::Mix, &options, &session).unwrap();
    assert!((session.progress().seconds - outcome.report.duration).abs() < 1e-2);
    assert_eq!(session.progress().bytes, outcome.report.bytes_read);
    assert_eq!(outcome.segments.len(), 10);
    assert!(outcome.segments.iter().all(|s| s.channel.is_none()));
    for (turn, segment) in outcome.segments.iter().enumerate() {
        let start = 8.29 * turn as f64;
        assert!((segment.start - start).abs() < 0.5, "{turn}: {segment:?}");
        assert!(segment.end - segment.start < 4.0, "{turn}: {segment:?}");
        assert_eq!(segment.language.as_deref(), Some("en"));
    }
}

#[test]
fn an_unknown_language_and_an_interruption_are_errors() {
    let recognizer = OneWord::new(true);
    let options =
        TranscribeOptions { language: Some("tlh".to_owned()), ..TranscribeOptions::default() };
    let result = run(&recognizer, ChannelMode::Mix, &options, &Arc::default());
    let unknown = recognizer::Error::UnknownLanguage("tlh".to_owned()).to_string();
    assert_eq!(result.unwrap_err().to_string(), unknown);
    let session = Arc::new(Session::default());
    session.interrupt();
    let result = run(&recognizer, ChannelMode::Mix, &TranscribeOptions::default(), &session);
    assert!(matches!(result, Err(Error::Interrupted)));
    assert!(recognizer.calls.lock().unwrap().is_empty());
}
