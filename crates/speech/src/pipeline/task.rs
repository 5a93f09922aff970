//! The work on one task in the compute pool: recognition of a window, or a part of the diarization.

use std::{
    any::Any,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, mpsc},
    time::Duration,
};

use super::{
    Error, Session, TaskKey, TaskResult,
    journal::{TaskOutput, WindowResult},
};
use crate::{
    compute::{Compute, thread_cpu_seconds},
    recognizer::{Recognition, RecognizeOptions, Recognizer},
    speakers::{Diarizer, Work},
    window::Window,
};

/// Longest time for which an interruption goes unnoticed while tasks are being computed.
const INTERRUPT_POLL: Duration = Duration::from_millis(200);

/// The tasks of one kind that a recording has in the compute pool.
pub(super) struct Tasks<T> {
    compute: Arc<dyn Compute>,
    session: Arc<Session>,
    results: (mpsc::Sender<Completed<T>>, mpsc::Receiver<Completed<T>>),
    in_flight: usize,
}

/// A task of one recording. It always sends a result, even if it panics.
struct Spawned<T> {
    task: T,
    /// Set if a journal records the result.
    key: Option<TaskKey>,
    session: Arc<Session>,
    results: mpsc::Sender<Completed<T>>,
}

/// A task that comes back from the pool.
pub(super) struct Completed<T> {
    pub(super) task: T,
    pub(super) result: Result<TaskResult, Error>,
}

/// What is computed in the pool.
pub(super) trait Task: Send + 'static {
    fn compute(&self) -> Result<TaskOutput, Error>;
}

/// A window to recognize.
pub(super) struct WindowTask {
    pub(super) number: usize,
    pub(super) channel: usize,
    pub(super) window: Window,
    pub(super) options: RecognizeOptions,
    pub(super) recognizer: Arc<dyn Recognizer>,
}

/// A part of the diarization of a channel.
pub(super) struct SpeakersTask {
    pub(super) channel: usize,
    pub(super) work: Work,
    pub(super) diarizer: Arc<Diarizer>,
}

impl<T: Task> Tasks<T> {
    pub(super) fn new(compute: &Arc<dyn Compute>, session: &Arc<Session>) -> Self {
        Self {
            compute: Arc::clone(compute),
            session: Arc::clone(session),
            results: mpsc::channel(),
            in_flight: 0,
        }
    }

    /// Returns whether the pool holds one task more than it has cores: the extra one keeps the next free core
    /// busy, and more would only take memory.
    pub(super) fn is_full(&self) -> bool {
        self.in_flight > self.compute.width()
    }

    /// Returns the result of a task if the journal has it.
    pub(super) fn recall(&self, key: &TaskKey) -> Option<TaskResult> {
        let result = self.session.journal()?.recall(key)?;
        key.fits(&result).then_some(result)
    }

    /// Sends a task to the pool. The journal records its result.
    pub(super) fn spawn(&mut self, task: T, key: TaskKey) {
        let key = self.session.journal().is_some().then_some(key);
        let (session, results) = (Arc::clone(&self.session), self.results.0.clone());
        let spawned = Spawned { task, key, session, results };
        self.in_flight += 1;
        self.compute.spawn(self.session.owner(), Box::new(move || spawned.run()));
    }

    /// Waits for the next result. Returns `None` if no task is in the pool.
    pub(super) fn receive(&mut self) -> Result<Option<Completed<T>>, Error> {
        if self.in_flight == 0 {
            return Ok(None);
        }
        loop {
            if let Ok(completed) = self.results.1.recv_timeout(INTERRUPT_POLL) {
                self.in_flight -= 1;
                return Ok(Some(completed));
            }
            self.session.check()?;
        }
    }

    /// Returns a result that has come already.
    pub(super) fn try_receive(&mut self) -> Option<Completed<T>> {
        let completed = self.results.1.try_recv().ok()?;
        self.in_flight -= 1;
        Some(completed)
    }
}

impl<T: Task> Spawned<T> {
    /// Computes the result and sends it. Records it here, so that it is not lost if the transcription was
    /// interrupted meanwhile.
    fn run(mut self) {
        let key = self.key.take();
        let result = contained(|| {
            self.session.check()?;
            let start = thread_cpu_seconds();
            let output = self.task.compute()?;
            let result = TaskResult { output, seconds: thread_cpu_seconds() - start };
            if let (Some(journal), Some(key)) = (self.session.journal(), key) {
                journal.record(key, &result);
            }
            Ok(result)
        });
        // This fails if the recording has failed meanwhile: its receiver is gone.
        let _ = self.results.send(Completed { task: self.task, result });
    }
}

impl Task for WindowTask {
    fn compute(&self) -> Result<TaskOutput, Error> {
        let recognition = self.recognizer.recognize(&self.window.samples, &self.options)?;
        let end = self.window.recording_end();
        let audio_seconds = self.window.samples.len() as f64 / f64::from(audio::SAMPLE_RATE);
        tracing::trace!(channel = self.channel, end, audio_seconds, "window computed");
        Ok(TaskOutput::Window(self.result(recognition)))
    }
}

impl WindowTask {
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
        WindowResult { hypotheses: recognition.hypotheses, language, text_language }
    }
}

impl Task for SpeakersTask {
    fn compute(&self) -> Result<TaskOutput, Error> {
        Ok(TaskOutput::Speakers(self.diarizer.compute(&self.work)?))
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
