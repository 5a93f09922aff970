//! The arguments of the command line.

use std::{ffi::OsString, path::PathBuf, str::FromStr, time::Duration};

use clap::{
    Args, Parser, Subcommand,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use clap_complete::{ArgValueCandidates, ArgValueCompleter};
use location::Location;
use models::Role;
use transcript::Format;

pub(crate) use crate::commands::convert::ConvertArgs;
pub(crate) use crate::commands::{
    speakers::SpeakersArgs, submit::SubmitArgs, transcribe::TranscribeArgs,
};
use crate::{UsageError, completion};

/// Transcribes recordings, on one machine or with a fleet of workers.
#[derive(Debug, Parser)]
#[command(
    name = "scriptorium",
    version = crate::version::SHORT,
    after_help = "Exit codes: 0 success; 1 something failed (each failure is listed); 2 wrong usage \
                  or configuration; 3 a worker had too much memory \
                  and drained; 130 interrupted.\n\nExamples:\n  \
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

    /// Show no progress and no warnings, only failures
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,

    /// Log in detail, as log.level = "debug" does
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub(crate) verbose: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Transcribe recordings on this machine; no server needed
    Transcribe(TranscribeArgs),
    /// Write transcripts in other formats, without transcribing anything
    Convert(ConvertArgs),
    /// Lease jobs from the queue and transcribe their recordings until SIGTERM
    Worker(WorkerArgs),
    /// Make jobs of the store's notifications of uploads until SIGTERM
    #[command(after_help = "The rules are in the section `bridge` of the configuration file; \
                            docs/operations.md has an example.\n\nExample:\n  \
                            scriptorium bridge --config /etc/scriptorium/config.toml")]
    Bridge,
    /// Submit recordings to the queue as one batch of jobs
    Submit(SubmitArgs),
    /// Show the progress of a batch, and its failures
    Status(StatusArgs),
    /// List the transcripts of a batch
    Results(ResultsArgs),
    /// Hold the jobs of a batch that are not done until it is resumed
    Pause(BatchArgs),
    /// Let the jobs of a paused batch run
    Resume(BatchArgs),
    /// Drop the jobs of a batch that are not done
    Cancel(BatchArgs),
    /// List, show, retry and drop the jobs that were given up
    Dead(DeadArgs),
    /// List, pull, check and inspect models
    Models(ModelsArgs),
    /// Enroll, list and remove voices of people, whose names speakers get
    Speakers(SpeakersArgs),
    /// Measure how fast this machine transcribes with a model, and where the time goes
    Bench(BenchArgs),
    /// Print the effective configuration with the origin of each value
    Config(ConfigArgs),
    /// Print a shell completion script
    Completions(CompletionsArgs),
    /// Print a manual page, or write them all to a folder
    Man(ManArgs),
}

/// Recordings and their options, for `transcribe` and `submit`.
#[derive(Debug, Args)]
pub(crate) struct RecordingArgs {
    /// Take all files in folders and prefixes, not only those with the extension of a recording; never
    /// AppleDouble files (`._name`) and those in trash, snapshot and system folders
    #[arg(long)]
    pub(crate) all_files: bool,

    /// Name transcripts after the complete name of the recording (`talk.mp4.srt`), or after its stem
    /// (`talk.srt`), where players look for subtitles; of two recordings with one stem, the second
    /// keeps its extension [default: full]
    #[arg(long, value_parser = one_of::<job::OutputName>(&["stem", "full"]))]
    pub(crate) name: Option<job::OutputName>,

    /// Add the language of the transcript to the names of subtitles: `talk.en.srt`
    #[arg(long)]
    pub(crate) language_suffix: bool,

    /// Language code, e.g. `en` [default: detect the language]
    #[arg(long, value_name = "CODE")]
    pub(crate) language: Option<String>,

    /// Transcribe the mix of all channels, or each channel separately; `auto`: separately for the two
    /// sides of a call
    #[arg(long, value_parser = one_of::<job::ChannelMode>(&["mix", "split", "auto"]))]
    pub(crate) channels: Option<job::ChannelMode>,

