//! Progress of downloads.

use std::sync::{Mutex, PoisonError};

use app::PullEvent;
use indicatif::{ProgressBar, ProgressStyle};

const TEMPLATE: &str = "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}";

/// Returns a callback that shows the progress of downloads as a bar.
pub(crate) fn download_bar() -> impl Fn(PullEvent<'_>) + Send + Sync {
    let current = Mutex::new(None::<ProgressBar>);
    move |event| {
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            PullEvent::Started(entry) => {
                let style = ProgressStyle::with_template(TEMPLATE);
                let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
                let bar = ProgressBar::new(entry.size().unwrap_or(0)).with_style(style);
                bar.set_message(format!("fetching {}", entry.name));
                *current = Some(bar);
            }
            PullEvent::Progress(entry, progress) => {
                let Some(bar) = &*current else { return };
                if let Some(total) = progress.total {
                    bar.set_length(total);
                }
                bar.set_position(progress.done);
                bar.set_message(format!("fetching {} {}", entry.name, progress.file));
            }
            PullEvent::Ended => {
                if let Some(bar) = current.take() {
                    bar.finish_and_clear();
                }
            }
        }
    }
}
