//! `scriptorium pause`, `resume` and `cancel`: whether the jobs of a batch run.

use std::time::Duration;

use anyhow::Context;
use app::Config;
use job::{BatchId, Job};
use ledger::{BatchControl, BatchLedger};
use queue::{AmqpQueue, Queue};
use serde::Serialize;

use crate::{
    UsageError,
    args::{BatchArgs, output_prefix},
    batches,
    commands::{connect, print_json, print_line},
    exit, history, output,
};

/// How long workers may go by what they read before.
const NOTICED: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize)]
struct Report<'a> {
    batch: &'a BatchId,
    control: BatchControl,
    /// Jobs that were held and are in the queue again.
    #[serde(skip_serializing_if = "Option::is_none")]
    released: Option<u64>,
}

pub(crate) async fn pause(config: &Config, args: BatchArgs) -> anyhow::Result<u8> {
    let ledger = open(config, &args).await?;
    if ledger.control().await? == BatchControl::Cancelled {
        return Err(UsageError(format!("batch {} is cancelled", args.batch)).into());
    }
    ledger.set_control(BatchControl::Paused).await?;
    let resume = format!("paused; go on with: scriptorium resume {}", args.batch);
    report(&args, BatchControl::Paused, None, &resume)
}

pub(crate) async fn resume(config: &Config, args: BatchArgs) -> anyhow::Result<u8> {
    let ledger = open(config, &args).await?;
    if ledger.control().await? == BatchControl::Cancelled {
        let message = format!(
            "batch {} is cancelled: submit its recordings again with --batch {}",
            args.batch, args.batch
        );
        return Err(UsageError(message).into());
    }
    // Before anything changes: without the queue, its jobs could not be released.
    let queue = connect(config).await?;
    ledger.set_control(BatchControl::Active).await?;
    let released = release(&queue, &args.batch).await?;
    let line = format!("resumed: {released} held jobs are in the queue again");
    report(&args, BatchControl::Active, Some(released), &line)
}

pub(crate) async fn cancel(config: &Config, args: BatchArgs) -> anyhow::Result<u8> {
    let ledger = open(config, &args).await?;
    let was_active = ledger.control().await? == BatchControl::Active;
    ledger.set_control(BatchControl::Cancelled).await?;
    let mut released = None;
    if !was_active {
        // Workers drop them.
        let queue = connect(config).await.with_context(|| {
            format!("the batch is cancelled, but its held jobs stay: cancel {} again", args.batch)
        })?;
        released = Some(release(&queue, &args.batch).await?);
    }
    report(
        &args,
        BatchControl::Cancelled,
        released,
        "cancelled: jobs that are not done are dropped",
    )
}

async fn open(config: &Config, args: &BatchArgs) -> anyhow::Result<BatchLedger> {
    let out = args.out.clone().map_or_else(|| history::recall(&args.batch), Ok)?;
    let location = output_prefix(&out)?;
    let ledger = BatchLedger::new(app::stores(config)?, &location, &args.batch);
    batches::find(&ledger, &args.batch, &location.to_string()).await?;
    Ok(ledger)
}

/// Puts the held jobs of the batch back into the queue, until workers hold no more of them.
async fn release(queue: &AmqpQueue, batch: &BatchId) -> anyhow::Result<u64> {
    let is_of_batch = |message: &queue::Message| {
        Job::from_slice(&message.body).is_ok_and(|job| job.batch.as_ref() == Some(batch))
    };
    let mut released = 0;
    loop {
        // Before, workers would hold them again.
        tokio::time::sleep(NOTICED).await;
        let more = queue.release_held(&is_of_batch).await?;
        if more == 0 {
            return Ok(released);
        }
        released += more;
        if released > more {
            output::say(&format!("{released} jobs released"));
        }
    }
}

fn report(
    args: &BatchArgs,
    control: BatchControl,
    released: Option<u64>,
    line: &str,
) -> anyhow::Result<u8> {
    if args.json {
        print_json(&Report { batch: &args.batch, control, released })?;
    } else {
        print_line(line)?;
    }
    Ok(exit::SUCCESS)
}
