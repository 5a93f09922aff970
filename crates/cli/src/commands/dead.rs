//! `scriptorium dead`: lists, shows, retries and drops the jobs that were given up.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use app::Config;
use job::Job;
use ledger::{Ledger, Outcome};
use queue::{AmqpQueue, Counts, DeadLetter, Queue};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    args::{DeadArgs, DeadCommand, DeadFilter, DeadSelection},
    commands::{connect, print_json, print_line},
    exit,
};

pub(crate) async fn run(config: &Config, args: DeadArgs) -> anyhow::Result<u8> {
    let queue = connect(config).await?;
    match args.command {
        DeadCommand::List { filter, limit, json } => list(&queue, &filter, limit, json).await,
        DeadCommand::Show { job, json } => show(&queue, &job, json).await,
        DeadCommand::Retry(selection) => {
            let ledger = Ledger::new(app::stores(config)?);
            retry(&queue, &ledger, &selection).await
        }
        DeadCommand::Drop(selection) => drop_letters(&queue, &selection).await,
    }
}

/// A dead letter as it is listed.
#[derive(Debug, Serialize)]
struct Entry {
    job: String,
    /// Absent if the message is not a valid job, as are the other fields of a job.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    code: String,
    detail: String,
    /// Transient failures before the last one.
    retries: u32,
    crashes: u32,
    generation: u32,
    /// Seconds since it was given up; absent if its publisher did not say when.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_seconds: Option<u64>,
}

impl Entry {
    fn new(letter: &DeadLetter) -> Self {
        let job = Job::from_slice(&letter.message.body).ok();
        let counts = &letter.message.counts;
        Self {
            job: job.as_ref().map_or_else(|| letter.message.id.clone(), |job| job.id.clone()),
            batch: job.as_ref().and_then(|job| job.batch.as_ref()).map(ToString::to_string),
            source: job.as_ref().map(|job| job.source.to_string()),
            output: job.map(|job| job.output),
            code: letter.reason.code.clone(),
            detail: letter.reason.detail.clone(),
            retries: counts.attempts,
            crashes: counts.crashes,
            generation: counts.generation,
            age_seconds: age(letter).map(|age| age.as_secs()),
        }
    }
}

/// Returns how long ago the job was given up.
fn age(letter: &DeadLetter) -> Option<Duration> {
    // A clock that is ahead of ours makes the letter new.
    Some(SystemTime::now().duration_since(letter.since?).unwrap_or_default())
}

impl DeadFilter {
    fn accepts(&self, letter: &DeadLetter) -> bool {
        let age = age(letter);
        let batch = |batch: &job::BatchId| {
            Job::from_slice(&letter.message.body).is_ok_and(|job| job.batch.as_ref() == Some(batch))
        };
        (self.code.is_empty() || self.code.contains(&letter.reason.code))
            && self.batch.as_ref().is_none_or(batch)
            && self.older_than.is_none_or(|limit| age.is_some_and(|age| age >= limit))
            && self.newer_than.is_none_or(|limit| age.is_some_and(|age| age <= limit))
    }
}

impl DeadSelection {
    fn accepts(&self, letter: &DeadLetter) -> bool {
        (self.jobs.is_empty() || self.jobs.contains(&Entry::new(letter).job))
            && self.filter.accepts(letter)
    }
}

async fn list(
    queue: &AmqpQueue,
    filter: &DeadFilter,
    limit: usize,
    json: bool,
) -> anyhow::Result<u8> {
    let mut letters = queue.dead_letters().await?;
    let mut entries = Vec::new();
    while entries.len() < limit
        && let Some(letter) = letters.next().await?
    {
        if filter.accepts(&letter) {
            entries.push(Entry::new(&letter));
        }
    }
    letters.close().await?;
    if json {
        print_json(&entries)?;
        return Ok(exit::SUCCESS);
    }
    for entry in &entries {
        let name = entry.source.as_deref().unwrap_or("(not a valid job)");
        let age = entry.age_seconds.map_or_else(|| "?".to_owned(), readable);
        print_line(&format!("{}  {age:>4}  {}  {name}", entry.job, entry.code))?;
    }
    Ok(exit::SUCCESS)
}

