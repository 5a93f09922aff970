//! The arguments of `scriptorium convert`.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;
use transcript::{Format, MAX_SPEAKER_NAME};

use crate::{
    args::{format, one_of},
    subtitles::SubtitleArgs,
};

#[derive(Debug, Args)]
#[command(
    after_help = "Nothing is transcribed: transcripts are rendered from their JSON, also those of former \
                  releases.\n\nExamples:\n  \
                  scriptorium convert talk.mp4.json -f srt > talk.srt\n  \
                  scriptorium convert talk.mp4.json -o talk.docx\n  \
                  scriptorium convert talk.mp3.json -o talk.html --embed talk.mp3\n  \
                  scriptorium convert transcripts/ -f md,docx -o documents/\n  \
                  scriptorium convert call.wav.json -f txt --speaker-name 0=Anna --speaker-name 1=Ben\n  \
                  scriptorium convert s3://archive/text/ -f vtt -o s3://archive/subtitles/ --name stem --language-suffix\n  \
                  curl -s https://example.com/talk.json | scriptorium convert - -f md"
)]
pub(crate) struct ConvertArgs {
    /// Transcripts in JSON: files, folders (searched recursively), file:// or s3:// URIs of objects or
    /// prefixes (a prefix ends with `/`), and `-` for a transcript on standard input
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<OsString>,

    /// Formats to write, separated by commas [default: by the extension of --out]
    #[arg(short, long, value_delimiter = ',', value_name = "FORMATS", value_parser = format())]
    pub(crate) format: Vec<Format>,

    /// Destination: a folder, a file:// or s3:// prefix, or, for one transcript in one format, a file with
    /// the extension of the format [default: standard output]
    #[arg(short, long, value_name = "DIR|FILE")]
    pub(crate) out: Option<String>,

    /// Name a speaker by the number in the transcript, which counts from 0: `0=Anna`. May be repeated
    #[arg(long, value_name = "ID=NAME", value_parser = speaker_name)]
    pub(crate) speaker_name: Vec<(u32, String)>,

    /// Name files after the complete name of the recording (`talk.mp4.srt`), or after its stem (`talk.srt`)
    /// [default: as the transcript is named]
    #[arg(long, value_parser = one_of::<job::OutputName>(&["stem", "full"]))]
    pub(crate) name: Option<job::OutputName>,

    /// Add the language of the transcript to the names of subtitles: `talk.en.srt`
    #[arg(long)]
    pub(crate) language_suffix: bool,

    /// Make this file a part of the HTML page, which then needs nothing beside it
    #[arg(long, value_name = "FILE", conflicts_with = "link")]
    pub(crate) embed: Option<PathBuf>,

    /// Where the HTML page takes the recording from: a URL, or a path from the page [default: a file of its
    /// name beside the page]
    #[arg(long, value_name = "URL")]
    pub(crate) link: Option<String>,

    #[command(flatten)]
    pub(crate) subtitles: SubtitleArgs,
}

/// Parses `0=Anna`.
fn speaker_name(text: &str) -> Result<(u32, String), String> {
    let expected = || "expected the number of a speaker and a name, such as 0=Anna".to_owned();
    let (id, name) = text.split_once('=').ok_or_else(expected)?;
    let id = id.trim().parse().map_err(|_| expected())?;
    let name = name.trim();
    if name.is_empty() {
        return Err(expected());
    }
    if name.chars().count() > MAX_SPEAKER_NAME {
        return Err(format!("a name has at most {MAX_SPEAKER_NAME} characters"));
    }
    Ok((id, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speaker_has_a_number_and_a_name() {
        assert_eq!(speaker_name("0=Anna"), Ok((0, "Anna".to_owned())));
        assert_eq!(speaker_name("12 = A=B "), Ok((12, "A=B".to_owned())));
        for wrong in ["Anna", "x=Anna", "-1=Anna", "0=", "0= "] {
            assert!(speaker_name(wrong).is_err(), "{wrong}");
        }
        assert!(speaker_name(&format!("0={}", "n".repeat(101))).is_err());
    }
}
