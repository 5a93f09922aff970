//! `scriptorium results`: lists the transcripts of a batch, or all of its jobs.

use app::Config;
use ledger::{BatchLedger, JobResult, JobState};
use serde::Serialize;

use crate::{
    args::{ResultsArgs, output_prefix},
    batches,
    commands::print_line,
    exit, history, output,
};

/// A job as a line of JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    result: &'a JobResult,
    /// URI of the transcript.
    #[serde(skip_serializing_if = "Option::is_none")]
    transcript: Option<&'a str>,
}

pub(crate) async fn run(config: &Config, args: ResultsArgs) -> anyhow::Result<u8> {
    let out = args.out.map_or_else(|| history::recall(&args.batch), Ok)?;
    let location = output_prefix(&out)?;
    let ledger = BatchLedger::new(app::stores(config)?, &location, &args.batch);
    batches::find(&ledger, &args.batch, &location.to_string()).await?;
    let printed = ledger.results(|result| print(&result, args.json)).await;
    match printed {
        // The reader has seen enough.
        Err(error) if error.is::<output::Closed>() => Ok(exit::SUCCESS),
        printed => printed.map(|()| exit::SUCCESS),
    }
}

fn print(result: &JobResult, json: bool) -> anyhow::Result<()> {
    let transcript = match (result.state, &result.output) {
        (JobState::Done, Some(output)) => Some(format!("{output}.json")),
        _ => None,
    };
    let transcript = transcript.as_deref();
    if json {
        let line = serde_json::to_string(&Line { result, transcript })?;
        return output::write(format!("{line}\n"));
    }
    match transcript {
        Some(transcript) => print_line(transcript),
        None => Ok(()),
    }
}
