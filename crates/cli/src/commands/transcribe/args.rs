//! The arguments of `scriptorium transcribe`.

use std::{ffi::OsString, path::PathBuf};

use clap::Args;
use transcript::Format;

use crate::{
    args::{ComputeArgs, ModelArgs, RecordingArgs, format},
    filter::FilterArgs,
    subtitles::SubtitleArgs,
};

#[derive(Debug, Args)]
#[command(
    after_help = "Without --out, transcripts go to standard output. With --out, recordings whose \
                        transcript is up to date are skipped: run the same command again to \
                        resume. A long recording that was interrupted goes on where it was.\n\n\
                        The options of Whisper's command line (--output_dir, --output_format, \
                        --word_timestamps, --initial_prompt, ...) are understood, and a hint says how \
                        they are spelt here.\n\nExamples:\n  \
                        scriptorium transcribe interview.mp3\n  \
                        scriptorium transcribe talk.mp4 -f srt > talk.srt\n  \
                        scriptorium transcribe recordings/ -o transcripts/ -f json,srt,vtt,txt\n  \
                        scriptorium transcribe recordings/ -o transcripts/ --include '*.wav' --dry-run\n  \
                        scriptorium transcribe videos/ -o videos/ -f srt --name stem --language-suffix\n  \
                        scriptorium transcribe 's3://archive/calls/2024-*/*.wav' -o s3://archive/text/ --channels split\n  \
                        find . -name '*.m4a' -newer stamp | scriptorium transcribe --files-from - -o transcripts/\n  \
                        ffmpeg -i talk.mkv -f wav - | scriptorium transcribe -\n  \
                        scriptorium transcribe meeting.m4a --model paraformer-zh --speakers=2-5 --hotwords 阿里巴巴"
)]
pub(crate) struct TranscribeArgs {
    /// Files, folders (searched recursively, without following links to folders), file:// or s3:// URIs
    /// of objects or prefixes (a prefix ends with `/`), patterns of those (`'s3://calls/2024-*/*.wav'`),
    /// and `-` for a recording on standard input
    #[arg(required_unless_present = "files_from", value_name = "PATH")]
    pub(crate) paths: Vec<OsString>,

    /// Also take the paths that FILE lists, one per line; `-` reads the list from standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) files_from: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) recordings: RecordingArgs,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// Destination of the transcripts: a folder, or a file:// or s3:// prefix
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: Option<String>,

    /// Formats to write, separated by commas [default: json with --out, where it is always written, else
    /// txt]. On standard output, JSON of several recordings has one line for each
    #[arg(short, long, value_delimiter = ',', value_name = "FORMATS", value_parser = format())]
    pub(crate) format: Vec<Format>,

    #[command(flatten)]
    pub(crate) subtitles: SubtitleArgs,

    #[command(flatten)]
    pub(crate) compute: ComputeArgs,

    #[command(flatten)]
    pub(crate) models: ModelArgs,

    /// Transcribe the available part of a recording that ends before its header says
    #[arg(long)]
    pub(crate) allow_truncated: bool,

    /// Replace transcripts' renderings that were edited since this program wrote them, and files of others
    /// in their places
    #[arg(long)]
    pub(crate) overwrite: bool,

    /// Print text as soon as it is recognized, each line with its recording and time. On a terminal, a
    /// single recording without --out is printed so in any case
    #[arg(long, conflicts_with_all = ["json", "quiet"])]
    pub(crate) print: bool,

    /// Only list the recordings and where their transcripts would go; nothing is transcribed or written
    #[arg(long, conflicts_with = "print")]
    pub(crate) dry_run: bool,

    /// Print a summary as JSON on standard output, which also names the files that were ignored
    /// (needs --out)
    #[arg(long, requires = "out")]
    pub(crate) json: bool,
}
