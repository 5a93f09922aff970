//! Stops leasing while this worker or a store is at fault, and tries again with growing delays.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use backon::ExponentialBackoff;
use job::Failure;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use crate::{
    delays,
    events::{Observer, WorkerEvent},
    lock,
};

const MIN_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(60);

/// Whether jobs may be leased. While it is open, none are; when a delay is over, one job is leased to
/// try: if it reaches its stores, the breaker closes, else it stays open for longer.
pub(crate) struct Breaker {
    state: Mutex<State>,
    changed: Notify,
    /// Whether a job was ever done.
    has_worked: AtomicBool,
    observers: Vec<Arc<dyn Observer>>,
}

#[derive(Debug)]
enum State {
    Closed,
    Open { reason: String, until: Instant, delays: ExponentialBackoff },
}

impl Breaker {
    /// Creates a closed breaker. It tells the observers when it opens and closes.
    pub(crate) fn new(observers: Vec<Arc<dyn Observer>>) -> Self {
        let state = Mutex::new(State::Closed);
        let (changed, has_worked) = (Notify::new(), AtomicBool::new(false));
        Self { state, changed, has_worked, observers }
    }

    /// Opens the breaker, or keeps it open for longer, because of a failure that is not the job's.
    pub(crate) fn trip(&self, failure: &Failure) {
        let mut state = lock(&self.state);
        let now = Instant::now();
        match &mut *state {
            State::Closed => {
                let reason = failure.to_string();
                WorkerEvent::NotReady { reason: reason.clone() }.emit(&self.observers);
                let mut delays = delays(MIN_DELAY, MAX_DELAY);
                let until = now + delays.next().unwrap_or(MAX_DELAY);
                *state = State::Open { reason, until, delays };
            }
            // Jobs that began before fail as well; they say nothing new.
            State::Open { until, .. } if *until > now => return,
            State::Open { reason, until, delays } => {
                *reason = failure.to_string();
                let delay = delays.next().unwrap_or(MAX_DELAY);
                *until = now + delay;
                let retry_in_ms = delay.as_millis() as u64;
                tracing::warn!(reason, retry_in_ms, "still not ready");
            }
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Returns whether this worker has done a job, so that its account may read and write.
    pub(crate) fn has_worked(&self) -> bool {
        self.has_worked.load(Ordering::Relaxed)
    }

    /// Closes the breaker: a job has reached its stores, and may be done.
    pub(crate) fn reset(&self, done: bool) {
        if done {
            self.has_worked.store(true, Ordering::Relaxed);
        }
        let mut state = lock(&self.state);
        if let State::Open { reason, .. } = &*state {
            WorkerEvent::Ready { was: reason.clone() }.emit(&self.observers);
            *state = State::Closed;
            self.changed.notify_one();
        }
    }

    /// Returns whether a job may be leased while `running` others run.
    pub(crate) fn permits(&self, running: usize) -> bool {
        match &*lock(&self.state) {
            State::Closed => true,
            State::Open { until, .. } => *until <= Instant::now() && running == 0,
        }
    }

    /// Waits until [`Breaker::permits`] may have another answer.
    pub(crate) async fn changed(&self) {
        let until = match &*lock(&self.state) {
            State::Open { until, .. } if *until > Instant::now() => Some(*until),
            State::Open { .. } | State::Closed => None,
        };
        match until {
            Some(until) => tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(until) => {}
            },
            None => self.changed.notified().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use job::FailureCode;

    use super::*;

    fn failure() -> Failure {
        Failure {
            code: FailureCode::SourceUnavailable,
            source: "s3://b/a".to_owned(),
            message: "down".to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_job_tries_when_the_delay_is_over() {
        let breaker = Breaker::new(Vec::new());
        assert!(breaker.permits(0) && breaker.permits(9));
        let mut waited = Vec::new();
        for _ in 0..9 {
            breaker.trip(&failure());
            breaker.trip(&failure());
            assert!(!breaker.permits(0));
            let start = Instant::now();
            while !breaker.permits(0) {
                breaker.changed().await;
            }
            assert!(!breaker.permits(1), "one at a time");
            waited.push(start.elapsed());
        }
        assert!(waited[0] <= 2 * MIN_DELAY && waited[8] >= MAX_DELAY, "{waited:?}");
        breaker.reset(false);
        assert!(breaker.permits(9) && !breaker.has_worked());
        breaker.reset(true);
        assert!(breaker.has_worked());
    }
}
