//! The work on one window in the compute pool.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, mpsc},
};

use super::{Error, Session};
use crate::{
    compute::thread_cpu_seconds,
    recognizer::{Hypothesis, RecognizeOptions, Recognizer},
    speakers::{Diarizer, Embedding},
    window::Window,
};

/// A window to recognize. It always sends a result, even if recognition panics.
pub(super) struct WindowTask {
    pub(super) number: usize,
    pub(super) channel: usize,
    pub(super) window: Window,
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
    /// CPU seconds.
    pub(super) recognize_seconds: f64,
    pub(super) speakers_seconds: f64,
}

/// Result of one window.
pub(super) struct WindowResult {
    pub(super) hypotheses: Vec<Hypothesis>,
    /// Language spoken, from the options, or detected.
    pub(super) language: Option<String>,
    /// Language of the text.
    pub(super) text_language: Option<String>,
    pub(super) embeddings: Vec<Embedding>,
}

impl WindowTask {
    /// Recognizes the window, embeds its speakers, and sends the result.
    pub(super) fn run(self) {
        let start = thread_cpu_seconds();
        let recognition = contained(|| self.recognize());
        let recognized = thread_cpu_seconds();
        let result = recognition.and_then(|result| {
            let embeddings = contained(|| self.embed())?;
            Ok(WindowResult { embeddings, ..result })
        });
        let completed = CompletedWindow {
            number: self.number,
            channel: self.channel,
            window: self.window,
            result,
            recognize_seconds: recognized - start,
            speakers_seconds: thread_cpu_seconds() - recognized,
        };
        // This fails if the recording has failed meanwhile: its receiver is gone.
        let _ = self.results.send(completed);
    }

    fn recognize(&self) -> Result<WindowResult, Error> {
        self.session.check()?;
        let recognition = self.recognizer.recognize(&self.window.samples, &self.options)?;
        let languages = &self.recognizer.description().languages;
        let only = || languages.first().filter(|_| languages.len() == 1).cloned();
        let detected = || recognition.detected_language.map(|detected| detected.language);
        let language = self.options.language.clone().or_else(detected).or_else(only);
        let text_language = match self.options.translate {
            true => Some("en".to_owned()),
            false => language.clone(),
        };
        Ok(WindowResult {
            hypotheses: recognition.hypotheses,
            language,
            text_language,
            embeddings: Vec::new(),
        })
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
