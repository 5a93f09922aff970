//! Records the networks that run on a thread.
//!
//! [`profile`] records for its own thread, so that the code between it and the networks does not
//! need to know about it. A network run without a recorder only checks once that there is none.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use super::counts::MacCounts;

/// Network runs during one call of [`profile`].
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// Wall time of the call.
    pub time: Duration,
    /// Runs in order. The time between them was spent outside of networks, such as on features and
    /// search.
    pub runs: Vec<NetworkRun>,
}

/// One run of one network.
#[derive(Debug, Clone)]
pub struct NetworkRun {
    /// Time since the start of the profile.
    pub start: Duration,
    pub time: Duration,
    pub operators: Vec<OperatorTime>,
}

/// Time of one operator in one run.
#[derive(Debug, Clone)]
pub struct OperatorTime {
    /// Kind of operator.
    pub operator: String,
    /// Name of its node.
    pub name: String,
    /// Time since the start of the profile.
    pub start: Duration,
    pub time: Duration,
    pub macs: MacCounts,
    /// Whether it is one of tract's operators for any graph, not one built on `kernels`.
    pub generic: bool,
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

struct Recorder {
    start: Instant,
    runs: Vec<NetworkRun>,
}

/// Calls `work`, and records the networks that it runs on this thread. If calls are nested, only
/// the innermost one records.
pub fn profile<T>(work: impl FnOnce() -> T) -> (T, Profile) {
    /// Restores the outer recorder, even if `work` panics.
    struct Outer(Option<Recorder>);
    impl Drop for Outer {
        fn drop(&mut self) {
            RECORDER.set(self.0.take());
        }
    }

    let start = Instant::now();
    let outer = Outer(RECORDER.replace(Some(Recorder { start, runs: Vec::new() })));
    let result = work();
    let time = start.elapsed();
    let runs = RECORDER.take().map(|recorder| recorder.runs).unwrap_or_default();
    drop(outer);
    (result, Profile { time, runs })
}

/// Records one network run.
pub(crate) struct RunProfiler {
    epoch: Instant,
    start: Instant,
    operators: Vec<OperatorTime>,
}

impl RunProfiler {
    /// Starts recording a run of about `operators` operators. `None` if this thread has no
    /// recorder.
    pub(crate) fn begin(operators: usize) -> Option<Self> {
        let epoch = RECORDER.with_borrow(|recorder| recorder.as_ref().map(|r| r.start))?;
        let operators = Vec::with_capacity(operators);
        Some(Self { epoch, start: Instant::now(), operators })
    }

    /// Returns the time since the start of the profile.
    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    pub(crate) fn push(&mut self, operator: OperatorTime) {
        self.operators.push(operator);
    }

    pub(crate) fn end(self) {
        let run = NetworkRun {
            start: self.start.duration_since(self.epoch),
            time: self.start.elapsed(),
            operators: self.operators,
        };
        RECORDER.with_borrow_mut(|recorder| {
            if let Some(recorder) = recorder {
                recorder.runs.push(run);
            }
        });
    }
}
