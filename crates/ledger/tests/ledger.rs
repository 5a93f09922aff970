//! The ledger on the local file system.

#![allow(clippy::unwrap_used, reason = "tests may")]

use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use job::{
    Batch, BatchEnd, Cursor, Done, Failed, Failure, FailureCode, Input, Job, JobOptions,
    ManifestJob, Notification, PartEnd, Published, RECORDS_VERSION, Running, Submission,
    SubmissionCounts,
};
use ledger::{
    BatchControl, BatchLedger, CheckpointInput, Error, FailureRecord, JobState, Ledger,
    MAX_CHECKPOINT_BYTES, Outcome, Part, Tallies, Tally, WorkerTally,
};
use location::Location;
use store::{StoreConfig, Stores};

struct Fixture {
    root: tempfile::TempDir,
    stores: Arc<Stores>,
    batch: Batch,
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let stores = Arc::new(Stores::new(StoreConfig::default()).unwrap());
        let output = Location::from_path(root.path()).unwrap().to_string();
        Self { batch: Batch::new(vec!["s3://calls/".to_owned()], output), root, stores }
    }

    fn ledger(&self) -> Ledger {
        Ledger::new(self.stores.clone())
    }

    fn batch_ledger(&self) -> BatchLedger {
        let output = self.batch.output.parse().unwrap();
        BatchLedger::new(self.stores.clone(), &output, &self.batch.id)
    }

    fn job(&self, name: &str) -> Job {
        let output = format!("{}/{name}", self.batch.output);
        let records = self.batch_ledger().prefix().to_owned();
        let source = format!("s3://calls/{name}");
        Job::new(self.batch.id.clone(), source, output, records, JobOptions::default())
    }

    fn error_record(&self, name: &str) -> PathBuf {
        self.root.path().join(format!("{name}.error.json"))
    }

    fn records(&self) -> PathBuf {
        self.root.path().join(".scriptorium").join(self.batch.id.as_str())
    }

    async fn tally(&self, jobs: u64) -> Tally {
        self.batch_ledger().state().await.unwrap().tally(Some(jobs))
    }
}

fn running(beat: u64) -> Running {
    Running {
        version: RECORDS_VERSION,
        source: "s3://calls/a".to_owned(),
        worker: "w".to_owned(),
        started_at: "2026-11-25T10:00:00Z".to_owned(),
        alone: false,
        crashes: 0,
        beat,
        handed_back: None,
    }
}

fn done() -> Done {
    Done {
        job: None,
        version: RECORDS_VERSION,
        source: "s3://calls/a".to_owned(),
        transcript: "s3://texts/a.json".to_owned(),
        up_to_date: false,
        audio_seconds: 2.0,
        cpu_seconds: 0.5,
        worker: "w".to_owned(),
        finished_at: "2026-11-25T10:00:01Z".to_owned(),
    }
}

fn failed(job: &Job, generation: u32) -> Failed {
    Failed {
        version: RECORDS_VERSION,
        job: job.id.clone(),
        batch: job.batch.clone(),
        generation,
        failure: Failure {
            code: FailureCode::AudioEmpty,
            source: job.source.to_string(),
            message: "empty".to_owned(),
        },
        remedy: "fill it".to_owned(),
        attempts: 1,
        worker: "w".to_owned(),
        failed_at: "2026-11-25T10:00:01Z".to_owned(),
    }
}

#[tokio::test]
async fn a_run_is_recorded_until_it_is_settled() {
    let fixture = Fixture::new();
    let (ledger, job) = (fixture.ledger(), fixture.job("a"));
    assert_eq!(ledger.running(&job).await.unwrap(), None);
    let first = ledger.start(&job, &running(0)).await.unwrap();
    let second = ledger.start(&job, &running(1)).await.unwrap();
    assert_ne!(first, second, "whoever looks sees that the run is alive");
    assert_eq!(ledger.running(&job).await.unwrap(), Some((running(1), second)));
    assert_eq!(
        fixture.tally(2).await,
        Tally { jobs: Some(2), queued: 1, running: 1, ..Tally::default() }
    );
    ledger.requeue(&job).await.unwrap();
    assert_eq!(ledger.running(&job).await.unwrap(), None);
    assert_eq!(ledger.outcome(&job, 0).await.unwrap(), None);

    let uri = fixture.records().join("running").join(&job.id);
    fs::write(uri, "damaged").unwrap();
    assert_eq!(ledger.running(&job).await.unwrap(), None);
}

