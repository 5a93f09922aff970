//! How far long work has come: a bar on a terminal, a line now and then elsewhere. On standard
//! error, so that standard output stays for results.

use std::{
    io::{self, IsTerminal},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use speech::pipeline::Session;
use tokio_util::task::AbortOnDropHandle;

use crate::output;

const REDRAW: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(15);

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
    listed: bool,
    files: u64,
    files_ended: u64,
    bytes: u64,
    bytes_ended: u64,
    seconds_ended: f64,
    in_flight: Vec<(Arc<Session>, u64)>,
}

/// What a line of progress says.
struct Snapshot {
    line: String,
    bytes_done: u64,
    bytes: u64,
}

impl Progress {
    pub(crate) fn start() -> Self {
        let bar = terminal_bar();
        let every = if bar.is_some() { REDRAW } else { LINE_EVERY };
        let shared = Arc::new(Shared { tally: Mutex::default(), started: Instant::now(), bar });
        let renderer = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                let mut ticks = tokio::time::interval(every);
                ticks.tick().await;
                loop {
                    ticks.tick().await;
                    shared.render();
                }
            }
        });
        Self { shared, _renderer: AbortOnDropHandle::new(renderer) }
    }

    pub(crate) fn found(&self, bytes: u64) {
        let mut tally = self.shared.tally();
        tally.files += 1;
        tally.bytes += bytes;
    }

    /// The listing is over: totals are final, and an end can be foreseen.
    pub(crate) fn listed(&self) {
        self.shared.tally().listed = true;
    }

    pub(crate) fn begin(&self, control: &Arc<Session>, bytes: u64) {
        self.shared.tally().in_flight.push((Arc::clone(control), bytes));
    }

    /// A recording has ended; `seconds` of audio if it was transcribed just now. What was skipped
    /// does not count as speed.
    pub(crate) fn end(&self, control: &Arc<Session>, bytes: u64, seconds: Option<f64>) {
        let mut tally = self.shared.tally();
        tally.in_flight.retain(|(other, _)| !Arc::ptr_eq(other, control));
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

    /// Prints a result to standard output without tearing the bar.
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
        let running = self.in_flight.iter().map(|(control, bytes)| {
            let progress = control.progress();
            (progress.seconds, progress.bytes.min(*bytes))
        });
        let (seconds, bytes_done) = running
            .fold((self.seconds_ended, self.bytes_ended), |(s, b), (rs, rb)| (s + rs, b + rb));
        let elapsed = elapsed.as_secs_f64().max(1e-3);
        let left =
            self.bytes.saturating_sub(bytes_done) as f64 / bytes_done.max(1) as f64 * elapsed;
        let left = match (self.listed, bytes_done) {
            (false, _) => "still listing".to_owned(),
            (true, 0) => "starting".to_owned(),
            (true, _) => {
                format!("{} left", HumanDuration(Duration::from_secs_f64(left.min(1e9))))
            }
        };
        let line = format!(
            "{}/{} files, {:.2} h of audio, {:.1}x real time, {left}",
            self.files_ended,
            self.files,
            seconds / 3600.0,
            seconds / elapsed,
        );
        Snapshot { line, bytes_done, bytes: self.bytes }
    }
}

/// Shows a count that others drive, with a line of text.
pub(crate) struct Counter {
    bar: Option<ProgressBar>,
    last: Mutex<String>,
}

impl Counter {
    pub(crate) fn start() -> Self {
        Self { bar: terminal_bar(), last: Mutex::default() }
    }

    pub(crate) fn show(&self, count: u64, total: Option<u64>, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_length(total.unwrap_or(0).max(1));
            bar.set_position(count);
            bar.set_message(text.to_owned());
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != text {
            output::say(text);
            text.clone_into(&mut last);
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn terminal_bar() -> Option<ProgressBar> {
    io::stderr().is_terminal().then(|| {
        let style = ProgressStyle::with_template("{bar:30} {msg}");
        ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr())
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foresees_the_end_from_what_is_done_and_not_from_what_was_skipped() {
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
