//! A count with a line of text.

use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;

use super::{ProgressLine, terminal_bar, terminal_columns};
use crate::output;

/// Shows a count and a line of text.
pub(crate) struct Counter {
    bar: Option<ProgressBar>,
    last: Mutex<String>,
}

impl Counter {
    pub(crate) fn start() -> Self {
        Self { bar: terminal_bar(), last: Mutex::default() }
    }

    /// Shows `text` and, where there is space, the details; without a terminal, prints it if it has
    /// changed.
    pub(crate) fn show(&self, count: u64, total: Option<u64>, text: &str, details: Vec<String>) {
        let share = total.map(|total| count as f64 / total.max(1) as f64);
        let line =
            ProgressLine { share, counts: text.to_owned(), details, ..ProgressLine::default() };
        if let Some(bar) = &self.bar {
            return bar.set_message(line.fit(terminal_columns()));
        }
        let text = line.complete();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != text {
            output::note(&text);
            *last = text;
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