#[tokio::test]
async fn a_success_replaces_a_failure() {
    let fixture = Fixture::new();
    let (ledger, job) = (fixture.ledger(), fixture.job("a"));
    ledger.start(&job, &running(0)).await.unwrap();
    let recorded = ledger.fail(&job, &failed(&job, 0)).await.unwrap();
    assert_eq!(recorded, FailureRecord::Failed { first: true });
    let outcome = Outcome::Failed(Box::new(failed(&job, 0)));
    assert_eq!(ledger.outcome(&job, 0).await.unwrap(), Some(outcome));
    assert_eq!(ledger.running(&job).await.unwrap(), None);
    let record: Failed =
        serde_json::from_slice(&fs::read(fixture.error_record("a")).unwrap()).unwrap();
    assert_eq!(record, failed(&job, 0));
    assert_eq!(fixture.tally(1).await.failed, 1);

    ledger.start(&job, &running(0)).await.unwrap();
    ledger.done(&job, &done(), false).await.unwrap();
    ledger.requeue(&job).await.unwrap();
    assert_eq!(ledger.outcome(&job, 0).await.unwrap(), Some(Outcome::Done));
    assert_eq!(ledger.running(&job).await.unwrap(), None);
    assert!(!fixture.error_record("a").exists());
    assert_eq!(fixture.tally(1).await, Tally { jobs: Some(1), done: 1, ..Tally::default() });
}

#[tokio::test]
async fn a_failure_never_follows_a_success() {
    let fixture = Fixture::new();
    let (ledger, job) = (fixture.ledger(), fixture.job("a"));
    ledger.done(&job, &done(), false).await.unwrap();
    ledger.start(&job, &running(0)).await.unwrap();
    let recorded = ledger.fail(&job, &failed(&job, 0)).await.unwrap();
    assert_eq!(recorded, FailureRecord::Done);
    assert!(!fixture.error_record("a").exists());
    assert!(!fixture.records().join("failed").exists());
    assert_eq!(ledger.running(&job).await.unwrap(), None);
}

#[tokio::test]
async fn a_success_removes_the_failure_that_there_may_be() {
    let fixture = Fixture::new();
    let (ledger, job) = (fixture.ledger(), fixture.job("a"));
    ledger.start(&job, &running(0)).await.unwrap();
    for fresh in [true, false] {
        fs::write(fixture.error_record("a"), "of an earlier batch").unwrap();
        ledger.done(&job, &done(), fresh).await.unwrap();
        assert_eq!(fixture.error_record("a").exists(), fresh);
        assert!(ledger.running(&job).await.unwrap().is_some(), "the run may still write it");
    }
    ledger.complete_done(&job).await.unwrap();
    assert_eq!(ledger.running(&job).await.unwrap(), None);
}

#[tokio::test]
async fn the_first_record_of_an_outcome_stays() {
    let fixture = Fixture::new();
    let (ledger, job) = (fixture.ledger(), fixture.job("a"));
    let later = Failed { attempts: 9, ..failed(&job, 0) };
    ledger.fail(&job, &failed(&job, 0)).await.unwrap();
    let recorded = ledger.fail(&job, &later).await.unwrap();
    assert_eq!(recorded, FailureRecord::Failed { first: false });
    let outcome = Outcome::Failed(Box::new(failed(&job, 0)));
    assert_eq!(ledger.outcome(&job, 0).await.unwrap(), Some(outcome));
    assert!(ledger.done(&job, &done(), false).await.unwrap());
    let again = Done { up_to_date: true, ..done() };
    assert!(!ledger.done(&job, &again, false).await.unwrap(), "it is counted once");
    let record = fs::read(fixture.records().join("done").join(&job.id)).unwrap();
    assert_eq!(serde_json::from_slice::<Done>(&record).unwrap(), done());
}

