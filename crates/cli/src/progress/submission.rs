//! Progress of a submission: how much is listed, and how much of that published.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio_util::task::AbortOnDropHandle;

use super::{LINE_INTERVAL, REDRAW_INTERVAL, every, is_terminal};
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
        let bar = is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template("{spinner} {msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
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
        let rate = published as f64 / self.started.elapsed().as_secs_f64().max(1e-3);
        let line = format!("{listed} recordings listed, {published} jobs published, {rate:.0}/s");
        match &self.bar {
            Some(bar) => {
                bar.set_message(line);
                bar.tick();
            }
            None => output::say(&line),
        }
    }
}