    /// Audio track by number (from 1) or language, e.g. `2` or `en`, or `all` of them [default: the
    /// default track, else the first that can be decoded]
    #[arg(long, value_name = "N|LANG|all")]
    pub(crate) audio_track: Option<String>,

    /// Words and names to bias the recognizer towards, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "WORDS")]
    pub(crate) hotwords: Vec<String>,

    /// File of hotwords, one per line
    #[arg(long, value_name = "FILE")]
    pub(crate) hotwords_file: Option<PathBuf>,

    /// Text that could precede the recording, with names and spellings in context
    #[arg(long, value_name = "TEXT")]
    pub(crate) prompt: Option<String>,

    /// Write the text in the language spoken, or in English (multilingual Whisper models)
    #[arg(long, value_parser = one_of::<job::Task>(&["transcribe", "translate"]))]
    pub(crate) task: Option<job::Task>,

    /// Write numbers, dates and amounts as digits
    #[arg(long)]
    pub(crate) normalize: bool,

    /// Do not use a punctuation model where the recognizer adds no punctuation
    #[arg(long)]
    pub(crate) no_punctuation: bool,

    /// Leave the words and their times out of the transcript
    #[arg(long)]
    pub(crate) no_word_times: bool,

    /// Label segments with their speakers; `--speakers=2` or `--speakers=2-5` if their number is known
    /// [default: estimate it]
    #[arg(long, value_name = "N|MIN-MAX", num_args = 0..=1, require_equals = true,
          default_missing_value = "any")]
    pub(crate) speakers: Option<job::Speakers>,

    /// Name the speakers whose voices the file knows, as `scriptorium speakers enroll` makes it (implies
    /// --speakers): a file, or a file:// or s3:// URI
    #[arg(long, value_name = "FILE")]
    pub(crate) voices: Option<OsString>,
}

impl RecordingArgs {
    /// Returns the options as the job protocol defines them.
    pub(crate) fn options(&self) -> anyhow::Result<job::JobOptions> {
        let mut hotwords = self.hotwords.clone();
        if let Some(path) = &self.hotwords_file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                UsageError(format!("--hotwords-file {}: {error}", path.display()))
            })?;
            let words = text.lines().map(str::trim).filter(|line| !line.is_empty());
            hotwords.extend(words.map(str::to_owned));
        }
        let options = job::JobOptions {
            language: self.language.clone(),
            channels: self.channels,
            audio_track: self.audio_track.clone(),
            hotwords,
            prompt: self.prompt.clone(),
            task: self.task,
            punctuate: self.no_punctuation.then_some(false),
            normalize: self.normalize.then_some(true),
            word_times: self.no_word_times.then_some(false),
            speakers: self.speakers()?,
            ..job::JobOptions::default()
        };
        options.check().map_err(UsageError)?;
        Ok(options)
    }

    /// Returns the options of speakers; `None`: they are not told apart.
    fn speakers(&self) -> Result<Option<job::Speakers>, UsageError> {
        let Some(voices) = &self.voices else { return Ok(self.speakers.clone()) };
        let location = Location::from_os_argument(voices)
            .map_err(|error| UsageError(format!("--voices {error}")))?;
        let speakers = self.speakers.clone().unwrap_or_default();
        Ok(Some(job::Speakers { voices: Some(location.to_uri()), ..speakers }))
    }
}

/// Parses one of the values of a type of the job protocol.
pub(crate) fn one_of<T>(values: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(values).try_map(|value| value.parse::<T>())
}

/// Completes the name or directory of a model.
fn completer(role: Role) -> ArgValueCompleter {
    ArgValueCompleter::new(completion::model_or_directory(role))
}

/// Parses the name of a format, and lists all of them in the help and to shells.
pub(crate) fn format() -> impl TypedValueParser<Value = Format> {
    let values =
        Format::ALL.map(|format| PossibleValue::new(format.name()).help(format.description()));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<Format>())
}

#[derive(Debug, Args)]
#[command(
    after_help = "Settings come from the configuration file, the environment and flags: see \
                        `scriptorium config`.\n\nExamples:\n  scriptorium worker\n  \
                        SCRIPTORIUM__QUEUE__URL=amqp://user:password@broker scriptorium worker --threads 4"
)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) compute: ComputeArgs,

    #[command(flatten)]
    pub(crate) models: ModelArgs,
}