#[tokio::test]
async fn each_submission_has_its_own_failure() {
    let fixture = Fixture::new();
    let (ledger, batch, job) = (fixture.ledger(), fixture.batch_ledger(), fixture.job("a"));
    ledger.fail(&job, &failed(&job, 0)).await.unwrap();
    assert_eq!(batch.state().await.unwrap().next_generation(&job.id), 1);
    ledger.resubmit(&job, 1).await.unwrap();
    assert!(!fixture.error_record("a").exists());
    assert_eq!(ledger.outcome(&job, 1).await.unwrap(), None);
    assert_eq!(fixture.tally(1).await, Tally { jobs: Some(1), queued: 1, ..Tally::default() });

    ledger.fail(&job, &failed(&job, 1)).await.unwrap();
    let state = batch.state().await.unwrap();
    assert_eq!(state.tally(Some(1)).failed, 1);
    assert_eq!(batch.failures(&state, 10).await.unwrap(), [failed(&job, 1)]);
    assert!(batch.failures(&state, 0).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_batch_lists_its_jobs() {
    let fixture = Fixture::new();
    let batch = fixture.batch_ledger();
    assert_eq!(batch.batch().await.unwrap(), None);
    batch.write_batch(&fixture.batch).await.unwrap();
    assert_eq!(batch.batch().await.unwrap(), Some(fixture.batch.clone()));
    assert_eq!(batch.count_submitted().await.unwrap(), 0);

    // Two submissions, which share a job, and one of an earlier version.
    let first = batch.submission("1");
    first.write_part(0, part(&fixture, &["0", "1"]), &end(2)).await.unwrap();
    first.write_part(1, part(&fixture, &["2"]), &end(3)).await.unwrap();
    batch
        .submission("10")
        .write_part(0, part(&fixture, &["0", "a\n\"b\""]), &end(2))
        .await
        .unwrap();
    let line = format!("{{\"id\":\"{}\",\"source\":\"c\"}}\n", fixture.job("c").id);
    fs::write(fixture.records().join("manifest/0-000000.jsonl"), line).unwrap();
    assert_eq!(batch.count_submitted().await.unwrap(), 5);
    assert_eq!(first.parts().await.unwrap(), 2);

    let (jobs, last) = first.read_part(1).await.unwrap();
    assert_eq!((jobs, last), (vec![line_of(&fixture.job("2"))], end(3)));
    // The same content is what a repeated request writes; another comes from another process.
    first.write_part(1, part(&fixture, &["2"]), &end(3)).await.unwrap();
    let other = first.write_part(1, part(&fixture, &["3"]), &end(3)).await.unwrap_err();
    assert!(matches!(other, Error::Concurrent { .. }) && !other.is_transient(), "{other}");
    assert!(batch.submission("0").read_part(0).await.is_err(), "without a cursor");
}

fn line_of(job: &Job) -> ManifestJob {
    ManifestJob {
        id: job.id.clone(),
        source: job.source.clone(),
        output: Some(job.output.clone()),
        options: None,
        generation: 0,
    }
}

fn part(fixture: &Fixture, jobs: &[&str]) -> Part {
    let mut part = Part::default();
    jobs.iter().for_each(|job| part.add(&line_of(&fixture.job(job))));
    part
}

fn end(rows: u64) -> PartEnd {
    let counts = SubmissionCounts { jobs: rows, ..SubmissionCounts::default() };
    PartEnd { cursor: Cursor::Rows(rows), end: false, counts }
}

#[tokio::test]
async fn submissions_that_are_not_complete_are_found() {
    let fixture = Fixture::new();
    let batch = fixture.batch_ledger();
    assert!(batch.unfinished().await.unwrap().is_empty());
    let new = || {
        let input = Input::Paths(vec!["file:///in/".to_owned()]);
        Submission::new(fixture.batch.id.clone(), fixture.batch.output.clone(), input)
    };
    let (first, second) = (new(), new());
    for submission in [&second, &first] {
        batch.submission(&submission.id).begin(submission).await.unwrap();
    }
    assert_eq!(batch.unfinished().await.unwrap(), [first.clone(), second.clone()]);
    let ledger = batch.submission(&first.id);
    assert_eq!(ledger.published().await.unwrap(), Published::default());
    for complete in [false, true] {
        let published = Published { part: 1, jobs: 7, complete };
        ledger.write_published(published).await.unwrap();
        assert_eq!(ledger.published().await.unwrap(), published);
        let unfinished = batch.unfinished().await.unwrap();
        assert_eq!(unfinished.len(), if complete { 1 } else { 2 });
        assert_eq!(unfinished.last(), Some(&second));
    }
}

/// All who are told of the end of a batch are told what the first record says.
#[tokio::test]
async fn the_first_record_of_a_notification_stays_until_it_is_replaced() {
    let fixture = Fixture::new();
    let batch = fixture.batch_ledger();
    assert_eq!(batch.notifications().await.unwrap(), []);
    let record = |submission: &str, done| Notification {
        version: RECORDS_VERSION,
        submission: submission.to_owned(),
        over_at: Some("2026-11-26T09:00:00Z".to_owned()),
        end: Some(BatchEnd { jobs: 2, done, ..BatchEnd::default() }),
        announced_at: None,
        webhook: None,
        complete: false,
    };
    assert_eq!(batch.notification("a").await.unwrap(), None);
    for done in [1, 2] {
        let begun = batch.begin_notification(record("a", done)).await.unwrap();
        assert_eq!(begun, record("a", 1));
    }
    let told = Notification { complete: true, ..record("a", 1) };
    batch.write_notification(&told).await.unwrap();
    assert_eq!(batch.notification("a").await.unwrap(), Some(told.clone()));
    batch.begin_notification(record("b", 2)).await.unwrap();
    assert_eq!(batch.notifications().await.unwrap(), [told, record("b", 2)]);
}

#[tokio::test]
async fn what_workers_have_not_counted_is_known() {
    let fixture = Fixture::new();
    let (batch, ledger) = (fixture.batch_ledger(), fixture.ledger());
    ledger.done(&fixture.job("a"), &done(), false).await.unwrap();
    let record = Batch { jobs: Some(1), ..fixture.batch.clone() };
    let counted = batch.count(&record, &mut Tallies::default()).await.unwrap();
    assert_eq!((counted.is_over(), counted.uncounted), (true, 1));
    let tally = WorkerTally { version: RECORDS_VERSION, done: 1, ..WorkerTally::default() };
    ledger.write_tally(batch.prefix(), "w", &tally).await.unwrap();
    let counted = batch.count(&record, &mut Tallies::default()).await.unwrap();
    assert_eq!((counted.is_over(), counted.uncounted), (true, 0));
}

#[tokio::test]
async fn jobs_of_earlier_submissions_are_done_or_have_a_next_generation() {
    let fixture = Fixture::new();
    let (batch, ledger) = (fixture.batch_ledger(), fixture.ledger());
    let jobs = ["a", "b", "c", "d"].map(|name| fixture.job(name));
    ledger.done(&jobs[0], &done(), false).await.unwrap();
    ledger.fail(&jobs[1], &failed(&jobs[1], 0)).await.unwrap();
    ledger.resubmit(&jobs[2], 2).await.unwrap();
    ledger.fail(&jobs[2], &failed(&jobs[2], 1)).await.unwrap();
    fs::write(fixture.records().join("done/notes.txt"), "").unwrap();
    let state = batch.state().await.unwrap();
    assert_eq!(jobs.each_ref().map(|job| state.is_done(&job.id)), [true, false, false, false]);
    assert_eq!(jobs.each_ref().map(|job| state.next_generation(&job.id)), [0, 1, 2, 0]);
}

/// Records of the first version, as version 0.1.0 wrote them.
#[tokio::test]
async fn a_batch_of_the_first_version_is_read() {
    let fixture = Fixture::new();
    let (batch, jobs) =
        (fixture.batch_ledger(), ["a", "b", "c", "d"].map(|name| fixture.job(name)));
    let write = |name: String, body: String| {
        let path = fixture.records().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, body).unwrap();
    };
    let (id, output) = (&fixture.batch.id, &fixture.batch.output);
    write(
        "batch.json".to_owned(),
        format!(
            r#"{{"version": 1, "id": "{id}", "sources": ["in/"], "output": "{output}", "jobs": 4,
                "submitted_at": "2026-11-22T07:38:18Z"}}"#
        ),
    );
    write(
        format!("running/{}", jobs[0].id),
        r#"{"source": "a", "worker": "w", "started_at": "2026-11-22T07:38:18Z"}"#.to_owned(),
    );
    write(format!("done/{}", jobs[1].id), "{}".to_owned());
    write(
        format!("failed/{}.json", jobs[2].id),
        format!(
            r#"{{"job": "{}", "batch": "{id}", "code": "audio_empty", "source": "c",
                "message": "empty", "remedy": "r", "attempts": 1, "worker": "w",
                "failed_at": "2026-11-22T07:38:18Z"}}"#,
            jobs[2].id
        ),
    );
    assert_eq!(batch.batch().await.unwrap().unwrap().jobs, Some(4));
    let state = batch.state().await.unwrap();
    let expected = Tally { jobs: Some(4), queued: 1, running: 1, done: 1, failed: 1 };
    assert_eq!(state.tally(Some(4)), expected);
    let failures = batch.failures(&state, 10).await.unwrap();
    assert_eq!((failures[0].version, failures[0].failure.source.as_str()), (1, "c"));
}

