//! A count with a line of text.

use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;

use super::terminal_bar;
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

    /// Shows `text`; without a terminal, prints it if it has changed.
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
