//! The state that one transcription shares with its caller.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use transcript::Segment;

use super::{Error, Journal};
use crate::compute::Owner;

/// Receives segments as soon as they are recognized.
pub trait Listener: fmt::Debug + Send + Sync {
    /// Takes the segments of the next window, in order; of `channel` if the channels are separate. They lack
    /// what is added at the end: punctuation by a model, digits, speakers.
    fn on_segments(&self, channel: Option<usize>, segments: &[Segment]);
}

/// Lets a caller watch and interrupt the transcription of one recording.
///
/// One session belongs to one attempt at one recording. It is the place for everything that such an
/// attempt exchanges with the outside while it runs: the interruption (and the reason for it, once
/// there is more than one), the progress, and a journal that records the results of windows and
/// recalls them in the next attempt.
#[derive(Debug)]
pub struct Session {
    owner: Owner,
    interrupted: AtomicBool,
    waiting: AtomicBool,
    milliseconds: AtomicU64,
    bytes: AtomicU64,
    journal: OnceLock<Arc<dyn Journal>>,
    listener: OnceLock<Arc<dyn Listener>>,
}

/// Progress of a transcription.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Seconds of the recording that are transcribed.
    pub seconds: f64,
    /// Bytes of the recording that are transcribed: the bytes read, less the share of the audio that
    /// waits for the recognizer.
    pub bytes: u64,
}

impl Default for Session {
    fn default() -> Self {
        Self::new(0)
    }
}

impl Session {
    /// Creates a session whose work is of this class ([`Owner`]).
    pub fn new(class: usize) -> Self {
        Self {
            owner: Owner::new(class),
            interrupted: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
            milliseconds: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            journal: OnceLock::new(),
            listener: OnceLock::new(),
        }
    }

    /// Returns the owner of the transcription's work in the compute pool.
    pub(super) fn owner(&self) -> Owner {
        self.owner
    }

    /// Makes the transcription end with [`Error::Interrupted`] soon.
    pub fn interrupt(&self) {
        self.interrupted.store(true, Ordering::Relaxed);
    }

    /// Returns whether the caller interrupted the transcription.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Sets whether the transcription waits for something else than its own work, such as memory.
    pub fn set_waiting(&self, waiting: bool) {
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    /// Returns whether the transcription waits for something else than its own work.
    pub fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Sets the journal of the transcription, before it begins. Only the first call has an effect.
    pub fn set_journal(&self, journal: Arc<dyn Journal>) {
        let _ = self.journal.set(journal);
    }

    pub(super) fn journal(&self) -> Option<&dyn Journal> {
        self.journal.get().map(|journal| &**journal)
    }

    /// Sets who receives the segments, before the transcription begins. Only the first call has an effect.
    pub fn set_listener(&self, listener: Arc<dyn Listener>) {
        let _ = self.listener.set(listener);
    }

    pub(super) fn listener(&self) -> Option<&dyn Listener> {
        self.listener.get().map(|listener| &**listener)
    }

    /// Returns the progress so far.
    pub fn progress(&self) -> Progress {
        Progress {
            seconds: self.milliseconds.load(Ordering::Relaxed) as f64 / 1000.0,
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Fails with [`Error::Interrupted`] if the caller interrupted the transcription.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.is_interrupted() { Err(Error::Interrupted) } else { Ok(()) }
    }

    pub(super) fn report(&self, progress: Progress) {
        self.milliseconds.store((progress.seconds * 1000.0) as u64, Ordering::Relaxed);
        self.bytes.store(progress.bytes, Ordering::Relaxed);
    }
}