/// Returns a time in its largest unit, as the filters accept it.
fn readable(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

async fn show(queue: &AmqpQueue, job: &str, json: bool) -> anyhow::Result<u8> {
    let mut letters = queue.dead_letters().await?;
    let mut found = None;
    while let Some(letter) = letters.next().await? {
        if Entry::new(&letter).job == job {
            found = Some(letter);
            break;
        }
    }
    letters.close().await?;
    let Some(letter) = found else {
        crate::output::say(&format!("error: there is no dead letter of the job {job}"));
        return Ok(exit::FAILURE);
    };
    let entry = Entry::new(&letter);
    let body = String::from_utf8_lossy(&letter.message.body).into_owned();
    let mut message: Value = serde_json::from_str(&body).unwrap_or(Value::String(body));
    if let Some(source) = &entry.source {
        message["source"] = source.as_str().into();
    }
    if json {
        let mut shown = serde_json::to_value(&entry)?;
        shown["message"] = message;
        print_json(&shown)?;
        return Ok(exit::SUCCESS);
    }
    print_line(&format!("job      {}", entry.job))?;
    print_line(&format!("reason   {}: {}", entry.code, entry.detail))?;
    if let Ok(code) = entry.code.parse::<job::FailureCode>() {
        print_line(&format!("remedy   {}", code.remedy()))?;
    }
    let Entry { retries, crashes, generation, .. } = &entry;
    print_line(&format!(
        "history  {retries} retries, {crashes} workers lost, submitted {} times",
        generation.saturating_add(1)
    ))?;
    if let Some(seconds) = entry.age_seconds {
        print_line(&format!("age      {}", readable(seconds)))?;
    }
    print_line(&format!("message  {message}"))?;
    Ok(exit::SUCCESS)
}

/// Puts the selected jobs back into the queue, as a new submission of each.
async fn retry(
    queue: &AmqpQueue,
    ledger: &Ledger,
    selection: &DeadSelection,
) -> anyhow::Result<u8> {
    let mut letters = queue.dead_letters().await?;
    let (mut retried, mut done, mut invalid) = (0_u64, 0_u64, 0_u64);
    let mut resubmitted = HashMap::<String, u64>::new();
    while let Some(letter) = letters.next().await? {
        if !selection.accepts(&letter) {
            continue;
        }
        let Ok(job) = Job::from_slice(&letter.message.body) else {
            invalid += 1;
            continue;
        };
        let generation = letter.message.counts.generation.saturating_add(1);
        if ledger.outcome(&job, generation).await? == Some(Outcome::Done) {
            letters.remove().await?;
            done += 1;
            continue;
        }
        ledger.resubmit(&job, generation).await?;
        letters.retry(Counts { generation, ..Counts::default() }).await?;
        if job.batch.is_some() {
            *resubmitted.entry(job.records_prefix()).or_default() += 1;
        }
        retried += 1;
    }
    for (records, count) in &resubmitted {
        ledger.count_resubmitted(records, *count).await?;
    }
    letters.close().await?;
    if selection.json {
        print_json(&json!({"retried": retried, "already_done": done, "invalid": invalid}))?;
    } else {
        print_line(&format!(
            "{retried} retried, {done} were done already and are dropped, {invalid} are not valid jobs"
        ))?;
    }
    Ok(found(retried + done))
}

async fn drop_letters(queue: &AmqpQueue, selection: &DeadSelection) -> anyhow::Result<u8> {
    let mut letters = queue.dead_letters().await?;
    let mut dropped = 0_u64;
    while let Some(letter) = letters.next().await? {
        if selection.accepts(&letter) {
            letters.remove().await?;
            dropped += 1;
        }
    }
    letters.close().await?;
    if selection.json {
        print_json(&json!({ "dropped": dropped }))?;
    } else {
        print_line(&format!("{dropped} dropped"))?;
    }
    Ok(found(dropped))
}

/// Nothing that meets the conditions is a failure: the id may be mistyped.
fn found(count: u64) -> u8 {
    if count > 0 { exit::SUCCESS } else { exit::FAILURE }
}

#[cfg(test)]
mod tests {
    use queue::{DeadLetterReason, Message};

    use super::*;

    fn letter(code: &str, age: Duration) -> DeadLetter {
        let reason = DeadLetterReason { code: code.to_owned(), detail: String::new() };
        let since = Some(SystemTime::now() - age);
        DeadLetter { message: Message::new("m", "not a job"), reason, since }
    }

    fn filter() -> DeadFilter {
        DeadFilter { code: Vec::new(), batch: None, older_than: None, newer_than: None }
    }

    #[test]
    fn letters_are_filtered_by_reason_age_and_batch() {
        let hour = Duration::from_secs(3600);
        let old = letter("internal", 5 * hour);
        assert!(filter().accepts(&old));
        let code = |code: &str| DeadFilter { code: vec![code.to_owned()], ..filter() };
        assert!(code("internal").accepts(&old) && !code("audio_empty").accepts(&old));
        let older = |age| DeadFilter { older_than: Some(age), ..filter() };
        assert!(older(4 * hour).accepts(&old) && !older(6 * hour).accepts(&old));
        let newer = |age| DeadFilter { newer_than: Some(age), ..filter() };
        assert!(newer(6 * hour).accepts(&old) && !newer(4 * hour).accepts(&old));
        let unknown = DeadLetter { since: None, ..old.clone() };
        assert!(!older(hour).accepts(&unknown) && !newer(hour).accepts(&unknown));
        let batch = DeadFilter { batch: Some(job::BatchId::generate()), ..filter() };
        assert!(!batch.accepts(&old), "not a job of any batch");
    }

    #[test]
    fn ages_are_readable() {
        let ages = [0, 59, 60, 7200, 200_000].map(readable);
        assert_eq!(ages, ["0s", "59s", "1m", "2h", "2d"]);
    }
}
