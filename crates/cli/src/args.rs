use std::{path::PathBuf, str::FromStr};

use clap::{
    Args, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use transcript::Format;

use crate::UsageError;

/// Turns recordings into text, on one machine or with a fleet of workers.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 success; 1 something failed (each failure is listed); 2 wrong usage \
                  or configuration; 130 interrupted.\n\nExamples:\n  \
                  scriptorium transcribe interview.mp3\n  \
                  scriptorium transcribe recordings/ --out transcripts/ --format json,srt\n  \
                  scriptorium submit s3://archive/2024/ --out s3://transcripts/2024/ --wait\n  \
                  scriptorium worker\n  \
                  scriptorium bench --model paraformer-zh"
)]
pub(crate) struct Arguments {
    /// Configuration file (TOML) [default: the first of ~/.config/scriptorium/config.toml and
    /// /etc/scriptorium/config.toml that exists]
    #[arg(long, global = true, value_name = "FILE", env = "SCRIPTORIUM_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Transcribe recordings on this machine; no server needed
    Transcribe(TranscribeArgs),
    /// Lease jobs from the queue and do them until SIGTERM
    Worker(WorkerArgs),
    /// Put recordings into the queue as one batch
    Submit(SubmitArgs),
    /// Show how far a batch has come, and what failed
    Status(StatusArgs),
    /// List, fetch and check models
    Models(ModelsArgs),
    /// Measure how fast this machine transcribes with a model, and where the time goes
    Bench(BenchArgs),
    /// Print the effective configuration and where each value comes from
    Config(ConfigArgs),
    /// Print a shell completion script
    Completions(CompletionsArgs),
}

/// What is transcribed, and how: shared by `transcribe` and `submit`.
#[derive(Debug, Args)]
pub(crate) struct RecordingArgs {
    /// Files, folders (searched recursively), and file:// or s3:// URIs of objects or prefixes (a
    /// prefix ends with `/`)
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<String>,

    /// In folders and prefixes, take files of every name, not only those that look like recordings
    #[arg(long)]
    pub(crate) all_files: bool,

    /// Language code, e.g. `en` [default: detected]
    #[arg(long, value_name = "CODE")]
    pub(crate) language: Option<String>,

    /// Transcribe the mix of all channels, or each channel on its own
    #[arg(long, value_parser = words::<job::ChannelMode>(&["mix", "split"]))]
    pub(crate) channels: Option<job::ChannelMode>,

    /// Words and names to expect, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "WORDS")]
    pub(crate) hotwords: Vec<String>,

    /// File with words and names to expect, one per line
    #[arg(long, value_name = "FILE")]
    pub(crate) hotwords_file: Option<PathBuf>,

    /// Write numbers, dates and amounts as digits
    #[arg(long)]
    pub(crate) normalize: bool,

    /// Leave the words without punctuation where the recognizer sets none
    #[arg(long)]
    pub(crate) no_punctuation: bool,

    /// Tell speakers apart: how many there are, or between which numbers [default: estimated]
    #[arg(long, value_name = "N|MIN-MAX", num_args = 0..=1, require_equals = true,
          default_missing_value = "any", value_parser = speakers)]
    pub(crate) speakers: Option<job::Speakers>,
}

impl RecordingArgs {
    /// In the words of the job protocol.
    pub(crate) fn options(&self) -> anyhow::Result<job::Options> {
        let mut hotwords = self.hotwords.clone();
        if let Some(path) = &self.hotwords_file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                UsageError(format!("--hotwords-file {}: {error}", path.display()))
            })?;
            let words = text.lines().map(str::trim).filter(|line| !line.is_empty());
            hotwords.extend(words.map(str::to_owned));
        }
        let options = job::Options {
            language: self.language.clone(),
            channels: self.channels,
            hotwords,
            punctuate: self.no_punctuation.then_some(false),
            normalize: self.normalize.then_some(true),
            speakers: self.speakers,
            ..job::Options::default()
        };
        options.check().map_err(UsageError)?;
        Ok(options)
    }
}

/// Parses one of the words that a type of the job protocol knows.
fn words<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words).try_map(|word| word.parse::<T>())
}

