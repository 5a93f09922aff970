//! Where the time goes: what the networks do, operator by operator.
//!
//! [`record`] notes what runs on its thread, so that nothing between it and the networks need know.
//! Where nobody records, a run of a network asks once whether somebody does, and that is all.

mod generic;
mod products;
#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

#[cfg(test)]
pub(crate) use self::generic::generic_operators;
pub(crate) use self::{
    generic::{Left, left, warn_if_generic},
    products::{BF16, OURS, is_generic, products},
};

/// What happened during one call of [`record`].
#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// How long the call took.
    pub time: Duration,
    /// The networks that it ran, in order. What lies between them is not theirs: features, search.
    pub runs: Vec<NetworkRun>,
}

/// One run of one network.
#[derive(Debug, Clone)]
pub struct NetworkRun {
    /// From the start of the recording.
    pub start: Duration,
    pub time: Duration,
    pub operators: Vec<OperatorTime>,
}

/// How long an operator took in one run.
#[derive(Debug, Clone)]
pub struct OperatorTime {
    /// Its kind.
    pub operator: String,
    /// Its node.
    pub name: String,
    /// From the start of the recording.
    pub start: Duration,
    pub time: Duration,
    pub products: Products,
    /// It is tract's, for any graph, and none of ours, which stand on `kernels`.
    pub generic: bool,
}

/// Products of two numbers that are added up, by the type of the numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Products {
    pub int8: u64,
    pub bf16: u64,
    pub f32: u64,
}

impl Products {
    pub fn total(self) -> u64 {
        self.int8 + self.bf16 + self.f32
    }
}

impl std::ops::AddAssign for Products {
    fn add_assign(&mut self, other: Self) {
        self.int8 += other.int8;
        self.bf16 += other.bf16;
        self.f32 += other.f32;
    }
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

struct Recorder {
    start: Instant,
    runs: Vec<NetworkRun>,
}

/// Does `work`, and tells what the networks did that ran on this thread meanwhile. Of recordings
/// within each other, the innermost has it all.
pub fn record<T>(work: impl FnOnce() -> T) -> (T, Recording) {
    /// Puts back who recorded before, also if `work` panics.
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
    (result, Recording { time, runs })
}

/// A run of a network that is recorded.
pub(crate) struct Running {
    epoch: Instant,
    start: Instant,
    operators: Vec<OperatorTime>,
}

impl Running {
    /// `None` if nobody records on this thread. `operators`: about how many there will be.
    pub(crate) fn begin(operators: usize) -> Option<Self> {
        let epoch = RECORDER.with_borrow(|recorder| recorder.as_ref().map(|r| r.start))?;
        let operators = Vec::with_capacity(operators);
        Some(Self { epoch, start: Instant::now(), operators })
    }

    /// Since the recording began.
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
