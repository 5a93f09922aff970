//! A line of progress that fits the terminal, whatever its width.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Columns assumed where there is no terminal.
const DEFAULT_COLUMNS: usize = 80;
/// Columns of the bar at most, and the least for which there is one.
const MAX_BAR: usize = 30;
const MIN_BAR: usize = 8;
/// Columns that a name gets at least, where there is one at all.
const MIN_NAME: usize = 16;
const GAP: &str = "  ";

/// What a line of progress says. Where there is little space, the last details go first; the counts stay.
#[derive(Debug, Default)]
pub(super) struct ProgressLine {
    /// Share that is done, from 0 to 1, for the bar.
    pub(super) share: Option<f64>,
    /// How far the work is, in as few words as possible.
    pub(super) counts: String,
    /// In order of importance.
    pub(super) details: Vec<String>,
    /// What is worked on now. It is shortened in its middle, because names differ at both ends.
    pub(super) name: String,
}

impl ProgressLine {
    /// Returns everything, for a log.
    pub(super) fn complete(&self) -> String {
        let name = (!self.name.is_empty()).then_some(&self.name);
        let parts = [&self.counts].into_iter().chain(&self.details).chain(name);
        parts.map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    /// Returns the line for a terminal with this many columns. It never fills the last one: some
    /// terminals begin a new line then.
    pub(super) fn fit(&self, columns: usize) -> String {
        let mut left = columns.saturating_sub(1);
        let mut parts = vec![shorten(&self.counts, left)];
        left = left.saturating_sub(parts[0].width());
        // A short name is worth more than the last details.
        let name = self.name.width().min(MIN_NAME);
        let reserved = if name > 0 { name + GAP.len() } else { 0 };
        for (index, detail) in self.details.iter().enumerate() {
            let width = detail.width() + GAP.len();
            let kept = if index == 0 { 0 } else { reserved };
            if width + kept > left {
                break;
            }
            left -= width;
            parts.push(detail.clone());
        }
        let bar = self.share.filter(|_| left >= reserved + MIN_BAR + GAP.len());
        let bar = bar.map(|share| {
            let width = (left - reserved - GAP.len()).min(MAX_BAR);
            let width = if name > 0 { width.min(MAX_BAR / 2) } else { width };
            left -= width + GAP.len();
            draw(share, width)
        });
        if name > 0 && left >= reserved {
            parts.push(shorten(&self.name, left - GAP.len()));
        }
        bar.into_iter().chain(parts).collect::<Vec<_>>().join(GAP)
    }
}

/// Returns the width of the terminal that shows standard error.
pub(super) fn terminal_columns() -> usize {
    let columns = rustix::termios::tcgetwinsize(std::io::stderr()).map(|size| size.ws_col);
    columns.ok().filter(|&columns| columns > 0).map_or(DEFAULT_COLUMNS, usize::from)
}

fn draw(share: f64, width: usize) -> String {
    let filled = ((share.clamp(0.0, 1.0) * width as f64) as usize).min(width);
    format!("{}{}", "█".repeat(filled), "░".repeat(width - filled))
}

/// Shortens a text to a number of columns, by an ellipsis in its middle.
fn shorten(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else { return String::new() };
    let head = take(text.chars(), room.div_ceil(2));
    let tail: String = take(text.chars().rev(), room / 2).chars().rev().collect();
    format!("{head}…{tail}")
}

/// Returns the first characters that fit.
fn take(characters: impl Iterator<Item = char>, columns: usize) -> String {
    let mut left = columns;
    characters
        .take_while(|&character| {
            let width = character.width().unwrap_or(0);
            let fits = width <= left;
            left = left.saturating_sub(width);
            fits
        })
        .collect()
}

/// Returns a duration in one or two units: `45 s`, `3 min`, `1 h 12 min`, `2 d 3 h`.
pub(crate) fn rough(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> ProgressLine {
        ProgressLine {
            share: Some(0.5),
            counts: "12/200".to_owned(),
            details: vec!["3 min left".to_owned(), "49x".to_owned(), "1.20 h of audio".to_owned()],
            name: "interview-of-the-minister-with-a-long-name.mp3".to_owned(),
        }
    }

    #[test]
    fn a_line_fits_every_width_and_keeps_what_matters() {
        for columns in 0..200 {
            let fitted = line().fit(columns);
            assert!(fitted.width() <= columns.saturating_sub(1), "{columns}: {fitted:?}");
            if columns > 20 {
                assert!(fitted.contains("12/200  3 min left"), "{columns}: {fitted:?}");
            }
        }
        assert_eq!(line().fit(45), "12/200  3 min left  49x  interview…-name.mp3");
        assert_eq!(
            line().fit(80),
            "███████░░░░░░░░  12/200  3 min left  49x  1.20 h of audio  interview-…-name.mp3"
        );
        let complete = line().complete();
        assert!(complete.starts_with("12/200, 3 min left, 49x") && complete.ends_with(".mp3"));
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(shorten("访问部长的录音.mp3", 10), "访问….mp3");
        assert_eq!(shorten("abc", 1), "…");
        assert_eq!(shorten("abc", 0), "");
    }

    #[test]
    fn durations_are_rough() {
        for (seconds, text) in
            [(0, "0 s"), (59, "59 s"), (200, "3 min"), (4320, "1 h 12 min"), (183_600, "2 d 3 h")]
        {
            assert_eq!(rough(Duration::from_secs(seconds)), text);
        }
    }
}