#[tokio::test]
async fn a_batch_of_a_later_version_is_refused() {
    let fixture = Fixture::new();
    let batch = Batch { version: RECORDS_VERSION + 1, ..fixture.batch.clone() };
    fixture.batch_ledger().write_batch(&batch).await.unwrap();
    let error = fixture.batch_ledger().batch().await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }) && !error.is_transient());
    assert!(error.to_string().contains("written by another version"), "{error}");
}

/// What a worker has counted of a large batch.
fn counted(worker: &str, running: u64, done: u64) -> WorkerTally {
    WorkerTally {
        version: RECORDS_VERSION,
        worker: worker.to_owned(),
        // A clock that is wrong does not matter.
        at: "2999-01-01T00:00:00Z".to_owned(),
        running,
        done,
        failed: [("audio_empty".to_owned(), 3)].into(),
        audio_seconds: 60.0 * done as f64,
        ..WorkerTally::default()
    }
}

#[tokio::test]
async fn a_large_batch_is_counted_by_its_workers() {
    let fixture = Fixture::new();
    let (ledger, batch) = (fixture.ledger(), fixture.batch_ledger());
    let large = Batch { jobs: Some(1_000_000), ..fixture.batch.clone() };
    let write = async |name: &str, tally: WorkerTally| {
        ledger.write_tally(batch.prefix(), name, &tally).await.unwrap();
    };
    write("a", counted("a", 2, 400_000)).await;
    // It was killed an hour ago: nothing runs there.
    write("b", counted("b", 3, 100_000)).await;
    let of_killed = fs::File::options().write(true).open(fixture.records().join("tally/b.json"));
    let hour_ago = SystemTime::now() - Duration::from_secs(3600);
    of_killed.unwrap().set_modified(hour_ago).unwrap();
    write("c", WorkerTally { resubmitted: 1, ..WorkerTally::default() }).await;
    let mut tallies = Tallies::default();
    let counted_now = batch.count(&large, &mut tallies).await.unwrap();
    let expected =
        Tally { jobs: Some(1_000_000), queued: 499_993, running: 2, done: 500_000, failed: 5 };
    assert_eq!((counted_now.tally, counted_now.exact), (expected, false));
    assert_eq!(counted_now.failed_by_code["audio_empty"], 6);
    assert_eq!((counted_now.workers, counted_now.audio_seconds), (3, 30_000_000.0));

    write("a", counted("a", 0, 400_001)).await;
    let tally = batch.count(&large, &mut tallies).await.unwrap().tally;
    assert_eq!((tally.running, tally.done), (0, 500_001));

    batch.set_control(BatchControl::Cancelled).await.unwrap();
    let cancelled = batch.count(&large, &mut tallies).await.unwrap();
    assert_eq!((cancelled.cancelled, cancelled.tally.queued), (499_994, 0));
    assert!(cancelled.is_over() && !counted_now.is_over());
    batch.set_control(BatchControl::Active).await.unwrap();
}