/// `any`, a number, or two with a hyphen between.
fn speakers(text: &str) -> Result<job::Speakers, String> {
    let number = |text: &str| {
        text.parse::<u32>().map_err(|_| format!("`{text}` is not a number of speakers"))
    };
    let none = job::Speakers::default();
    Ok(match (text, text.split_once('-')) {
        ("any", _) => none,
        (_, Some((min, max))) => {
            job::Speakers { min: Some(number(min)?), max: Some(number(max)?), ..none }
        }
        (count, None) => job::Speakers { count: Some(number(count)?), ..none },
    })
}

#[derive(Debug, Args)]
#[command(
    after_help = "Without --out, the transcript goes to standard output. With --out, what is \
                        up to date is skipped: run the same command again to resume.\n\nExamples:\n  \
                        scriptorium transcribe interview.mp3\n  \
                        scriptorium transcribe talk.mp4 --format srt > talk.srt\n  \
                        scriptorium transcribe recordings/ --out transcripts/ --format json,srt,vtt,txt\n  \
                        scriptorium transcribe s3://archive/calls/ --out s3://archive/text/ --channels split\n  \
                        scriptorium transcribe meeting.m4a --model paraformer-zh --speakers=2-5 --hotwords 阿里巴巴"
)]
pub(crate) struct TranscribeArgs {
    #[command(flatten)]
    pub(crate) recordings: RecordingArgs,

    /// Where transcripts go: a folder, or a file:// or s3:// prefix
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<String>,

    /// Formats to write: json, srt, vtt, txt [default: json with --out, else txt]
    #[arg(long, value_delimiter = ',', value_name = "FORMATS")]
    pub(crate) format: Vec<Format>,

    /// Cores to use [default: all that this process may use]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,

    /// Bind each compute thread to one CPU (Linux)
    #[arg(long)]
    pub(crate) pin: bool,

    #[command(flatten)]
    pub(crate) models: ModelArgs,

    /// Transcribe what is there of a recording that ends before its header says
    #[arg(long)]
    pub(crate) allow_truncated: bool,

