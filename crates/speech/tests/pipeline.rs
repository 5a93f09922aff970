//! Tests of the pipeline with a scripted recognizer.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::HashMap,
    fs,
    io::Cursor,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use audio::{ChannelMode, Decoder};
use speech::{
    pipeline::{
        Error, Journal, Models, Outcome, Pipeline, PipelineConfig, Session, TaskKey, TaskResult,
        TranscribeOptions,
    },
    recognizer::{self, Description, DetectedLanguage, Hypothesis, Recognition, Recognizer},
};
use support::{InlineCompute, decoding, detector};

/// Recognizes one word in every window. If no language is given, it detects German.
struct OneWord {
    description: Description,
    fixed_window: bool,
    foreign_below: Option<f32>,
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
        let calls = Mutex::default();
        Arc::new(Self { description, fixed_window, foreign_below: None, calls })
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

    fn foreign_below(&self) -> Option<f32> {
        self.foreign_below
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
            tokens: vec![1; 10],
            log_probability: 0.5_f32.ln(),
            no_speech_probability: Some(0.125),
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
    assert!(outcome.segments.iter().all(|s| s.no_speech_probability == Some(0.125)));
    assert!(outcome.report.warnings.is_empty(), "{:?}", outcome.report.warnings);
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
fn each_channel_that_does_not_sound_like_the_language_of_the_model_gives_a_warning() {
    let warnings = |limit: f32, channels| {
        let mut recognizer = OneWord::new(true);
        let model = Arc::get_mut(&mut recognizer).unwrap();
        model.foreign_below = Some(limit);
        model.description.languages = vec!["en".to_owned()];
        let options = TranscribeOptions::default();
        run(&recognizer, channels, &options, &Arc::default()).unwrap().report.warnings
    };
    // The words have the log-probability -0.69.
    let of_channels = warnings(-0.6, ChannelMode::Split);
    assert_eq!(of_channels.len(), 2, "{of_channels:?}");
    for (index, warning) in of_channels.iter().enumerate() {
        let begin = format!("channel {}: this does not sound like English, ", index + 1);
        assert!(warning.starts_with(&begin) && warning.contains("`one-word`"), "{warning}");
    }
    let of_mix = warnings(-0.6, ChannelMode::Mix);
    assert_eq!(of_mix.len(), 1);
    assert!(of_mix[0].starts_with("this does not sound like English"), "{of_mix:?}");
    assert!(warnings(-0.8, ChannelMode::Split).is_empty());
}

#[test]
fn an_unknown_language_and_an_interruption_are_errors() {
    let recognizer = OneWord::new(true);
    let options =
        TranscribeOptions { language: Some("tlh".to_owned()), ..TranscribeOptions::default() };
    let result = run(&recognizer, ChannelMode::Mix, &options, &Arc::default());
    assert_eq!(
        result.unwrap_err().to_string(),
        "the model `one-word` knows en and de, but not `tlh`: choose a multilingual model, such as \
         whisper-base"
    );
    let session = Arc::new(Session::default());
    session.interrupt();
    let result = run(&recognizer, ChannelMode::Mix, &TranscribeOptions::default(), &session);
    assert!(matches!(result, Err(Error::Interrupted)));
    assert!(recognizer.calls.lock().unwrap().is_empty());
}

/// Keeps results as text, as a store does, and interrupts the session after a number of windows.
#[derive(Debug, Default)]
struct Notes {
    results: Mutex<HashMap<TaskKey, String>>,
    recalled: AtomicUsize,
    last: Option<(usize, Arc<Session>)>,
}

impl Journal for Notes {
    fn recall(&self, key: &TaskKey) -> Option<TaskResult> {
        let text = self.results.lock().unwrap().get(key).cloned()?;
        self.recalled.fetch_add(1, Ordering::SeqCst);
        Some(serde_json::from_str(&text).unwrap())
    }

    fn record(&self, key: TaskKey, result: &TaskResult) {
        let mut results = self.results.lock().unwrap();
        let before = results.insert(key, serde_json::to_string(result).unwrap());
        assert!(before.is_none(), "no window is computed twice");
        if let Some((limit, session)) = &self.last
            && results.len() == *limit
        {
            session.interrupt();
        }
    }
}

/// Transcribes with a journal that interrupts after `limit` windows. Returns what it has recorded.
fn interrupted(
    recognizer: &Arc<OneWord>,
    channels: ChannelMode,
    options: &TranscribeOptions,
    limit: usize,
) -> HashMap<TaskKey, String> {
    let session = Arc::new(Session::default());
    let last = Some((limit, Arc::clone(&session)));
    let notes = Arc::new(Notes { last, ..Notes::default() });
    session.set_journal(Arc::clone(&notes) as Arc<dyn Journal>);
    let result = run(recognizer, channels, options, &session);
    assert!(matches!(result, Err(Error::Interrupted)));
    let results = notes.results.lock().unwrap().clone();
    assert_eq!(results.len(), limit);
    results
}

/// Transcribes with what an earlier attempt has recorded.
fn resumed(
    recognizer: &Arc<OneWord>,
    channels: ChannelMode,
    options: &TranscribeOptions,
    results: HashMap<TaskKey, String>,
) -> (Outcome, Arc<Notes>, Arc<Session>) {
    let notes = Arc::new(Notes { results: Mutex::new(results), ..Notes::default() });
    let session = Arc::new(Session::default());
    session.set_journal(Arc::clone(&notes) as Arc<dyn Journal>);
    (run(recognizer, channels, options, &session).unwrap(), notes, session)
}

/// Everything of an outcome that a transcript shows, besides the time it took.
fn shown(outcome: &Outcome) -> String {
    let Outcome { segments, info, report, warnings, .. } = outcome;
    format!("{segments:?} {info:?} {report:?} {warnings:?}")
}

#[test]
fn a_transcription_that_was_interrupted_anywhere_ends_with_the_same_transcript() {
    // With the language detected in the first window of each channel, and with one that is given.
    let german =
        TranscribeOptions { language: Some("de".to_owned()), ..TranscribeOptions::default() };
    for (fixed_window, channels, options) in [
        (true, ChannelMode::Split, TranscribeOptions::default()),
        (false, ChannelMode::Split, TranscribeOptions::default()),
        (false, ChannelMode::Mix, german),
    ] {
        let recognizer = OneWord::new(fixed_window);
        let whole = run(&recognizer, channels, &options, &Arc::default()).unwrap();
        let windows = recognizer.calls.lock().unwrap().len();
        assert!(windows >= 3, "{windows}");
        for limit in 1..windows {
            let results = interrupted(&recognizer, channels, &options, limit);
            recognizer.calls.lock().unwrap().clear();
            let (outcome, notes, _) = resumed(&recognizer, channels, &options, results);
            assert_eq!(shown(&outcome), shown(&whole), "after {limit} of {windows} windows");
            assert_eq!(notes.recalled.load(Ordering::SeqCst), limit);
            assert_eq!(recognizer.calls.lock().unwrap().len(), windows - limit);
        }
    }
}

#[test]
fn a_journal_that_recalls_every_window_computes_none() {
    let recognizer = OneWord::new(true);
    let options = TranscribeOptions::default();
    let (whole, notes, _) = resumed(&recognizer, ChannelMode::Mix, &options, HashMap::new());
    let results = notes.results.lock().unwrap().clone();
    recognizer.calls.lock().unwrap().clear();
    let (outcome, _, session) = resumed(&recognizer, ChannelMode::Mix, &options, results);
    assert!(recognizer.calls.lock().unwrap().is_empty());
    assert_eq!(shown(&outcome), shown(&whole));
    // What is recalled counts as progress, and costs what it cost when it was computed.
    assert_eq!(session.progress().bytes, outcome.report.bytes_read);
    assert!((session.progress().seconds - outcome.report.duration).abs() < 1e-2);
    let recognize =
        |outcome: &Outcome| outcome.stages.iter().find(|stage| stage.name == "recognize").cloned();
    assert_eq!(recognize(&outcome), recognize(&whole));
}

#[test]
fn a_window_is_recalled_only_if_it_would_be_computed_in_the_same_way() {
    let recognizer = OneWord::new(true);
    let options = TranscribeOptions::default();
    let (_, notes, _) = resumed(&recognizer, ChannelMode::Mix, &options, HashMap::new());
    let results = notes.results.lock().unwrap().clone();
    let recalled = |recognizer: &Arc<OneWord>, channels, options: &TranscribeOptions| {
        let (_, notes, _) = resumed(recognizer, channels, options, results.clone());
        notes.recalled.load(Ordering::SeqCst)
    };
    assert_eq!(recalled(&recognizer, ChannelMode::Mix, &options), results.len());
    // Another language, channels one by one, and windows with other pieces.
    let english =
        TranscribeOptions { language: Some("en".to_owned()), ..TranscribeOptions::default() };
    assert_eq!(recalled(&recognizer, ChannelMode::Mix, &english), 0);
    assert_eq!(recalled(&recognizer, ChannelMode::Split, &options), 0);
    assert_eq!(recalled(&OneWord::new(false), ChannelMode::Mix, &options), 0);

    // Of windows with one piece each, for whose words nobody asked.
    let single = OneWord::new(false);
    let (_, notes, _) = resumed(&single, ChannelMode::Mix, &options, HashMap::new());
    let results = notes.results.lock().unwrap().clone();
    let without_words = TranscribeOptions { word_times: Some(false), ..options };
    let (_, notes, _) = resumed(&single, ChannelMode::Mix, &without_words, results);
    assert_eq!(notes.recalled.load(Ordering::SeqCst), 0);
}
