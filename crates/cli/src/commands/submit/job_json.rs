//! `submit --job-json`: the messages that would be published, one line of JSON each. Writes nothing.

use std::sync::Arc;

use app::Config;
use job::Job;
use location::Location;
use queue::{Counts, Envelope, Lane, Message};
use serde::Serialize;
use store::Stores;
use tokio_util::sync::CancellationToken;

use super::{
    SubmitArgs,
    selector::Chosen,
    survey::{Survey, Surveyed},
};
use crate::{exit, output};

/// A message, with all that a publisher has to set.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    envelope: Envelope,
    body: &'a Job,
}

pub(super) async fn run(
    config: &Config,
    args: &SubmitArgs,
    out: Location,
    stores: &Arc<Stores>,
    stop: &CancellationToken,
) -> anyhow::Result<u8> {
    let queue = app::queue_config(config)?;
    let survey = Survey { config, args, stores, stop };
    let print = |lane: &mut Lane, Chosen { job, line, .. }: Chosen| {
        let counts = Counts { generation: line.generation, ..Counts::default() };
        let message = Message::new(job.id.clone(), job.to_vec());
        let envelope = Envelope::of(&queue, &Message { lane: *lane, counts, ..message })?;
        let line = serde_json::to_string(&Line { envelope, body: &job })?;
        output::write(format!("{line}\n"))
    };
    let begin = |submission: &job::Submission| {
        output::say(&format!("batch {}: nothing is published or written", submission.batch));
        submission.lane.parse::<Lane>().map_err(anyhow::Error::msg)
    };
    let printed = tokio::select! {
        printed = survey.run(out, begin, print) => printed,
        () = stop.cancelled() => return Ok(exit::INTERRUPTED),
    };
    match printed {
        // The reader has seen enough.
        Err(error) if error.is::<output::Closed>() => Ok(exit::SUCCESS),
        Err(error) => Err(error),
        Ok((_, surveyed @ Surveyed { .. })) => {
            Ok(if surveyed.is_good() { exit::SUCCESS } else { exit::FAILURE })
        }
    }
}
