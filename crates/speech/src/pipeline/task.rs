//! The work on one window in the compute pool.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, mpsc},
};

use super::{Error, Session, WindowKey, WindowResult};
use crate::{
    compute::thread_cpu_seconds,
    recognizer::{Recognition, RecognizeOptions, Recognizer},
    speakers::{Diarizer, Embedding},
    window::Window,
};

/// A window to recognize. It always sends a result, even if recognition panics.
pub(super) struct WindowTask {
    pub(super) number: usize,
    pub(super) channel: usize,
    pub(super) window: Window,
    /// Set if a journal records the result.
    pub(super) key: Option<WindowKey>,
    pub(super) options: RecognizeOptions,
    pub(super) recognizer: Arc<dyn Recognizer>,
    /// Set if the job asks for speakers.
    pub(super) diarizer: Option<Arc<Diarizer>>,
    pub(super) session: Arc<Session>,
    pub(super) results: mpsc::Sender<CompletedWindow>,
}

/// A window that comes back from the pool.
pub(super) struct CompletedWindow {
    pub(super) number: usize,
    pub(super) channel: usize,
    pub(super) window: Window,
    pub(super) result: Result<WindowResult, Error>,
}

impl WindowTask {
    /// Recognizes the window, embeds its speakers, and sends the result. Records it here, so that it
    /// is not lost if the transcription was interrupted meanwhile.
    pub(super) fn run(mut self) {
        let key = self.key.take();
        let result = contained(|| {
            let result = self.compute()?;
            if let (Some(journal), Some(key)) = (self.session.journal(), key) {
                journal.record(key, &result);
            }
            Ok(result)
        });
        let (end, ok) = (self.window.recording_end(), result.is_ok());
        let audio_seconds = self.window.samples.len() as f64 / f64::from(audio::SAMPLE_RATE);
        tracing::trace!(channel = self.channel, end, audio_seconds, ok, "window computed");
        let completed = CompletedWindow {
            number: self.number,
            channel: self.channel,
            window: self.window,
            result,
        };
        // This fails if the recording has failed meanwhile: its receiver is gone.
        let _ = self.results.send(completed);
    }

    fn compute(&self) -> Result<WindowResult, Error> {
        self.session.check()?;
        let start = thread_cpu_seconds();
        let recognition = self.recognizer.recognize(&self.window.samples, &self.options)?;
        let recognized = thread_cpu_seconds();
        let embeddings = self.embed()?;
        Ok(WindowResult {
            embeddings,
            recognize_seconds: recognized - start,
            speakers_seconds: thread_cpu_seconds() - recognized,
            ..self.result(recognition)
        })
    }

    /// Adds the languages to what was recognized.
    fn result(&self, recognition: Recognition) -> WindowResult {
        let languages = &self.recognizer.description().languages;
        let only = || languages.first().filter(|_| languages.len() == 1).cloned();
        let detected = || recognition.detected_language.map(|detected| detected.language);
        let language = self.options.language.clone().or_else(detected).or_else(only);
        let text_language = match self.options.translate {
            true => Some("en".to_owned()),
            false => language.clone(),
        };
        WindowResult {
            hypotheses: recognition.hypotheses,
            language,
            text_language,
            embeddings: Vec::new(),
            recognize_seconds: 0.0,
            speakers_seconds: 0.0,
        }
    }

    fn embed(&self) -> Result<Vec<Embedding>, Error> {
        let mut embeddings = Vec::new();
        if let Some(diarizer) = &self.diarizer {
            for (start, samples) in self.window.pieces() {
                embeddings.extend(diarizer.embed_segment(start, samples)?);
            }
        }
        Ok(embeddings)
    }
}

/// Runs `work` and turns a panic into an error, so that a bug that one recording triggers does not
/// affect other recordings.
pub(super) fn contained<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Error::Panicked(panic_message(&*panic))))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown".to_owned())
}