#[tokio::test]
async fn a_recount_makes_up_for_what_killed_workers_had_not_counted() {
    let fixture = Fixture::new();
    let (ledger, batch) = (fixture.ledger(), fixture.batch_ledger());
    let large = Batch { jobs: Some(1_000_000), ..fixture.batch.clone() };
    for name in ["a", "b", "c"] {
        assert!(ledger.done(&fixture.job(name), &done(), false).await.unwrap());
    }
    let failing = fixture.job("d");
    ledger.fail(&failing, &failed(&failing, 0)).await.unwrap();
    let one = WorkerTally { done: 1, ..WorkerTally::default() };
    ledger.write_tally(batch.prefix(), "w", &one).await.unwrap();
    let mut tallies = Tallies::default();
    let of = |tally: Tally| (tally.done, tally.failed);
    assert_eq!(of(batch.count(&large, &mut tallies).await.unwrap().tally), (1, 0));
    let exact = batch.recount(&large, &mut tallies).await.unwrap();
    assert_eq!((of(exact.tally), exact.exact), ((3, 1), true));
    assert_eq!(of(batch.count(&large, &mut tallies).await.unwrap().tally), (3, 1));
    // What is counted after that adds up, also for a reader that has read nothing before.
    let two = WorkerTally { done: 2, ..one };
    ledger.write_tally(batch.prefix(), "w", &two).await.unwrap();
    let tally = batch.count(&large, &mut Tallies::default()).await.unwrap().tally;
    assert_eq!(of(tally), (4, 1));
    let shown = batch.some_failures(10).await.unwrap();
    assert_eq!(shown, [failed(&failing, 0)]);
    let again = fixture.job("e");
    ledger.fail(&again, &failed(&again, 0)).await.unwrap();
    ledger.resubmit(&again, 1).await.unwrap();
    assert_eq!(batch.some_failures(10).await.unwrap(), shown, "the other is submitted again");

    // While workers run jobs, a count of the records is of no time in particular.
    let running = counted("v", 1, 0);
    ledger.write_tally(batch.prefix(), "v", &running).await.unwrap();
    batch.recount(&large, &mut tallies).await.unwrap();
    let tally = batch.count(&large, &mut tallies).await.unwrap().tally;
    assert_eq!(of(tally), (4, 4), "the tallies count");
}

