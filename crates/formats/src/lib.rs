//! The formats of transcripts, in one table: jobs name them, and the crate `transcript` renders them.

use std::{borrow::Cow, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Defines [`Format`]. A line: variant, name, extension of files, media type, description.
macro_rules! formats {
    ($($format:ident $name:literal $extension:literal $media_type:literal $description:literal)+) => {
        /// A format in which a transcript can be rendered.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
        #[schemars(inline)]
        pub enum Format {
            $(#[doc = $description] #[schemars(rename = $name)] $format,)+
        }

        impl Format {
            /// All formats.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$format),+];

            /// Returns the name of the format, in lower case.
            pub fn name(self) -> &'static str {
                match self { $(Self::$format => $name),+ }
            }

            /// Returns the extension of file names, without the first dot. Each format has its own.
            pub fn extension(self) -> &'static str {
                match self { $(Self::$format => $extension),+ }
            }

            /// Returns the media type, as in HTTP's `Content-Type`.
            pub fn media_type(self) -> &'static str {
                match self { $(Self::$format => $media_type),+ }
            }

            /// Returns what the format is, in a few words.
            pub fn description(self) -> &'static str {
                match self { $(Self::$format => $description),+ }
            }
        }
    };
}

// `json` alone is the transcript: the other formats in JSON have an extension before it.
formats! {
    Json "json" "json" "application/json" "The transcript itself, complete"
    Jsonl "jsonl" "jsonl" "application/jsonl" "JSON Lines: one segment per line"
    Srt "srt" "srt" "application/x-subrip; charset=utf-8" "SubRip subtitles"
    Vtt "vtt" "vtt" "text/vtt; charset=utf-8" "WebVTT subtitles"
    Ass "ass" "ass" "text/x-ssa; charset=utf-8" "Advanced SubStation Alpha subtitles, a colour per speaker"
    Txt "txt" "txt" "text/plain; charset=utf-8" "Plain text, one line per segment"
    Md "md" "md" "text/markdown; charset=utf-8" "Markdown, paragraphs with speakers and times"
    Html "html" "html" "text/html; charset=utf-8" "A page with the text, the recording and a search"
    Tsv "tsv" "tsv" "text/tab-separated-values; charset=utf-8" "Tab-separated values, as Whisper writes them"
    Csv "csv" "csv" "text/csv; charset=utf-8" "Comma-separated values, for spreadsheets"
    WhisperJson "whisper-json" "whisper.json" "application/json" "The JSON of Whisper's command line"
    VerboseJson "verbose-json" "verbose.json" "application/json" "The `verbose_json` of OpenAI's API"
    Aws "aws" "aws.json" "application/json" "The JSON of Amazon Transcribe"
    Rttm "rttm" "rttm" "text/plain; charset=utf-8" "NIST's RTTM: who speaks when"
    Ctm "ctm" "ctm" "text/plain; charset=utf-8" "NIST's CTM: words with their times"
    Textgrid "textgrid" "TextGrid" "text/plain; charset=utf-8" "Praat's TextGrid: tiers of segments and words"
    Eaf "eaf" "eaf" "text/x-eaf+xml; charset=utf-8" "ELAN's annotation document: tiers of segments and words"
    Docx "docx" "docx" "application/vnd.openxmlformats-officedocument.wordprocessingml.document" "A document of Word, paragraphs with speakers and times"
}

/// The error for a name that is not the name of a [`Format`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown format {0:?}; the formats are {list}", list = Format::ALL.map(Format::name).join(", "))]
pub struct UnknownFormat(String);

impl Format {
    /// Returns whether players show the format beside a video. They look for the language in its name.
    pub fn is_subtitle(self) -> bool {
        matches!(self, Self::Srt | Self::Vtt | Self::Ass)
    }

    /// Returns whether the format is UTF-8, which a terminal can show.
    pub fn is_text(self) -> bool {
        self != Self::Docx
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
        let format = Self::ALL.into_iter().find(|format| format.name() == name);
        format.ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

impl Serialize for Format {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

// Stricter than what serde derives, which accepts `{"srt": null}` for `"srt"`.
impl<'de> Deserialize<'de> for Format {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <Cow<'de, str>>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_can_be_parsed() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
            let json = format!("\"{format}\"");
            assert_eq!(serde_json::to_string(&format).ok().as_deref(), Some(json.as_str()));
            assert_eq!(serde_json::from_str::<Format>(&json).ok(), Some(format));
        }
        let refused = "doc".parse::<Format>().map_err(|error| error.to_string());
        let message = refused.err().unwrap_or_default();
        assert!(message.starts_with("unknown format \"doc\"; the formats are json, jsonl, srt, "));
        assert!(serde_json::from_str::<Format>("{\"srt\": null}").is_err());
    }

    #[test]
    fn every_format_has_an_extension_of_its_own() {
        let extensions: BTreeSet<_> = Format::ALL.map(Format::extension).into();
        assert_eq!(extensions.len(), Format::ALL.len());
        // Names of files, with nothing that a shell or a file system takes for anything else.
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '.';
        assert!(extensions.iter().all(|extension| extension.chars().all(is_plain)));
    }

    #[test]
    fn the_schema_lists_the_names() {
        let schema = schemars::schema_for!(Format).to_value();
        let names = |schema: &serde_json::Value| -> Option<Vec<String>> {
            let listed = schema["oneOf"].as_array()?.iter();
            listed.map(|one| Some(one["const"].as_str()?.to_owned())).collect()
        };
        assert_eq!(names(&schema), Some(Format::ALL.map(|format| format.name().to_owned()).into()));
    }
}
