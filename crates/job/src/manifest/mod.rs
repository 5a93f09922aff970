//! Manifests: lists of recordings with options of their own, as JSON Lines or CSV. `docs/jobs.md`
//! describes both.
//!
//! A manifest comes from outside. It is read as a stream, in bounded memory whatever it contains: a bad
//! row is an error of its own, with its line, and the rows after it are read.

mod columns;
mod csv;
mod input;
mod json;
#[cfg(test)]
mod tests;

use std::io::{self, BufRead};

use serde_json::{Map, Value};

use self::{csv::Csv, input::Input};
use crate::{JobOptions, string_enum::string_enum};

/// Limit in bytes for one row. A job message, which has an eighth of it, fits with every character
/// escaped.
pub const MAX_ROW_BYTES: usize = 512 << 10;

/// How a manifest is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ManifestFormat {
    /// One JSON object per line.
    JsonLines,
    /// Columns named by a header; the delimiter is `,`, `;` or a tab.
    Csv,
}

string_enum!(ManifestFormat, "format of a manifest", {
    JsonLines => "jsonl",
    Csv => "csv",
});

impl ManifestFormat {
    /// Returns the format that the extension of a name stands for.
    pub fn of_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" | "json" => Some(Self::JsonLines),
            "csv" | "tsv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// A row of a manifest. Nothing but its form has been checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    pub source: String,
    /// The transcript: below the prefix of the transcripts, or a URI. Named after the source if absent.
    pub output: Option<String>,
    /// Options by name, as in a job message. `null` stands for the workers' default.
    pub options: Map<String, Value>,
}

impl Row {
    /// Returns the options of the row's job: those of the row, and for all others those of `base`.
    ///
    /// # Errors
    ///
    /// [`InvalidRow::Option`], with the name of the option that no worker would accept.
    pub fn job_options(&self, base: &JobOptions) -> Result<JobOptions, InvalidRow> {
        if self.options.is_empty() {
            return Ok(base.clone());
        }
        let refused =
            |name: &str, reason: String| InvalidRow::Option { name: name.to_owned(), reason };
        let of = |options: Map<String, Value>| {
            let options: JobOptions = serde_json::from_value(Value::Object(options))
                .map_err(|error| error.to_string())?;
            options.check()?;
            Ok::<_, String>(options)
        };
        for (name, value) in self.options.iter().filter(|(_, value)| !value.is_null()) {
            of([(name.clone(), value.clone())].into_iter().collect())
                .map_err(|reason| refused(name, reason))?;
        }
        let mut merged = match serde_json::to_value(base) {
            Ok(Value::Object(base)) => base,
            _ => Map::new(),
        };
        for (name, value) in &self.options {
            if value.is_null() {
                merged.remove(name);
            } else {
                let mut value = value.clone();
                // A row says how many speakers there are; who they may be holds for all rows.
                if name == "speakers"
                    && let Some(voices) = merged.get(name).and_then(|base| base.get("voices"))
                    && let Value::Object(speakers) = &mut value
                {
                    speakers.entry("voices").or_insert_with(|| voices.clone());
                }
                merged.insert(name.clone(), value);
            }
        }
        of(merged).map_err(|reason| refused("options", reason))
    }
}

/// One row that was read, or the reason why it was not.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Line of the file where the row begins, counted from 1.
    pub line: u64,
    pub row: Result<Row, InvalidRow>,
}

/// Why a row cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRow {
    #[error("the row has more than {} KiB{}", MAX_ROW_BYTES >> 10, skipped(*.until))]
    TooLong {
        /// Last line that was skipped, if a row extends over several.
        until: Option<u64>,
    },
    #[error("not UTF-8")]
    NotUtf8,
    #[error("{0}")]
    Json(String),
    #[error("the row has {found} fields, the header {expected}")]
    Fields { found: usize, expected: usize },
    #[error("a quotation mark is not closed before the end of the file")]
    OpenQuote,
    #[error("there is no `source`")]
    NoSource,
    #[error("option `{name}`: {reason}")]
    Option { name: String, reason: String },
}

fn skipped(until: Option<u64>) -> String {
    until.map_or_else(String::new, |line| {
        format!("; perhaps a quotation mark is not closed: skipped up to line {line}")
    })
}

/// Why a whole manifest cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    #[error("cannot read the manifest")]
    Read(#[from] io::Error),
    /// The encoding or the header of the file is wrong: somebody has to change it.
    #[error("{0}")]
    Unusable(String),
}

/// Reads the rows of a manifest one by one.
#[derive(Debug)]
pub struct ManifestReader<R> {
    input: Input<R>,
    /// `None`: JSON Lines.
    csv: Option<Csv>,
}

impl<R: BufRead> ManifestReader<R> {
    /// Begins to read. Of CSV, the header is read.
    ///
    /// # Errors
    ///
    /// [`ManifestError`]: the input cannot be read, is UTF-16, or has a wrong header.
    pub fn new(input: R, format: ManifestFormat) -> Result<Self, ManifestError> {
        let mut input = Input::new(input)?;
        let csv = match format {
            ManifestFormat::JsonLines => None,
            ManifestFormat::Csv => Some(Csv::new(&mut input)?),
        };
        Ok(Self { input, csv })
    }

    /// Reads the next row; `None` at the end. Lines without any text are skipped.
    ///
    /// # Errors
    ///
    /// The input cannot be read.
    pub fn next_row(&mut self) -> io::Result<Option<Entry>> {
        match &mut self.csv {
            None => json::next_row(&mut self.input),
            Some(csv) => csv.next_row(&mut self.input),
        }
    }
}