#[tokio::test]
async fn a_batch_is_paused_and_resumed_by_a_record() {
    let fixture = Fixture::new();
    let (ledger, batch, job) = (fixture.ledger(), fixture.batch_ledger(), fixture.job("a"));
    for control in [BatchControl::Active, BatchControl::Paused, BatchControl::Cancelled] {
        batch.set_control(control).await.unwrap();
        assert_eq!(ledger.control(&job).await.unwrap(), control);
        assert_eq!(batch.control().await.unwrap(), control);
    }
    batch.set_control(BatchControl::Active).await.unwrap();
    assert!(!fixture.records().join("control.json").exists());
    fs::write(fixture.records().join("control.json"), "damaged").unwrap();
    assert!(matches!(ledger.control(&job).await, Err(Error::Invalid { .. })));
}

#[tokio::test]
async fn the_checkpoints_of_all_runs_are_read_and_deleted_with_their_job() {
    let fixture = Fixture::new();
    let (ledger, job, other) = (fixture.ledger(), fixture.job("a"), fixture.job("b"));
    let input = CheckpointInput { etag: "1".to_owned(), fingerprint: "f".to_owned() };
    let lines = |numbers: &[u32]| -> Vec<bytes::Bytes> {
        numbers.iter().map(|number| format!("{{\"window\":{number}}}").into()).collect()
    };
    let (mut first, mut second) = (ledger.checkpoints(&job), ledger.checkpoints(&job));
    assert!(first.load(&input).await.unwrap().windows.is_empty());
    assert_eq!(first.delete().await.unwrap(), 0);
    first.write(&input, &lines(&[0, 1])).await.unwrap();
    second.write(&input, &lines(&[1])).await.unwrap();
    first.write(&input, &lines(&[2])).await.unwrap();
    let newer = CheckpointInput { etag: "2".to_owned(), ..input.clone() };
    second.write(&newer, &lines(&[9])).await.unwrap();
    ledger.checkpoints(&other).write(&input, &lines(&[7])).await.unwrap();

    let folder = fixture.records().join("checkpoint");
    let cut = |name: &str, length: u64| {
        let file = fs::File::create(folder.join(format!("{}.{name}.jsonl", job.id))).unwrap();
        file.set_len(length).unwrap();
    };
    cut("large", MAX_CHECKPOINT_BYTES + 1);
    cut("empty", 0);
    let loaded = ledger.checkpoints(&job).load(&input).await.unwrap();
    let mut windows = loaded.windows.clone();
    windows.sort_unstable();
    assert_eq!(windows, lines(&[0, 1, 1, 2]));
    assert_eq!((loaded.checkpoints, loaded.ignored.len()), (3, 3), "{loaded:?}");
    assert_eq!(second.load(&newer).await.unwrap().windows, lines(&[9]));

    assert_eq!(second.delete().await.unwrap(), 6);
    assert!(first.load(&input).await.unwrap().windows.is_empty());
    assert_eq!(ledger.checkpoints(&other).load(&input).await.unwrap().windows, lines(&[7]));
    // They say nothing about the state of a job.
    assert_eq!(fixture.tally(2).await, Tally { jobs: Some(2), queued: 2, ..Tally::default() });
}

