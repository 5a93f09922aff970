//! Progress of long commands: a bar on a terminal, otherwise a line from time to time. It goes to
//! standard error; standard output is for results.

mod counter;
mod download;
mod line;
mod submission;

use std::{
    io::{self, IsTerminal},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use speech::pipeline::Session;
use tokio_util::task::AbortOnDropHandle;

use self::line::{ProgressLine, terminal_columns};
pub(crate) use self::{
    counter::Counter, download::download_bar, line::rough, submission::SubmissionProgress,
};
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
    /// Recordings in flight, in the order in which they were begun.
    in_flight: Vec<InFlight>,
}

struct InFlight {
    session: Arc<Session>,
    name: String,
    /// Size in bytes.
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
    pub(crate) fn begin(&self, session: &Arc<Session>, name: &str, bytes: u64) {
        let (session, name) = (Arc::clone(session), errors::printable(name).into_owned());
        self.shared.tally().in_flight.push(InFlight { session, name, bytes });
    }

    /// Removes a recording in flight. `seconds` is its duration if it was transcribed; a skipped
    /// recording does not count towards the speed.
    pub(crate) fn end(&self, session: &Arc<Session>, bytes: u64, seconds: Option<f64>) {
        let mut tally = self.shared.tally();
        tally.in_flight.retain(|other| !Arc::ptr_eq(&other.session, session));
        tally.files_ended += 1;
        if let Some(seconds) = seconds {
            tally.bytes_ended += bytes;
            tally.seconds_ended += seconds;
        } else {
            tally.bytes = tally.bytes.saturating_sub(bytes);
        }
    }

    /// Prints a line about a failure above the bar.
    pub(crate) fn say(&self, line: &str) {
        match &self.shared.bar {
            Some(bar) => bar.suspend(|| output::say(line)),
            None => output::say(line),
        }
    }

    /// Prints another line above the bar, unless only failures are shown.
    pub(crate) fn note(&self, line: &str) {
        if !output::is_quiet() {
            self.say(line);
        }
    }

    /// Prints a result to standard output; hides the bar meanwhile.
    pub(crate) fn print(&self, text: impl AsRef<[u8]>) -> anyhow::Result<()> {
        match &self.shared.bar {
            Some(bar) => bar.suspend(|| output::write(text)),
            None => output::write(text),
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.shared.started.elapsed()
    }

    /// Removes the bar: nothing more will happen. Tasks that were interrupted may still hold the progress.
    pub(crate) fn close(&self) {
        if let Some(bar) = &self.shared.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn render(&self) {
        let line = self.tally().line(self.started.elapsed());
        match &self.bar {
            Some(bar) => bar.set_message(line.fit(terminal_columns())),
            None => output::note(&line.complete()),
        }
    }
}

impl Tally {
    fn line(&self, elapsed: Duration) -> ProgressLine {
        let running = self.in_flight.iter().map(|InFlight { session, bytes, .. }| {
            let progress = session.progress();
            (progress.seconds, progress.bytes.min(*bytes))
        });
        let (seconds, bytes_done) = running
            .fold((self.seconds_ended, self.bytes_ended), |(s, b), (rs, rb)| (s + rs, b + rb));
        let elapsed = elapsed.as_secs_f64().max(1e-3);
        let share = bytes_done as f64 / self.bytes.max(1) as f64;
        let remaining =
            self.bytes.saturating_sub(bytes_done) as f64 / bytes_done.max(1) as f64 * elapsed;
        let remaining = match (self.listed, bytes_done) {
            (false, _) => "still listing".to_owned(),
            (true, 0) => "starting".to_owned(),
            (true, _) => format!("{} left", rough(Duration::from_secs_f64(remaining.min(1e9)))),
        };
        let mut name = self.in_flight.first().map_or_else(String::new, |first| first.name.clone());
        if self.in_flight.len() > 1 {
            name += &format!(" +{}", self.in_flight.len() - 1);
        }
        ProgressLine {
            share: self.listed.then_some(share),
            counts: match self.files {
                1 if self.listed => format!("{:.0} %", share * 100.0),
                files => format!("{}/{files} files", self.files_ended),
            },
            details: vec![
                remaining,
                format!("{:.1}x real time", seconds / elapsed),
                format!("{} of audio", rough(Duration::from_secs_f64(seconds.clamp(0.0, 1e12)))),
            ],
            name,
        }
    }
}

/// Returns whether there is somebody to watch a bar.
fn is_watched() -> bool {
    io::stderr().is_terminal() && !output::is_quiet()
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

/// Returns a bar if standard error is a terminal. Its message is the whole line.
fn terminal_bar() -> Option<ProgressBar> {
    is_watched().then(|| {
        let style = ProgressStyle::with_template("{msg}");
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
        let line = tally.line(Duration::from_secs(60));
        assert_eq!(line.complete(), "2/4 files, 3 min left, 60.0x real time, 1 h 0 min of audio");
        assert_eq!(line.share, Some(0.25));
    }
}
