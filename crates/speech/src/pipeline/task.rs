//! One window's work in the compute pool.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::{Arc, mpsc},
};

use super::{Control, Error};
use crate::{
    compute::thread_cpu_seconds,
    recognizer::{self, Hypothesis, Recognizer},
    speakers::{Diarizer, Embedding},
    window::Window,
};

/// A window on its way to the words in it. Whatever happens to it, it answers.
pub(super) struct WindowTask {
    pub(super) number: usize,
    pub(super) channel: usize,
    pub(super) window: Window,
    pub(super) options: recognizer::Options,
    pub(super) recognizer: Arc<dyn Recognizer>,
    /// If speakers are to be told apart.
    pub(super) diarizer: Option<Arc<Diarizer>>,
    pub(super) control: Arc<Control>,
    pub(super) results: mpsc::Sender<Recognized>,
}

/// What comes back from the pool.
pub(super) struct Recognized {
    pub(super) number: usize,
    pub(super) channel: usize,
    pub(super) window: Window,
    pub(super) result: Result<Heard, Error>,
    pub(super) recognize_seconds: f64,
    pub(super) speakers_seconds: f64,
}

/// What was heard in a window.
pub(super) struct Heard {
    pub(super) hypotheses: Vec<Hypothesis>,
    /// Told, or guessed.
    pub(super) language: Option<String>,
    pub(super) embeddings: Vec<Embedding>,
}

impl WindowTask {
    pub(super) fn run(self) {
        let start = thread_cpu_seconds();
        let heard = contained(|| self.recognize());
        let recognized = thread_cpu_seconds();
        let result = heard.and_then(|heard| {
            let embeddings = contained(|| self.embed())?;
            Ok(Heard { embeddings, ..heard })
        });
        let recognized = Recognized {
            number: self.number,
            channel: self.channel,
            window: self.window,
            result,
            recognize_seconds: recognized - start,
            speakers_seconds: thread_cpu_seconds() - recognized,
        };
        // The recording may have failed meanwhile; then nobody listens.
        let _ = self.results.send(recognized);
    }

    fn recognize(&self) -> Result<Heard, Error> {
        if self.control.is_interrupted() {
            return Err(Error::Interrupted);
        }
        let recognition = self.recognizer.recognize(&self.window.samples, &self.options)?;
        let languages = &self.recognizer.description().languages;
        let only = || languages.first().filter(|_| languages.len() == 1).cloned();
        let guess = || recognition.guess.map(|guess| guess.language);
        let language = self.options.language.clone().or_else(guess).or_else(only);
        Ok(Heard { hypotheses: recognition.hypotheses, language, embeddings: Vec::new() })
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

/// Turns a panic into an error: a fault that one recording meets must not take others along.
pub(super) fn contained<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Error::Panicked(panic_message(&*panic))))
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown".to_owned())
}