/// Compute threads, for `transcribe` and `worker`.
#[derive(Debug, Args)]
pub(crate) struct ComputeArgs {
    /// Cores to use [default: all that this process may use]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,

    /// Bind each compute thread to one CPU (Linux); for processes that have their CPUs to
    /// themselves
    #[arg(long)]
    pub(crate) pin: bool,
}

/// Models, for `transcribe`, `worker` and `bench`.
#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    /// Preset or model by name (see `scriptorium models list`), or model by directory [default:
    /// whisper-base]
    #[arg(long, value_name = "NAME|DIR", add = completer(Role::Recognizer))]
    pub(crate) model: Option<String>,

    /// Number format to compute in [default: auto: int8, the fastest; of 756 words, whisper-base gets 36
    /// wrong in int8 and 35 in f32 (docs/benchmarks.md)]
    #[arg(long, value_parser = PossibleValuesParser::new(["auto", "int8", "bf16", "f32"]))]
    pub(crate) precision: Option<String>,

    /// Punctuation model by name or directory, or `none` [default: the preset's]
    #[arg(long, value_name = "NAME|DIR", add = completer(Role::Punctuation))]
    pub(crate) punctuation_model: Option<String>,

    /// Speaker model by name or directory, or `none` [default: the preset's, else campplus where
    /// --speakers asks for one]
    #[arg(long, value_name = "NAME|DIR", add = completer(Role::Speakers))]
    pub(crate) speaker_model: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  scriptorium status 0199d2c8-3a5f-7c63-9d0e-8f1f3b0c2a11\n  \
                        scriptorium status 0199d2c8-3a5f-7c63-9d0e-8f1f3b0c2a11 --out s3://transcripts/2024/ --json")]
pub(crate) struct StatusArgs {
    /// Id of the batch, as `submit` printed it
    pub(crate) batch: job::BatchId,

    /// The batch's --out; needed if it was submitted from another machine
    #[arg(long, value_name = "PREFIX")]
    pub(crate) out: Option<String>,

    /// Wait until the batch is done, showing progress
    #[arg(long)]
    pub(crate) wait: bool,

    /// The same as --wait
    #[arg(long)]
    pub(crate) watch: bool,

    /// Count the records of all jobs, also of a batch of more than 10,000, whose numbers are otherwise
    /// those that its workers counted
    #[arg(long, conflicts_with_all = ["wait", "watch"])]
    pub(crate) recount: bool,

    /// Print the status as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        scriptorium results 0199d2c8-3a5f-7c63-9d0e-8f1f3b0c2a11\n  \
                        scriptorium results 0199d2c8-3a5f-7c63-9d0e-8f1f3b0c2a11 --json | jq 'select(.state == \"failed\")'")]
pub(crate) struct ResultsArgs {
    /// Id of the batch, as `submit` printed it
    pub(crate) batch: job::BatchId,

    /// The batch's --out; needed if it was submitted from another machine
    #[arg(long, value_name = "PREFIX")]
    pub(crate) out: Option<String>,

    /// Print every job as a line of JSON: id, source, state (done, failed, pending), output, transcript
    #[arg(long)]
    pub(crate) json: bool,
}

/// A batch, for `pause`, `resume` and `cancel`.
#[derive(Debug, Args)]
#[command(
    after_help = "Workers look once a second: queued jobs are no longer run after that, and running \
                        ones are interrupted within seconds. Transcripts that are done stay.\n\n\
                        Examples:\n  scriptorium pause 0199d2c8-3a5f-7c63-9d0e-8f1f3b0c2a11\n  \
                        scriptorium resume 0199d2c8-3a5f-7c63-9d0e-8f1f3b0c2a11\n  \
                        scriptorium cancel 0199d2c8-3a5f-7c63-9d0e-8f1f3b0c2a11 --out s3://transcripts/2024/"
)]
pub(crate) struct BatchArgs {
    /// Id of the batch, as `submit` printed it
    pub(crate) batch: job::BatchId,

