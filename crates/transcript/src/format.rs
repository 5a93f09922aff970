//! The formats in which a transcript can be rendered.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A format in which a transcript can be rendered.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON, complete.
    Json,
    /// SubRip subtitles.
    Srt,
    /// WebVTT subtitles.
    Vtt,
    /// Plain text, one line per segment.
    Txt,
    /// The JSON of Amazon Transcribe's batch jobs.
    Aws,
    /// RTTM of NIST: who speaks when.
    Rttm,
    /// CTM of NIST: words with their times.
    Ctm,
    /// Tab-separated values as Whisper writes them.
    Tsv,
}

/// The error for a name that is not the name of a [`Format`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown transcript format {0:?}; the formats are json, srt, vtt, txt, aws, rttm, ctm and tsv"
)]
pub struct UnknownFormat(String);

impl Format {
    /// All formats.
    pub const ALL: [Self; 8] =
        [Self::Json, Self::Srt, Self::Vtt, Self::Txt, Self::Aws, Self::Rttm, Self::Ctm, Self::Tsv];

    /// Returns the name of the format.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Srt => "srt",
            Self::Vtt => "vtt",
            Self::Txt => "txt",
            Self::Aws => "aws",
            Self::Rttm => "rttm",
            Self::Ctm => "ctm",
            Self::Tsv => "tsv",
        }
    }

    /// Returns the extension of file names, without the first dot. Each format has its own.
    pub fn extension(self) -> &'static str {
        match self {
            // `json` alone is the transcript.
            Self::Aws => "aws.json",
            _ => self.name(),
        }
    }

    /// Returns the media type, as in HTTP's `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json | Self::Aws => "application/json",
            Self::Srt => "application/x-subrip; charset=utf-8",
            Self::Vtt => "text/vtt; charset=utf-8",
            Self::Txt | Self::Rttm | Self::Ctm => "text/plain; charset=utf-8",
            Self::Tsv => "text/tab-separated-values; charset=utf-8",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_can_be_parsed() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
            assert_eq!(
                serde_json::to_string(&format).ok(),
                Some(format!("\"{format}\"")),
                "serde uses the same name"
            );
        }
        assert_eq!(
            "ass".parse::<Format>().map_err(|error| error.to_string()),
            Err("unknown transcript format \"ass\"; the formats are json, srt, vtt, txt, aws, rttm, \
                 ctm and tsv"
                .to_owned())
        );
    }

    #[test]
    fn every_format_has_an_extension_of_its_own() {
        let extensions: std::collections::BTreeSet<_> = Format::ALL.map(Format::extension).into();
        assert_eq!(extensions.len(), Format::ALL.len());
    }
}