    /// Print a summary as JSON on standard output (needs --out)
    #[arg(long, requires = "out")]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Everything is configured by file, environment or flag: see `scriptorium \
                        config`.\n\nExamples:\n  scriptorium worker\n  \
                        SCRIPTORIUM__QUEUE__URL=amqp://user:password@broker scriptorium worker --threads 4")]
pub(crate) struct WorkerArgs {
    /// Cores to use [default: all that this process may use]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,

    /// Bind each compute thread to one CPU (Linux): for processes that have CPUs for themselves
    #[arg(long)]
    pub(crate) pin: bool,

    #[command(flatten)]
    pub(crate) models: ModelArgs,
}

/// What transcribes: shared by `transcribe` and `worker`.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Preset or model by name (see `scriptorium models list`), or model by directory
    #[arg(long, value_name = "NAME|DIR")]
    pub(crate) model: Option<String>,

    /// Numbers to compute with [default: auto: int8, the fastest, which costs a few words]
    #[arg(long, value_parser = PossibleValuesParser::new(["auto", "int8", "bf16", "f32"]))]
    pub(crate) precision: Option<String>,

    /// Punctuation model by name or directory, or `none` [default: the preset's]
    #[arg(long, value_name = "NAME|DIR")]
    pub(crate) punctuation_model: Option<String>,

    /// Speaker model by name or directory, or `none` [default: the preset's]
    #[arg(long, value_name = "NAME|DIR")]
    pub(crate) speaker_model: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "The batch's id is printed on standard output. To go on with a submission \
                        that was cut off, submit the same again with --batch ID: jobs that are done \
                        are not done twice.\n\nExamples:\n  \
                        scriptorium submit s3://archive/2024/ --out s3://transcripts/2024/\n  \
                        scriptorium submit s3://archive/a.wav --out s3://transcripts/ --format srt --wait")]
pub(crate) struct SubmitArgs {
    #[command(flatten)]
    pub(crate) recordings: RecordingArgs,

    /// Where transcripts go: an s3:// prefix (or a folder that all workers share)
    #[arg(long, value_name = "PREFIX")]
    pub(crate) out: String,

    /// Renderings to write beside the JSON: srt, vtt, txt
    #[arg(long, value_delimiter = ',', value_name = "FORMATS")]
    pub(crate) format: Vec<Format>,

    /// Name of the preset or model, which the workers must have loaded [default: theirs]
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,

    /// Go on with this batch instead of beginning one
    #[arg(long, value_name = "ID")]
    pub(crate) batch: Option<job::BatchId>,

    /// Wait until the batch is done, showing progress
    #[arg(long)]
    pub(crate) wait: bool,

    /// Print the batch (with --wait: its status) as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  scriptorium status 0199d2c8-3a5f-7c63-9d0e-8f1f3b0c2a11\n  \
                        scriptorium status 0199d2c8-3a5f-7c63-9d0e-8f1f3b0c2a11 --out s3://transcripts/2024/ --json")]
pub(crate) struct StatusArgs {
    /// The id that `submit` printed
    pub(crate) batch: job::BatchId,

    /// The batch's --out, if it was submitted from another machine
    #[arg(long, value_name = "PREFIX")]
    pub(crate) out: Option<String>,

    /// Wait until the batch is done, showing progress
    #[arg(long)]
    pub(crate) wait: bool,

    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    pub(crate) command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List the models known by name
    List {
        #[arg(long)]
        json: bool,
    },
    /// Fetch models [default: those that are used when nothing else is asked for]
    Pull { names: Vec<String> },
    /// Check the files of models against their checksums [default: all that are installed]
    Verify { names: Vec<String> },
    /// Print the directory of a model
    Path { name: String },
    /// Say what a directory holds: family, precision, and what is missing
    #[command(after_help = "Examples:\n  scriptorium models inspect ./paraformer-zh\n  \
                            scriptorium models inspect whisper-tiny.en --json")]
    Inspect {
        #[arg(value_name = "NAME|DIR")]
        model: String,
        #[arg(long)]
        json: bool,
    },
    /// Convert the PyTorch checkpoint in a model directory to ONNX (a pull does this itself)
    #[command(after_help = "Example:\n  scriptorium models convert ./my-campplus")]
    Convert {
        #[arg(value_name = "NAME|DIR")]
        model: String,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Segments go to the recognizer one per thread, as a worker does it. Speed does \
                  not depend on what the weights are: a model with random ones will do. Peaks are \
                  those of one core, measured at the start.\n\nExamples:\n  \
                  scriptorium bench --model paraformer-zh\n  \
                  scriptorium bench --model ./my-model --precision int8 --durations 10 --threads 1,2\n  \
                  scriptorium bench --model paraformer-zh --durations 10 --threads 1 --profile\n  \
                  scriptorium bench --audio meeting.wav --durations 20 --threads 4 --profile-out trace.json\n  \
                  scriptorium bench --pipeline --json > figures.json"
)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) models: ModelArgs,

    /// Seconds of the segments to measure [default: those of 5,10,20,60 that the model takes]
    #[arg(long, value_delimiter = ',', value_name = "SECONDS", value_parser = segment_seconds)]
    pub(crate) durations: Vec<f64>,

    /// Threads to measure with [default: 1 and all cores that this process may use]
    #[arg(long, value_delimiter = ',', value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) threads: Vec<u16>,

    /// Segments per thread that are measured, after one that is not
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) runs: u32,

    /// Recording to take the segments from, over and over if it is shorter [default: generated,
    /// speech-like sound, always the same]
    #[arg(long, value_name = "FILE")]
    pub(crate) audio: Option<PathBuf>,

    /// Bind each compute thread to one CPU (Linux)
    #[arg(long)]
    pub(crate) pin: bool,

    /// Measure the whole way from a WAV file to the transcript, too, with the most threads given
    #[arg(long)]
    pub(crate) pipeline: bool,

    /// Print where the time goes, operator by operator: for the first of the durations, on the first
    /// number of threads
    #[arg(long)]
    pub(crate) profile: bool,

    /// Write that as a trace for Perfetto (ui.perfetto.dev) or chrome://tracing
    #[arg(long, value_name = "FILE")]
    pub(crate) profile_out: Option<PathBuf>,

    /// Print everything as JSON; see docs/performance.md for the fields
    #[arg(long)]
    pub(crate) json: bool,
}

fn segment_seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.1..=3600.0).contains(seconds))
        .ok_or_else(|| format!("`{text}` is not a number of seconds between 0.1 and 3600"))
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    pub(crate) shell: clap_complete::Shell,
}
