//! Whether a process has started, is alive, and is ready, as Kubernetes asks.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use worker::events::{JobEvent, Observer, WorkerEvent};

/// A process whose loop has shown no sign of life for this long is stuck.
const STUCK: Duration = Duration::from_secs(60);

const STARTING: &str = "starting: models are being loaded, or the broker does not answer";

/// The health of a worker, from its events, or of a bridge.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    started: bool,
    draining: bool,
    is_connected: bool,
    /// Why no jobs are leased.
    fault: Option<String>,
    last_beat: Option<Instant>,
}

/// An answer to a probe: `Err` with the reason if it fails.
pub(crate) type Answer = Result<&'static str, String>;

impl Health {
    /// Messages are leased from now on.
    pub fn start(&self) {
        self.lock().started = true;
    }

    /// The process's loop is alive. Call it once a second; `is_connected` is whether leases can arrive.
    pub fn beat(&self, is_connected: bool) {
        let mut state = self.lock();
        state.is_connected = is_connected;
        state.last_beat = Some(Instant::now());
    }

    /// No more messages are leased.
    pub fn drain(&self) {
        self.lock().draining = true;
    }

    /// Returns whether models are loaded and messages were leased once.
    pub(crate) fn startup(&self) -> Answer {
        if self.lock().started { Ok("started") } else { Err(STARTING.to_owned()) }
    }

    /// Returns whether the process does its work, or could. If not, it must be killed.
    pub(crate) fn live(&self) -> Answer {
        self.live_at(Instant::now())
    }

    fn live_at(&self, now: Instant) -> Answer {
        let state = self.lock();
        match state.last_beat {
            Some(at) if !state.draining && now.saturating_duration_since(at) > STUCK => {
                Err(format!("the loop is stuck for {} s", (now - at).as_secs()))
            }
            _ => Ok("alive"),
        }
    }

    /// Returns whether the process takes messages.
    pub(crate) fn ready(&self) -> Answer {
        let state = self.lock();
        if state.draining {
            Err("draining".to_owned())
        } else if !state.started {
            Err(STARTING.to_owned())
        } else if !state.is_connected {
            Err("there is no connection to the broker".to_owned())
        } else if let Some(fault) = &state.fault {
            Err(fault.clone())
        } else {
            Ok("ready")
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, so a poisoned lock still guards a consistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Health {
    fn job(&self, _: &JobEvent<'_>) {}

    fn worker(&self, event: &WorkerEvent) {
        match event {
            WorkerEvent::Leasing { .. } => self.start(),
            WorkerEvent::NotReady { reason } => self.lock().fault = Some(reason.clone()),
            WorkerEvent::Ready { .. } => self.lock().fault = None,
            WorkerEvent::Draining { .. } => self.drain(),
            WorkerEvent::Heartbeat { is_connected, .. } => self.beat(*is_connected),
            WorkerEvent::Notified { .. } | WorkerEvent::Invalid { .. } => {}
        }
    }

    fn span(&self, _: &tracing::Span, _: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_becomes_ready_and_unready() {
        let health = Health::default();
        let answers = || (health.startup().is_ok(), health.live().is_ok(), health.ready().is_ok());
        assert_eq!(answers(), (false, true, false));
        let (worker, lanes, models) = ("w".to_owned(), Vec::new(), Vec::new());
        health.worker(&WorkerEvent::Leasing { worker, lanes, models, in_flight: 1 });
        assert_eq!(answers(), (true, true, false), "not connected yet");
        let beat = |is_connected| {
            health.worker(&WorkerEvent::Heartbeat { memory: None, is_connected });
        };
        beat(true);
        assert_eq!(answers(), (true, true, true));
        health.worker(&WorkerEvent::NotReady { reason: "the store is down".to_owned() });
        assert_eq!(health.ready(), Err("the store is down".to_owned()));
        health.worker(&WorkerEvent::Ready { was: "the store is down".to_owned() });
        beat(false);
        assert_eq!(answers(), (true, true, false));
        beat(true);
        let later = Instant::now() + STUCK + Duration::from_secs(1);
        assert!(health.live_at(later).is_err(), "its loop is stuck");
        health.worker(&WorkerEvent::Draining { in_flight: 1 });
        assert_eq!(answers(), (true, true, false));
        assert!(health.live_at(later).is_ok(), "it may drain for long");
    }
}
