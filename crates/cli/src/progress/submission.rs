//! Progress of a submission: how much is listed, and how much of that published.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use tokio_util::task::AbortOnDropHandle;

use super::{
    LINE_INTERVAL, ProgressLine, REDRAW_INTERVAL, every, line::rough, terminal_bar,
    terminal_columns,
};
use crate::output;

/// Shows how many recordings were listed and how many jobs published.
pub(crate) struct SubmissionProgress {
    shared: Arc<Shared>,
    _renderer: AbortOnDropHandle<()>,
}

struct Shared {
    listed: AtomicU64,
    published: AtomicU64,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl SubmissionProgress {
    pub(crate) fn start() -> Self {
        let bar = terminal_bar();
        let interval = if bar.is_some() { REDRAW_INTERVAL } else { LINE_INTERVAL };
        let shared = Arc::new(Shared {
            listed: AtomicU64::new(0),
            published: AtomicU64::new(0),
            started: Instant::now(),
            bar,
        });
        let rendered = Arc::clone(&shared);
        Self { shared, _renderer: every(interval, move || rendered.render()) }
    }

    /// Counts a recording that was listed.
    pub(crate) fn listed(&self) {
        self.shared.listed.fetch_add(1, Relaxed);
    }

    /// Counts a job that the broker has confirmed.
    pub(crate) fn published(&self) {
        self.shared.published.fetch_add(1, Relaxed);
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Prints a line above the progress.
    pub(crate) fn say(&self, line: &str) {
        match &self.shared.bar {
            Some(bar) => bar.suspend(|| output::say(line)),
            None => output::say(line),
        }
    }
}

impl Drop for SubmissionProgress {
    fn drop(&mut self) {
        if let Some(bar) = &self.shared.bar {
            bar.finish_and_clear();
        }
    }
}

impl Shared {
    fn render(&self) {
        let (listed, published) = (self.listed.load(Relaxed), self.published.load(Relaxed));
        let elapsed = self.started.elapsed();
        let rate = published as f64 / elapsed.as_secs_f64().max(1e-3);
        let line = ProgressLine {
            counts: format!("{published} jobs published"),
            details: vec![
                format!("{listed} recordings listed"),
                format!("{rate:.0}/s"),
                format!("for {}", rough(elapsed)),
            ],
            ..ProgressLine::default()
        };
        match &self.bar {
            Some(bar) => bar.set_message(line.fit(terminal_columns())),
            None => output::note(&line.complete()),
        }
    }
}
