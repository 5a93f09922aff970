//! The arguments of `scriptorium speakers`.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Subcommand};
use clap_complete::ArgValueCompleter;
use models::Role;

use crate::completion;

#[derive(Debug, Args)]
#[command(
    after_help = "Voice prints are biometric data of the people whose voices they are of: ask them, \
                        and read docs/speakers.md first.\n\nExamples:\n  \
                        scriptorium speakers enroll 'Anna Smith' anna-1.wav anna-2.m4a --voices voices.json\n  \
                        scriptorium transcribe meeting.m4a --voices voices.json\n  \
                        scriptorium speakers list --voices voices.json\n  \
                        scriptorium speakers remove 'Anna Smith' --voices voices.json"
)]
pub(crate) struct SpeakersArgs {
    #[command(subcommand)]
    pub(crate) command: SpeakersCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SpeakersCommand {
    /// Add the voice of a person to a file of voice prints, from recordings in which nobody else speaks
    #[command(
        after_help = "Take half a minute of speech or more, recorded as the meetings are: of less than \
                            ten seconds, prints are less certain. The file is made for the speaker model in \
                            use, and only its owner can read it (mode 0600).\n\nExamples:\n  \
                            scriptorium speakers enroll 'Anna Smith' anna-1.wav anna-2.m4a --voices voices.json\n  \
                            scriptorium speakers enroll Ben s3://archive/voices/ben/ --voices voices.json --replace"
    )]
    Enroll(EnrollArgs),
    /// List the voices of a file
    #[command(after_help = "Example:\n  scriptorium speakers list --voices voices.json --json")]
    List {
        #[command(flatten)]
        file: VoicesFile,

        /// Print the voices as JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete the voice of a person from a file
    #[command(after_help = "Example:\n  \
                            scriptorium speakers remove 'Anna Smith' --voices voices.json")]
    Remove {
        /// Name of the person
        name: String,

        #[command(flatten)]
        file: VoicesFile,
    },
}

/// The file of voice prints that a command works on.
#[derive(Debug, Args)]
pub(crate) struct VoicesFile {
    /// File of voice prints
    #[arg(long, value_name = "FILE")]
    pub(crate) voices: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct EnrollArgs {
    /// Name of the person, as transcripts are to show it
    pub(crate) name: String,

    /// Recordings of the person, as `transcribe` takes them: files, folders, and file:// or s3:// URIs
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<OsString>,

    #[command(flatten)]
    pub(crate) file: VoicesFile,

    /// Replace the voice of this name if the file has one
    #[arg(long)]
    pub(crate) replace: bool,

    /// Speaker model by name or directory [default: that of `transcribe --speakers`]
    #[arg(long, value_name = "NAME|DIR",
          add = ArgValueCompleter::new(completion::model_or_directory(Role::Speakers)))]
    pub(crate) speaker_model: Option<String>,
}
