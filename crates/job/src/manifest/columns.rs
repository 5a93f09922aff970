//! The options that a row may have, and how a cell of CSV stands for each.

use serde_json::{Value, json};

use crate::Speakers;

/// How a cell is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// `true` or `false`.
    Flag,
    /// Separated by commas.
    List,
    /// `any`, a number, or a range such as `2-5`.
    Speakers,
}

/// All options of a job by name, with the kind of their cells.
pub(super) const OPTIONS: &[(&str, Kind)] = &[
    ("formats", Kind::List),
    ("language_suffix", Kind::Flag),
    ("model", Kind::Text),
    ("language", Kind::Text),
    ("channels", Kind::Text),
    ("audio_track", Kind::Text),
    ("hotwords", Kind::List),
    ("prompt", Kind::Text),
    ("task", Kind::Text),
    ("punctuate", Kind::Flag),
    ("normalize", Kind::Flag),
    ("word_times", Kind::Flag),
    ("speakers", Kind::Speakers),
];

pub(super) fn is_option(name: &str) -> bool {
    OPTIONS.iter().any(|option| option.0 == name)
}

impl Kind {
    /// Returns the value of a cell that is not empty, as it would be in a job message.
    pub(super) fn value(self, cell: &str) -> Result<Value, String> {
        Ok(match self {
            Self::Text => json!(cell),
            Self::Flag => match cell {
                "true" => json!(true),
                "false" => json!(false),
                _ => return Err(format!("{cell:?} is neither true nor false")),
            },
            Self::List => {
                let parts = cell.split(',').map(str::trim).filter(|part| !part.is_empty());
                json!(parts.collect::<Vec<_>>())
            }
            Self::Speakers => {
                let speakers: Speakers = cell.parse()?;
                serde_json::to_value(speakers).map_err(|error| error.to_string())?
            }
        })
    }
}
