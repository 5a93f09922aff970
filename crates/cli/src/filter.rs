//! Which files are taken, by their path and the time of their last change.

use std::time::{Duration, SystemTime};

use clap::Args;
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use job::Selected;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{UsageError, args::age, ignored::Reason};

/// Filters of `transcribe` and `submit`.
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// Take only files whose path below PATH matches; may be repeated. `*.wav` matches names in all
    /// folders, `2024/*/*.wav` paths, `2024/**` and `old/` whole folders
    #[arg(long, value_name = "GLOB")]
    pub(crate) include: Vec<String>,

    /// Leave out files whose path below PATH matches; may be repeated
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,

    /// Take only files changed at this time or later: an age, such as 12h or 7d, or a date, such as
    /// 2026-11-01 or 2026-11-01T08:00:00Z
    #[arg(long, value_name = "AGE|DATE", value_parser = moment)]
    pub(crate) newer_than: Option<OffsetDateTime>,

    /// Take only files changed at this time or earlier
    #[arg(long, value_name = "AGE|DATE", value_parser = moment)]
    pub(crate) older_than: Option<OffsetDateTime>,
}

impl FilterArgs {
    /// Returns the filters as the record of a submission keeps them: an age becomes a time.
    pub(crate) fn selected(&self, all_files: bool) -> anyhow::Result<Selected> {
        let text =
            |time: Option<OffsetDateTime>| time.map(|time| time.format(&Rfc3339)).transpose();
        Ok(Selected {
            all_files,
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            newer_than: text(self.newer_than)?,
            older_than: text(self.older_than)?,
            skip_existing: false,
        })
    }
}

/// Parses an age, a date (in UTC), or a time in RFC 3339.
fn moment(text: &str) -> Result<OffsetDateTime, String> {
    if let Ok(age) = age(text) {
        let age = time::Duration::try_from(age).map_err(|error| error.to_string())?;
        let moment = OffsetDateTime::now_utc().checked_sub(age);
        return moment.ok_or_else(|| "the age is longer than time".to_owned());
    }
    // A date alone has ten characters.
    let midnight = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    OffsetDateTime::parse(&midnight, &Rfc3339).map_err(|_| {
        "expected an age, such as 12h or 7d, or a date, such as 2026-11-01 or 2026-11-01T08:00:00Z"
            .to_owned()
    })
}

/// The filters, ready to be applied.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    all_files: bool,
    include: Option<GlobSet>,
    exclude: GlobSet,
    newer_than: Option<SystemTime>,
    older_than: Option<SystemTime>,
}

impl Filter {
    /// Compiles the filters.
    ///
    /// # Errors
    ///
    /// [`UsageError`], with the pattern or the time that cannot be understood.
    pub(crate) fn new(selected: &Selected) -> Result<Self, UsageError> {
        let include = globs("--include", &selected.include)?;
        Ok(Self {
            all_files: selected.all_files,
            include: (!include.is_empty()).then_some(include),
            exclude: globs("--exclude", &selected.exclude)?,
            newer_than: time_of("--newer-than", selected.newer_than.as_deref())?,
            older_than: time_of("--older-than", selected.older_than.as_deref())?,
        })
    }

    /// Takes all files, also those without the extension of a recording.
    #[cfg(test)]
    pub(crate) fn all_files(all_files: bool) -> Self {
        Self { all_files, ..Self::default() }
    }

    /// Returns the reason to leave out a file in a folder.
    pub(crate) fn reason_in_folder(
        &self,
        relative: &str,
        modified: Option<SystemTime>,
    ) -> Option<Reason> {
        Reason::of(relative, self.all_files).or_else(|| self.reason(relative, modified))
    }

    /// Returns the reason to leave out a file that was named itself. Without a known time, it is taken.
    pub(crate) fn reason(&self, relative: &str, modified: Option<SystemTime>) -> Option<Reason> {
        if self.include.as_ref().is_some_and(|include| !include.is_match(relative)) {
            return Some(Reason::NotIncluded);
        }
        if self.exclude.is_match(relative) {
            return Some(Reason::Excluded);
        }
        let modified = modified?;
        if self.newer_than.is_some_and(|limit| modified < limit) {
            return Some(Reason::TooOld);
        }
        self.older_than.is_some_and(|limit| modified > limit).then_some(Reason::TooNew)
    }
}

fn globs(flag: &str, patterns: &[String]) -> Result<GlobSet, UsageError> {
    let refused = |error: globset::Error| {
        UsageError(format!("{flag}: {}: {}", error.glob().unwrap_or(""), error.kind()))
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        if pattern.trim_matches('/').is_empty() {
            return Err(UsageError(format!("{flag}: {pattern:?} is not a pattern of paths")));
        }
        let glob = GlobBuilder::new(&anchored(pattern)).literal_separator(true).build();
        set.add(glob.map_err(refused)?);
    }
    set.build().map_err(refused)
}

