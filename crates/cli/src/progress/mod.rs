//! Progress of long commands: a bar on a terminal, otherwise a line from time to time. It goes to
//! standard error; standard output is for results.

mod counter;
mod download;
mod submission;

use std::{
    io::{self, IsTerminal},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use speech::pipeline::Session;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use self::{counter::Counter, download::download_bar, submission::SubmissionProgress};
use crate::output;

const REDRAW_INTERVAL: Duration = Duration::from_millis(200);
const LINE_INTERVAL: Duration = Duration::from_secs(15);

/// Shows the progress of many recordings.
pub(crate) struct Progress {
    shared: Arc<Shared>,
    _renderer: AbortOnDropHandle<()>,
}

struct Shared {
    tally: Mutex<Tally>,
    started: Instant,
    bar: Option<ProgressBar>,
}

#[derive(Default)]
struct Tally {
    /// Whether the listing is complete.
    listed: bool,
    files: u64,
    files_ended: u64,
    bytes: u64,
    bytes_ended: u64,
    /// Seconds of audio transcribed.
    seconds_ended: f64,
    /// Recordings in flight and their sizes in bytes.
    in_flight: Vec<(Arc<Session>, u64)>,
}

/// Progress at one point in time.
struct Snapshot {
    line: String,
    bytes_done: u64,
    bytes: u64,
}

impl Progress {
    pub(crate) fn start() -> Self {
        let bar = terminal_bar();
        let interval = if bar.is_some() { REDRAW_INTERVAL } else { LINE_INTERVAL };
        let shared = Arc::new(Shared { tally: Mutex::default(), started: Instant::now(), bar });
        let rendered = Arc::clone(&shared);
        Self { shared, _renderer: every(interval, move || rendered.render()) }
    }

    /// Counts a listed recording.
    pub(crate) fn found(&self, bytes: u64) {
        let mut tally = self.shared.tally();
        tally.files += 1;
        tally.bytes += bytes;
    }

    /// Marks the listing as complete: totals are final, and the remaining time can be estimated.
    pub(crate) fn listed(&self) {
        self.shared.tally().listed = true;
    }

    /// Adds a recording in flight.
    pub(crate) fn begin(&self, session: &Arc<Session>, bytes: u64) {
        self.shared.tally().in_flight.push((Arc::clone(session), bytes));
    }

    /// Removes a recording in flight. `seconds` is its duration if it was transcribed; a skipped
    /// recording does not count towards the speed.
    pub(crate) fn end(&self, session: &Arc<Session>, bytes: u64, seconds: Option<f64>) {
        let mut tally = self.shared.tally();
        tally.in_flight.retain(|(other, _)| !Arc::ptr_eq(other, session));
        tally.files_ended += 1;
        if let Some(seconds) = seconds {
            tally.bytes_ended += bytes;
            tally.seconds_ended += seconds;
        } else {
            tally.bytes = tally.bytes.saturating_sub(bytes);
        }
    }

    /// Prints a line above the bar.
    pub(crate) fn say(&self, line: &str) {
        match &self.shared.bar {
            Some(bar) => bar.suspend(|| output::say(line)),
            None => output::say(line),
        }
    }

    /// Prints a result to standard output; hides the bar meanwhile.
    pub(crate) fn print(&self, text: &str) -> anyhow::Result<()> {
        match &self.shared.bar {
            Some(bar) => bar.suspend(|| output::write(text)),
            None => output::write(text),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.shared.started.elapsed()
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.shared.bar {
            bar.finish_and_clear();
        }
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn render(&self) {
        let snapshot = self.tally().snapshot(self.started.elapsed());
        match &self.bar {
            Some(bar) => {
                bar.set_length(snapshot.bytes.max(1));
                bar.set_position(snapshot.bytes_done);
                bar.set_message(snapshot.line);
            }
            None => output::say(&snapshot.line),
        }
    }
}

impl Tally {
    fn snapshot(&self, elapsed: Duration) -> Snapshot {
        let running = self.in_flight.iter().map(|(session, bytes)| {
            let progress = session.progress();
            (progress.seconds, progress.bytes.min(*bytes))
        });
        let (seconds, bytes_done) = running
            .fold((self.seconds_ended, self.bytes_ended), |(s, b), (rs, rb)| (s + rs, b + rb));
        let elapsed = elapsed.as_secs_f64().max(1e-3);
        let remaining =
            self.bytes.saturating_sub(bytes_done) as f64 / bytes_done.max(1) as f64 * elapsed;
        let remaining = match (self.listed, bytes_done) {
            (false, _) => "still listing".to_owned(),
            (true, 0) => "starting".to_owned(),
            (true, _) => {
                format!("{} left", HumanDuration(Duration::from_secs_f64(remaining.min(1e9))))
            }
        };
        let line = format!(
            "{}/{} files, {:.2} h of audio, {:.1}x real time, {remaining}",
            self.files_ended,
            self.files,
            seconds / 3600.0,
            seconds / elapsed,
        );
        Snapshot { line, bytes_done, bytes: self.bytes }
    }
}

fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Calls `render` every `interval`, until what is returned is dropped.
fn every(interval: Duration, render: impl Fn() + Send + 'static) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut ticks = tokio::time::interval(interval);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            render();
        }
    }))
}

/// Returns a bar if standard error is a terminal.
fn terminal_bar() -> Option<ProgressBar> {
    is_terminal().then(|| {
        let style = ProgressStyle::with_template("{bar:30} {msg}");
        ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr())
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_the_remaining_time_without_skipped_recordings() {
        let tally = Tally {
            listed: true,
            files: 4,
            files_ended: 2,
            bytes: 400,
            bytes_ended: 100,
            seconds_ended: 3600.0,
            in_flight: Vec::new(),
        };
        let snapshot = tally.snapshot(Duration::from_secs(60));
        assert_eq!(snapshot.line, "2/4 files, 1.00 h of audio, 60.0x real time, 3 minutes left");
        assert_eq!((snapshot.bytes_done, snapshot.bytes), (100, 400));
    }
}
