//! Checks the tables and examples of docs/jobs.md against the code.

use std::{error::Error, fs};

use job::{
    Batch, BatchCompleted, Event, FailureCode, FailureKind, Job, JobDone, ManifestFormat,
    ManifestJob, ManifestReader, PartEnd, Watch, records_prefix,
};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/jobs.md");

fn row(code: FailureCode) -> String {
    let kind = match code.kind() {
        FailureKind::Transient => "transient",
        FailureKind::Permanent => "permanent",
        FailureKind::Dependency => "dependency",
        FailureKind::Worker => "worker",
        FailureKind::Interrupted => "interrupted",
    };
    format!("| `{code}` | {kind} | {} | {} |", code.cause(), code.remedy())
}

#[test]
fn every_failure_code_is_documented() -> Result<(), Box<dyn Error>> {
    let page = fs::read_to_string(PAGE)?;
    let (_, table) = page.split_once("| code | kind | cause | remedy |\n").ok_or("no table")?;
    let documented: Vec<&str> = table.lines().skip(1).take_while(|line| !line.is_empty()).collect();
    let codes: Vec<String> = FailureCode::ALL.iter().copied().map(row).collect();
    assert_eq!(documented, codes, "the table should be:\n{}", codes.join("\n"));
    Ok(())
}

#[test]
fn the_examples_are_valid() -> Result<(), Box<dyn Error>> {
    let page = fs::read_to_string(PAGE)?;
    let examples: Vec<&str> = page
        .split("```json\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```").map(|(example, _)| example))
        .collect();
    let [least, done, job, rows, part, batch, failure, event, watch] = examples[..] else {
        return Err("not nine examples".into());
    };
    let least = Job::from_slice(least.as_bytes())?;
    let done = serde_json::from_str::<Event<JobDone>>(done)?;
    assert_eq!((done.id, done.source), (format!("{}.job.done", least.key()), least.output.clone()));
    assert_eq!(
        (done.data.job.source, done.data.job.output),
        (least.source.clone().to_string(), least.output)
    );
    let mut manifest = ManifestReader::new(rows.as_bytes(), ManifestFormat::JsonLines)?;
    while let Some(entry) = manifest.next_row()? {
        entry.row?;
    }
    let [line, end] = part.lines().collect::<Vec<_>>()[..] else {
        return Err("not a job and an end".into());
    };
    serde_json::from_str::<ManifestJob>(line)?;
    serde_json::from_str::<PartEnd>(end)?;
    let job = Job::from_slice(job.as_bytes())?;
    let batch = Batch::from_slice(batch.as_bytes())?;
    let failure = serde_json::from_slice::<job::Failed>(failure.as_bytes())?;
    let event = serde_json::from_str::<Event<BatchCompleted>>(event)?;
    assert_eq!(event.source, job.records_prefix());
    assert_eq!(Watch::from_slice(watch.as_bytes())?.batch, batch.id);
    assert_eq!(records_prefix(&batch.output, &batch.id), job.records_prefix());
    assert_eq!((job.batch, job.source.to_string()), (Some(batch.id), failure.failure.source));
    Ok(())
}
