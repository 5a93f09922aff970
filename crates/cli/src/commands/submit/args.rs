//! The arguments of `scriptorium submit`.

use std::ffi::OsString;

use clap::Args;
use job::ManifestFormat;
use transcript::Format;

use crate::{
    args::{RecordingArgs, format, one_of},
    filter::FilterArgs,
};

#[derive(Debug, Args)]
#[command(
    after_help = "The batch's id is printed on standard output. A submission that was interrupted \
                        is continued with --resume ID. Repeating a command with --batch ID submits \
                        within the same batch what is new, and what failed; jobs that are done are \
                        left out.\n\nExamples:\n  \
                        scriptorium submit s3://archive/2024/ --out s3://transcripts/2024/\n  \
                        scriptorium submit s3://archive/ --include '*.wav' --newer-than 7d --out s3://transcripts/ --dry-run\n  \
                        scriptorium submit --manifest calls.csv --out s3://transcripts/calls/ --language en\n  \
                        scriptorium submit s3://archive/a.wav --out s3://transcripts/ --job-json\n  \
                        scriptorium submit --resume 0199d2c8-3a5f-7c63-9d0e-8f1f3b0c2a11\n  \
                        scriptorium submit s3://archive/ --out s3://transcripts/ --lane bulk\n  \
                        scriptorium submit s3://archive/ --out s3://transcripts/ --notify https://hooks.example.org/batches\n  \
                        scriptorium submit s3://archive/a.wav --out s3://transcripts/ --format srt --wait"
)]
pub(crate) struct SubmitArgs {
    /// Files, folders (searched recursively, without following links to folders), and file:// or
    /// s3:// URIs of objects or prefixes (a prefix ends with `/`)
    #[arg(required_unless_present_any = ["manifest", "resume"], value_name = "PATH")]
    pub(crate) paths: Vec<OsString>,

    #[command(flatten)]
    pub(crate) recordings: RecordingArgs,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// Submit the recordings that a manifest lists, with options of their own: a file or an s3:// URI
    /// of JSON Lines or CSV, or `-` for standard input (docs/jobs.md describes the columns)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["paths", "newer_than", "older_than", "all_files"])]
    pub(crate) manifest: Option<OsString>,

    /// Format of the manifest [default: by its extension; jsonl for standard input]
    #[arg(long, value_name = "FORMAT", requires = "manifest",
          value_parser = one_of::<ManifestFormat>(&["jsonl", "csv"]))]
    pub(crate) manifest_format: Option<ManifestFormat>,

    /// Destination of the transcripts: an s3:// prefix, or a folder that all workers share
    #[arg(long, value_name = "PREFIX", required_unless_present = "resume")]
    pub(crate) out: Option<String>,

    /// Formats to write in addition to the JSON, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "FORMATS", value_parser = format())]
    pub(crate) format: Vec<Format>,

    /// Preset or model by name; the workers must have loaded it [default: the workers' default]
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,

    /// Lane of the jobs: `urgent`, `normal` or `bulk`. Jobs of one lane do not wait behind those of
    /// another [default: normal]
    #[arg(long, value_parser = one_of::<queue::Lane>(&["urgent", "normal", "bulk"]),
          value_name = "LANE")]
    pub(crate) lane: Option<queue::Lane>,

    /// Leave out recordings whose transcript exists below --out and is not older than the recording,
    /// whatever options it was made with (for a manifest: whose transcript exists)
    #[arg(long)]
    pub(crate) skip_existing: bool,

    /// Submit within this batch instead of starting a new one
    #[arg(long, value_name = "ID")]
    pub(crate) batch: Option<job::BatchId>,

    /// Continue the submissions of this batch that were interrupted, with their own options; --out is
    /// needed if they began on another machine
    #[arg(long, value_name = "ID",
          conflicts_with_all = ["paths", "batch", "RecordingArgs", "FilterArgs", "format", "model",
                                "lane", "skip_existing", "dry_run", "job_json", "notify"])]
    pub(crate) resume: Option<job::BatchId>,

    /// Only print how many recordings there are, their size, what is left out and why, and an estimate
    /// of the work; nothing is written, and no queue is needed
    #[arg(long, conflicts_with = "wait")]
    pub(crate) dry_run: bool,

    /// Only print the messages that would be published, one line of JSON each, with the queue, properties
    /// and headers that other publishers set as well (docs/jobs.md); nothing is written, and no queue is
    /// needed
    #[arg(long, conflicts_with_all = ["dry_run", "wait", "notify", "json"])]
    pub(crate) job_json: bool,

    /// Seconds of audio per core-second, for the estimate
    #[arg(long, value_name = "X", requires = "dry_run", default_value_t = super::estimate::SPEED,
          value_parser = speed)]
    pub(crate) speed: f64,

    /// Wait until the batch is done, showing progress
    #[arg(long)]
    pub(crate) wait: bool,

    /// Send a signed webhook to this URL when all jobs of the batch have ended. The workers must allow
    /// its host (`notify.hosts`); docs/jobs.md says how to verify the signature
    #[arg(long, value_name = "URL", conflicts_with = "dry_run")]
    pub(crate) notify: Option<notify::WebhookUrl>,

    /// Print the batch (with --wait: its status) as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

fn speed(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|speed| (1e-3..=1e6).contains(speed))
        .ok_or_else(|| format!("`{text}` is not a number between 0.001 and 1000000"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::args::Arguments;

    /// What a submission was begun with cannot be changed: a flag that would be ignored is refused.
    #[test]
    fn a_resumption_takes_no_options_of_the_submission() {
        let mut command = Arguments::command();
        command.build();
        let submit = command.find_subcommand("submit").unwrap();
        let resume = submit.get_arguments().find(|arg| arg.get_id() == "resume").unwrap();
        let conflicts = submit.get_arg_conflicts_with(resume);
        let taken: Vec<_> = submit
            .get_arguments()
            .filter(|arg| !conflicts.iter().any(|other| other.get_id() == arg.get_id()))
            .map(|arg| arg.get_id().as_str())
            .collect();
        let expected = ["manifest", "manifest_format", "out", "resume", "speed", "wait", "json"];
        let common = ["config", "help", "quiet", "verbose", "version"];
        assert!(taken.iter().all(|id| expected.contains(id) || common.contains(id)), "{taken:?}");
    }
}
