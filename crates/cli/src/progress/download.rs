//! Progress of downloads.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use app::PullEvent;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use models::{Entry, PullProgress};

use super::{LINE_INTERVAL, is_watched};
use crate::output;

/// The name takes the space that is left, and is cut where there is too little.
const TEMPLATE: &str = "{spinner} {wide_msg} {decimal_bytes}/{decimal_total_bytes} {elapsed}";
/// The elapsed time moves also while a server or pip says nothing.
const TICK: Duration = Duration::from_millis(200);

/// One download.
struct Download {
    /// On a terminal.
    bar: Option<ProgressBar>,
    /// When a line was printed last, without a terminal.
    last_line: Option<Instant>,
}

/// Returns a callback that shows the progress of downloads: as a bar, or without a terminal by a line from
/// time to time. A model that is installed already is not mentioned.
pub(crate) fn download_bar() -> impl Fn(PullEvent<'_>) + Send + Sync {
    let current = Mutex::new(None::<Download>);
    move |event| {
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            PullEvent::Started(entry) => {
                *current =
                    Some(Download { bar: is_watched().then(|| bar(entry)), last_line: None });
            }
            PullEvent::Progress(entry, progress) => {
                if let Some(download) = &mut *current {
                    download.show(entry, progress);
                }
            }
            PullEvent::Ended => {
                if let Some(bar) = current.take().and_then(|download| download.bar) {
                    bar.finish_and_clear();
                }
            }
        }
    }
}

fn bar(entry: &Entry) -> ProgressBar {
    let style = ProgressStyle::with_template(TEMPLATE);
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(entry.size(), ProgressDrawTarget::stderr());
    bar.set_style(style);
    bar.set_message(format!("pulling {}", entry.name));
    bar.enable_steady_tick(TICK);
    bar
}

impl Download {
    fn show(&mut self, entry: &Entry, progress: PullProgress<'_>) {
        let PullProgress { file, done, total } = progress;
        if let Some(bar) = &self.bar {
            bar.set_length(total.unwrap_or(done));
            bar.set_position(done);
            bar.set_message(format!("pulling {}: {file}", entry.name));
            return;
        }
        // What is complete was there before, or is small.
        let is_due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_INTERVAL);
        if total == Some(done) || !is_due {
            return;
        }
        output::note(&line(entry, progress, self.last_line.is_none()));
        self.last_line = Some(Instant::now());
    }
}

/// Returns the progress as a line; the first one says what is pulled.
fn line(entry: &Entry, progress: PullProgress<'_>, is_first: bool) -> String {
    let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
    let PullProgress { file, done, total } = progress;
    if is_first {
        let size =
            entry.size().map_or_else(String::new, |size| format!(" ({} MB)", megabytes(size)));
        return format!("pulling {}{size}: {}", entry.name, entry.description);
    }
    let total = total.map_or_else(|| "?".to_owned(), |total| megabytes(total).to_string());
    format!("pulling {}: {file}, {} of {total} MB", entry.name, megabytes(done))
}

#[cfg(test)]
mod tests {
    use models::Catalogue;

    use super::*;

    #[test]
    fn the_first_line_says_what_is_pulled_and_later_ones_how_far_it_is() {
        let catalogue = Catalogue::builtin();
        let entry = catalogue.get("campplus").unwrap();
        let progress = PullProgress { file: "a.pt", done: 10_000_000, total: Some(28_044_640) };
        let first = line(entry, progress, true);
        assert!(first.starts_with("pulling campplus (29 MB): "), "{first}");
        assert_eq!(line(entry, progress, false), "pulling campplus: a.pt, 10 of 29 MB");
    }
}
