//! How subtitles are laid out and timed.

use std::ops::RangeInclusive;

/// Columns per line. A full-width character takes two.
const MAX_LINE_WIDTH: RangeInclusive<u64> = 10..=200;
/// Lines per cue.
const MAX_LINES: RangeInclusive<u64> = 1..=5;
/// Milliseconds between two cues.
const MIN_GAP: RangeInclusive<u64> = 0..=1000;
/// Columns per second.
const READING_SPEED: RangeInclusive<u64> = 5..=100;
/// Milliseconds.
const MIN_DURATION: RangeInclusive<u64> = 0..=3000;
/// Milliseconds. Begins where the range of the minimum ends, so that the minimum is never longer.
const MAX_DURATION: RangeInclusive<u64> = 3000..=60_000;

/// How subtitles are laid out and timed. The defaults are those that the guidelines for timed text of
/// [Netflix][n] and the [BBC][b] have in common, and where they differ Netflix's, which are numbers.
///
/// ```
/// use transcript::SubtitleOptions;
///
/// let narrow = SubtitleOptions::default().with_max_line_width(32)?.with_max_lines(3)?;
/// assert!(SubtitleOptions::default().with_max_lines(0).is_err());
/// # Ok::<(), transcript::InvalidSubtitleOption>(())
/// ```
///
/// [n]: https://partnerhelp.netflixstudios.com/hc/en-us/articles/215758617-Timed-Text-Style-Guide-General-Requirements
/// [b]: https://www.bbc.co.uk/accessibility/forproducts/guides/subtitles/
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubtitleOptions {
    max_line_width: usize,
    max_lines: usize,
    min_gap: u64,
    reading_speed: u64,
    min_duration: u64,
    max_duration: u64,
}

/// The error for a value outside of the range of its option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value}, but must be from {} to {} {unit}", .range.start(), .range.end())]
pub struct InvalidSubtitleOption {
    name: &'static str,
    unit: &'static str,
    value: u64,
    range: RangeInclusive<u64>,
}

impl Default for SubtitleOptions {
    fn default() -> Self {
        Self {
            // Netflix, English and most languages: 42 characters, two lines. 21 full-width characters.
            max_line_width: 42,
            max_lines: 2,
            // Netflix: two frames, at 24 frames per second.
            min_gap: 83,
            // Netflix, English, programmes for adults: 20 characters per second.
            reading_speed: 20,
            // Netflix has 5/6 s, others more; what is shown for less goes unnoticed.
            min_duration: 1000,
            max_duration: 7000,
        }
    }
}

impl SubtitleOptions {
    /// Sets the columns that a line has at most. A full-width character takes two columns.
    ///
    /// # Errors
    ///
    /// The value is not from 10 to 200.
    pub fn with_max_line_width(self, columns: usize) -> Result<Self, InvalidSubtitleOption> {
        in_range("the width of lines", "columns", columns as u64, MAX_LINE_WIDTH)?;
        Ok(Self { max_line_width: columns, ..self })
    }

    /// Sets the lines that a cue has at most.
    ///
    /// # Errors
    ///
    /// The value is not from 1 to 5.
    pub fn with_max_lines(self, lines: usize) -> Result<Self, InvalidSubtitleOption> {
        in_range("the number of lines", "lines", lines as u64, MAX_LINES)?;
        Ok(Self { max_lines: lines, ..self })
    }

    /// Sets the time between two cues that follow one another directly, in milliseconds.
    ///
    /// # Errors
    ///
    /// The value is not from 0 to 1000.
    pub fn with_min_gap(self, milliseconds: u64) -> Result<Self, InvalidSubtitleOption> {
        in_range("the gap between cues", "milliseconds", milliseconds, MIN_GAP)?;
        Ok(Self { min_gap: milliseconds, ..self })
    }

    /// Sets the columns that people read per second.
    ///
    /// # Errors
    ///
    /// The value is not from 5 to 100.
    pub fn with_reading_speed(self, columns: u64) -> Result<Self, InvalidSubtitleOption> {
        in_range("the reading speed", "columns per second", columns, READING_SPEED)?;
        Ok(Self { reading_speed: columns, ..self })
    }

    /// Sets the time in milliseconds for which a cue is shown at least, unless the next one begins.
    ///
    /// # Errors
    ///
    /// The value is not from 0 to 3000.
    pub fn with_min_duration(self, milliseconds: u64) -> Result<Self, InvalidSubtitleOption> {
        in_range("the minimum duration of cues", "milliseconds", milliseconds, MIN_DURATION)?;
        Ok(Self { min_duration: milliseconds, ..self })
    }

    /// Sets the time in milliseconds for which a cue is shown at most.
    ///
    /// # Errors
    ///
    /// The value is not from 3000 to 60000.
    pub fn with_max_duration(self, milliseconds: u64) -> Result<Self, InvalidSubtitleOption> {
        in_range("the maximum duration of cues", "milliseconds", milliseconds, MAX_DURATION)?;
        Ok(Self { max_duration: milliseconds, ..self })
    }

    /// Columns per line at most.
    pub fn max_line_width(&self) -> usize {
        self.max_line_width
    }

    /// Lines per cue at most.
    pub fn max_lines(&self) -> usize {
        self.max_lines
    }

    /// Milliseconds between two cues that follow one another directly.
    pub fn min_gap(&self) -> u64 {
        self.min_gap
    }

    /// Milliseconds for which a cue is shown at least, unless the next one begins.
    pub fn min_duration(&self) -> u64 {
        self.min_duration
    }

    /// Milliseconds for which a cue is shown at most.
    pub fn max_duration(&self) -> u64 {
        self.max_duration
    }

    /// Returns the milliseconds that it takes to read a text of so many columns.
    pub fn reading_time(&self, columns: usize) -> u64 {
        (columns as u64).saturating_mul(1000) / self.reading_speed
    }
}

fn in_range(
    name: &'static str,
    unit: &'static str,
    value: u64,
    range: RangeInclusive<u64>,
) -> Result<(), InvalidSubtitleOption> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(InvalidSubtitleOption { name, unit, value, range })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_outside_of_their_ranges_are_refused() {
        let options = SubtitleOptions::default();
        let results = [
            options.with_max_line_width(9),
            options.with_max_line_width(201),
            options.with_max_lines(0),
            options.with_max_lines(6),
            options.with_min_gap(1001),
            options.with_reading_speed(4),
            options.with_reading_speed(101),
            options.with_min_duration(3001),
            options.with_max_duration(2999),
            options.with_max_duration(60_001),
        ];
        for result in results {
            assert!(result.is_err(), "{result:?}");
        }
        let message = options.with_max_line_width(5).map_err(|error| error.to_string());
        assert_eq!(
            message,
            Err("the width of lines is 5, but must be from 10 to 200 columns".to_owned())
        );
    }

    #[test]
    fn the_defaults_are_inside_of_the_ranges() -> Result<(), InvalidSubtitleOption> {
        let options = SubtitleOptions::default();
        let same = options
            .with_max_line_width(options.max_line_width)?
            .with_max_lines(options.max_lines)?
            .with_min_gap(options.min_gap)?
            .with_reading_speed(options.reading_speed)?
            .with_min_duration(options.min_duration)?
            .with_max_duration(options.max_duration)?;
        assert_eq!(same, options);
        assert_eq!(options.reading_time(84), 4200);
        Ok(())
    }
}