/// Returns the pattern of whole paths that a pattern stands for, as in `.gitignore`: without a slash it
/// matches in all folders, and with one at its end everything below.
fn anchored(pattern: &str) -> String {
    let below = if pattern.ends_with('/') { "**" } else { "" };
    match pattern.strip_prefix('/') {
        Some(pattern) => format!("{pattern}{below}"),
        None if pattern.trim_end_matches('/').contains('/') => format!("{pattern}{below}"),
        None => format!("**/{pattern}{below}"),
    }
}

fn time_of(flag: &str, text: Option<&str>) -> Result<Option<SystemTime>, UsageError> {
    let Some(text) = text else { return Ok(None) };
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|error| UsageError(format!("{flag}: {text}: {error}")))?;
    let seconds = time.unix_timestamp().unsigned_abs();
    let whole = Duration::from_secs(seconds);
    let time = if time.unix_timestamp() < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(whole)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(whole)
    };
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(include: &[&str], exclude: &[&str]) -> Filter {
        let patterns = |patterns: &[&str]| patterns.iter().map(|p| (*p).to_owned()).collect();
        let selected = Selected {
            include: patterns(include),
            exclude: patterns(exclude),
            ..Selected::default()
        };
        Filter::new(&selected).unwrap()
    }

    #[test]
    fn patterns_match_paths_below_the_listed_folder() {
        for (pattern, matching, others) in [
            ("*.wav", vec!["a.wav", "b/c/a.wav", ".wav"], vec!["a.WAV", "a.wav.mp3", "a.wav/b"]),
            ("/*.wav", vec!["a.wav"], vec!["b/a.wav"]),
            ("2024/*.wav", vec!["2024/a.wav"], vec!["2024/b/a.wav", "x/2024/a.wav"]),
            ("2024/**", vec!["2024/a", "2024/b/c"], vec!["2024", "x/2024/a"]),
            ("old/", vec!["old/a", "x/old/b/c"], vec!["old", "older/a"]),
            ("/old/", vec!["old/a"], vec!["x/old/a"]),
            ("**/raw/*.{wav,mp3}", vec!["raw/a.wav", "x/y/raw/b.mp3"], vec!["raw/x/a.wav"]),
            ("call-[0-9]?.wav", vec!["call-1a.wav"], vec!["call-x1.wav", "call-1/.wav"]),
            ("ü*", vec!["über.wav", "x/ü"], vec!["uber"]),
        ] {
            let (only, without) = (filter(&[pattern], &[]), filter(&[], &[pattern]));
            for path in matching {
                assert_eq!(only.reason(path, None), None, "{pattern} {path}");
                assert_eq!(without.reason(path, None), Some(Reason::Excluded), "{pattern} {path}");
            }
            for path in others {
                assert_eq!(only.reason(path, None), Some(Reason::NotIncluded), "{pattern} {path}");
                assert_eq!(without.reason(path, None), None, "{pattern} {path}");
            }
        }
        let both = filter(&["*.wav", "*.mp3"], &["tmp/", "._*"]);
        assert_eq!(both.reason("a/b.mp3", None), None);
        assert_eq!(both.reason("tmp/b.mp3", None), Some(Reason::Excluded));
        assert_eq!(both.reason_in_folder("notes.txt", None), Some(Reason::Extension));
    }

    #[test]
    fn patterns_that_cannot_match_are_refused() {
        for pattern in ["", "/", "//", "[a", "{a,b"] {
            let selected = Selected { exclude: vec![pattern.to_owned()], ..Selected::default() };
            let error = Filter::new(&selected).unwrap_err();
            assert!(error.0.starts_with("--exclude: "), "{error}");
        }
    }

    #[test]
    fn times_are_ages_and_dates() {
        let now = OffsetDateTime::now_utc();
        let day_ago = moment("24h").unwrap();
        assert!((now - day_ago - time::Duration::DAY).abs() < time::Duration::MINUTE);
        assert_eq!(moment("2026-11-01"), moment("2026-11-01T00:00:00Z"));
        assert_eq!(moment("2026-11-01T02:00:00+02:00"), moment("2026-11-01"));
        for text in ["", "yesterday", "2026-13-01", "7", "2026-11-01 08:00", "999999999999999999d"]
        {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn files_are_taken_by_their_age() {
        let selected = Selected {
            newer_than: Some("2026-11-01T00:00:00Z".to_owned()),
            older_than: Some("2026-11-02T00:00:00Z".to_owned()),
            ..Selected::default()
        };
        let filter = Filter::new(&selected).unwrap();
        let at = |text: &str| time_of("", Some(text)).unwrap();
        let reason = |text: &str| filter.reason("a.wav", at(text));
        assert_eq!(reason("2026-10-31T23:59:59Z"), Some(Reason::TooOld));
        assert_eq!(reason("2026-11-01T00:00:00Z"), None);
        assert_eq!(reason("2026-11-02T00:00:00Z"), None);
        assert_eq!(reason("2026-11-02T00:00:01Z"), Some(Reason::TooNew));
        assert_eq!(filter.reason("a.wav", None), None, "unknown");
    }
}