    /// The batch's --out; needed if it was submitted from another machine
    #[arg(long, value_name = "PREFIX")]
    pub(crate) out: Option<String>,

    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  scriptorium dead list --code source_missing\n  \
                        scriptorium dead show 447c99504fbf3b868cb37fe0c54b7fb9\n  \
                        scriptorium dead retry --code output_denied --newer-than 2d\n  \
                        scriptorium dead drop --batch 0199d2c8-3a5f-7c63-9d0e-8f1f3b0c2a11")]
pub(crate) struct DeadArgs {
    #[command(subcommand)]
    pub(crate) command: DeadCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DeadCommand {
    /// List the dead letters, oldest first
    List {
        #[command(flatten)]
        filter: DeadFilter,

        /// List at most this many
        #[arg(long, value_name = "N", default_value_t = 1000)]
        limit: usize,

        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one job: its message, and why it was given up
    Show {
        /// Id of the job
        job: String,

        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Put jobs back into the queue; drop those that are done by now
    Retry(DeadSelection),
    /// Delete dead letters. The records of the failures stay
    Drop(DeadSelection),
}

/// Which dead letters, and how the result is printed.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true)
          .args(["jobs", "code", "batch", "older_than", "newer_than", "all"]))]
pub(crate) struct DeadSelection {
    /// Ids of jobs
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<String>,

    #[command(flatten)]
    pub(crate) filter: DeadFilter,

    /// All dead letters
    #[arg(long, conflicts_with_all = ["jobs", "code", "batch", "older_than", "newer_than"])]
    pub(crate) all: bool,

    /// Print the counts as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Dead letters that meet all of the given conditions.
#[derive(Debug, Args)]
pub(crate) struct DeadFilter {
    /// Reasons, e.g. source_missing (docs/jobs.md lists them)
    #[arg(long, value_delimiter = ',', value_name = "CODES")]
    pub(crate) code: Vec<String>,

    /// Id of their batch
    #[arg(long, value_name = "ID")]
    pub(crate) batch: Option<job::BatchId>,

    /// Given up at least this long ago, e.g. 90s, 15m, 12h, 7d
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) older_than: Option<Duration>,

    /// Given up at most this long ago
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub(crate) newer_than: Option<Duration>,
}

/// Parses a number with a unit: `90s`, `15m`, `12h`, `7d`.
pub(crate) fn age(text: &str) -> Result<Duration, String> {
    let unit = |unit| match unit {
        's' => Some(1),
        'm' => Some(60),
        'h' => Some(3600),
        'd' => Some(24 * 3600),
        _ => None,
    };
    let parse = || {
        let unit = unit(text.chars().next_back()?)?;
        let number = text[..text.len() - 1].parse::<u64>().ok()?;
        Some(Duration::from_secs(number.checked_mul(unit)?))
    };
    parse().ok_or_else(|| "expected a number and a unit, such as 90s, 15m, 12h or 7d".to_owned())
}

#[derive(Debug, Args)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    pub(crate) command: ModelsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// List the models and presets that are known by name: what they are for, how good, how fast
    List {
        /// Print the models as JSON
        #[arg(long)]
        json: bool,
    },
    /// Pull models and presets [default: the models that the configuration uses]
    #[command(after_help = "Examples:\n  scriptorium models pull\n  \
                            scriptorium models pull paraformer-zh")]
    Pull {
        /// Names of models or presets
        #[arg(add = ArgValueCandidates::new(completion::models_and_presets))]
        names: Vec<String>,
    },
    /// Check the files of models against their checksums [default: all installed models]
    Verify {
        /// Names of models
        #[arg(add = ArgValueCandidates::new(completion::models))]
        names: Vec<String>,
    },
    /// Delete models that were pulled, which frees their space
    #[command(after_help = "Example:\n  scriptorium models rm whisper-tiny.en")]
    Rm {
        /// Names of models
        #[arg(required = true, add = ArgValueCandidates::new(completion::models))]
        names: Vec<String>,
    },
    /// Print the directory of a model
    Path {
        /// Name of the model
        #[arg(add = ArgValueCandidates::new(completion::models))]
        name: String,
    },
    /// Describe a model directory: family, precisions, and missing files
    #[command(after_help = "Examples:\n  scriptorium models inspect ./paraformer-zh\n  \
                            scriptorium models inspect whisper-base --json")]
    Inspect {
        /// Model by name or directory
        #[arg(value_name = "NAME|DIR", add = ArgValueCandidates::new(completion::models))]
        model: String,
        /// Print the description as JSON
        #[arg(long)]
        json: bool,
    },
    /// Convert the PyTorch checkpoint in a model directory to ONNX (a pull does this itself)
    #[command(after_help = "Example:\n  scriptorium models convert ./my-campplus")]
    Convert {
        /// Model by name or directory
        #[arg(value_name = "NAME|DIR")]
        model: String,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "Each thread recognizes one segment at a time, as in a worker. Speed does not \
                  depend on the values of the weights: a model with random weights will do. Peaks \
                  are those of one core, measured at the start.\n\nExamples:\n  \
                  scriptorium bench --model paraformer-zh\n  \
                  scriptorium bench --model ./my-model --precision int8 --durations 10 --threads 1,2\n  \
                  scriptorium bench --model paraformer-zh --durations 10 --threads 1 --profile\n  \
                  scriptorium bench --audio meeting.wav --durations 20 --threads 4 --profile-out trace.json\n  \
                  scriptorium bench --pipeline --json > figures.json"
)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) models: ModelArgs,

