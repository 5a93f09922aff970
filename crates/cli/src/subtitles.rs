//! The options of subtitles, for the commands that write them.

use clap::Args;
use transcript::{InvalidSubtitleOption, SubtitleOptions};

/// How subtitles are laid out and timed.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Subtitles")]
pub(crate) struct SubtitleArgs {
    /// Columns of a line at most, from 10 to 200; a full-width character takes two [default: 42]
    #[arg(long, value_name = "COLUMNS", value_parser = line_width)]
    max_line_width: Option<usize>,

    /// Lines that are shown at once at most, from 1 to 5 [default: 2]
    #[arg(long, value_name = "LINES", value_parser = lines)]
    max_lines: Option<usize>,

    /// Milliseconds between two cues that follow one another directly, from 0 to 1000 [default: 83]
    #[arg(long, value_name = "MS", value_parser = gap)]
    min_gap: Option<u64>,
}

impl SubtitleArgs {
    /// Returns whether any was given.
    pub(crate) fn is_any_given(&self) -> bool {
        self.max_line_width.is_some() || self.max_lines.is_some() || self.min_gap.is_some()
    }

    /// Returns the options, with defaults for those that were not given.
    ///
    /// # Errors
    ///
    /// None from the command line, where each is checked while it is parsed.
    pub(crate) fn options(&self) -> Result<SubtitleOptions, InvalidSubtitleOption> {
        let mut options = SubtitleOptions::default();
        if let Some(columns) = self.max_line_width {
            options = options.with_max_line_width(columns)?;
        }
        if let Some(lines) = self.max_lines {
            options = options.with_max_lines(lines)?;
        }
        if let Some(milliseconds) = self.min_gap {
            options = options.with_min_gap(milliseconds)?;
        }
        Ok(options)
    }
}

// The parsers leave the ranges to `transcript`, where they are defined.

fn line_width(text: &str) -> Result<usize, String> {
    let value = number(text)?;
    SubtitleOptions::default().with_max_line_width(value).map_err(|error| error.to_string())?;
    Ok(value)
}

fn lines(text: &str) -> Result<usize, String> {
    let value = number(text)?;
    SubtitleOptions::default().with_max_lines(value).map_err(|error| error.to_string())?;
    Ok(value)
}

fn gap(text: &str) -> Result<u64, String> {
    let value = number(text)?;
    SubtitleOptions::default().with_min_gap(value).map_err(|error| error.to_string())?;
    Ok(value)
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "not a whole number".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        subtitles: SubtitleArgs,
    }

    fn parsed(arguments: &[&str]) -> Result<SubtitleArgs, String> {
        let words = ["scriptorium"].iter().chain(arguments);
        let command = Command::try_parse_from(words).map_err(|error| error.to_string())?;
        Ok(command.subtitles)
    }

    #[test]
    fn what_is_not_given_has_its_default() -> Result<(), String> {
        let none = parsed(&[])?;
        assert!(!none.is_any_given());
        assert_eq!(none.options(), Ok(SubtitleOptions::default()));
        let some = parsed(&["--max-line-width", "32", "--max-lines=3", "--min-gap", "0"])?;
        assert!(some.is_any_given());
        let expected = SubtitleOptions::default()
            .with_max_line_width(32)
            .and_then(|options| options.with_max_lines(3))
            .and_then(|options| options.with_min_gap(0));
        assert_eq!(some.options(), expected);
        Ok(())
    }

    #[test]
    fn values_outside_of_their_ranges_are_refused_with_the_range() {
        for (arguments, message) in [
            (["--max-line-width", "9"], "must be from 10 to 200 columns"),
            (["--max-lines", "6"], "must be from 1 to 5 lines"),
            (["--min-gap", "1001"], "must be from 0 to 1000 milliseconds"),
            (["--min-gap", "0.5"], "not a whole number"),
        ] {
            let error = parsed(&arguments).err().unwrap_or_default();
            assert!(error.contains(message) && error.contains(arguments[0]), "{error}");
        }
    }
}