/// Whatever happens to it, no record of it stays, except that of its failure next to the transcript.
#[tokio::test]
async fn a_job_without_a_batch_leaves_no_records() {
    let fixture = Fixture::new();
    let ledger = fixture.ledger();
    let job = Job { batch: None, records: None, ..fixture.job("a") };
    let folder = fixture.root.path().join(".scriptorium/_");
    let files = |name: &str| fs::read_dir(folder.join(name)).into_iter().flatten().count();

    ledger.start(&job, &running(0)).await.unwrap();
    assert!(ledger.running(&job).await.unwrap().is_some());
    assert_eq!(files("running"), 1, "the death of its worker is noticed");
    assert_eq!(ledger.control(&job).await.unwrap(), BatchControl::Active);

    let recorded = ledger.fail(&job, &failed(&job, 0)).await.unwrap();
    assert_eq!(recorded, FailureRecord::Failed { first: true });
    assert!(fixture.error_record("a").exists());
    assert_eq!((files("running"), ledger.outcome(&job, 0).await.unwrap()), (0, None));

    ledger.resubmit(&job, 1).await.unwrap();
    assert!(!fixture.error_record("a").exists());

    ledger.fail(&job, &failed(&job, 1)).await.unwrap();
    assert!(ledger.done(&job, &done(), false).await.unwrap());
    assert!(!fixture.error_record("a").exists());
    let left: Vec<_> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["running"], "an empty folder");
}

/// A program that submits jobs need not write `batch.json`.
#[tokio::test]
async fn the_results_of_a_batch_without_a_manifest_are_those_of_its_records() {
    let fixture = Fixture::new();
    let (ledger, batch) = (fixture.ledger(), fixture.batch_ledger());
    assert!(!batch.has_records().await.unwrap());
    let [good, bad] = ["a", "b"].map(|name| Job { id: format!("my:{name}"), ..fixture.job(name) });
    let record = Done { job: Some(good.id.clone()), ..done() };
    ledger.done(&good, &record, false).await.unwrap();
    ledger.fail(&bad, &failed(&bad, 0)).await.unwrap();
    assert!(batch.has_records().await.unwrap());
    let mut results = Vec::new();
    let listed: Result<(), Error> = batch
        .results(|result| {
            results.push((result.job, result.state));
            Ok(())
        })
        .await;
    listed.unwrap();
    let expected = [("my:a", JobState::Done), ("my:b", JobState::Failed)];
    assert_eq!(results, expected.map(|(job, state)| (job.to_owned(), state)));
}