    /// Durations of the segments in seconds [default: those of 5,10,20,60 that the model accepts]
    #[arg(long, value_delimiter = ',', value_name = "SECONDS", value_parser = segment_seconds)]
    pub(crate) durations: Vec<f64>,

    /// Numbers of threads to measure with [default: 1, and all cores that this process may use]
    #[arg(long, value_delimiter = ',', value_name = "N",
          value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) threads: Vec<u16>,

    /// Measured segments per thread, after one that is not measured
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) runs: u32,

    /// Recording to take the segments from, repeated if it is shorter [default: generated sound
    /// that resembles speech, the same on every run]
    #[arg(long, value_name = "FILE")]
    pub(crate) audio: Option<PathBuf>,

    /// Bind each compute thread to one CPU (Linux)
    #[arg(long)]
    pub(crate) pin: bool,

    /// Also measure the whole pipeline, from a WAV file to the transcript, with the most threads
    /// given
    #[arg(long)]
    pub(crate) pipeline: bool,

    /// Print a profile by operator, for the first of the durations on the first number of threads
    #[arg(long)]
    pub(crate) profile: bool,

    /// Write the profile as a trace for Perfetto (ui.perfetto.dev) or chrome://tracing
    #[arg(long, value_name = "FILE")]
    pub(crate) profile_out: Option<PathBuf>,

    /// Print the report as JSON; docs/performance.md describes the fields
    #[arg(long)]
    pub(crate) json: bool,
}

/// Parses the duration of a segment.
fn segment_seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.1..=3600.0).contains(seconds))
        .ok_or_else(|| format!("`{text}` is not a number of seconds between 0.1 and 3600"))
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  scriptorium config\n  \
                        SCRIPTORIUM__WORKER__JOBS=4 scriptorium config --json")]
pub(crate) struct ConfigArgs {
    /// Print values and origins as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        source <(scriptorium completions bash)\n  \
                        scriptorium completions bash > /etc/bash_completion.d/scriptorium\n  \
                        scriptorium completions fish > ~/.config/fish/completions/scriptorium.fish")]
pub(crate) struct CompletionsArgs {
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        scriptorium man submit | man -l -\n  \
                        scriptorium man --out /usr/local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Command whose page is printed, e.g. `models pull` [default: the page of scriptorium]
    #[arg(conflicts_with = "out")]
    pub(crate) command: Vec<String>,

    /// Folder, which must exist, to which the pages of all commands are written
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Parses `--out`. It is always a prefix, with or without a slash at its end.
pub(crate) fn output_prefix(text: &str) -> Result<Location, UsageError> {
    let location =
        Location::from_argument(text).map_err(|error| UsageError(format!("--out: {error}")))?;
    Ok(location.as_prefix())
}
