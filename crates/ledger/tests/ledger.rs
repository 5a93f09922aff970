//! The ledger on the local file system.

#![allow(clippy::unwrap_used, reason = "tests may")]

use std::{fs, path::PathBuf, sync::Arc};

use job::{Batch, Done, Failed, Failure, FailureCode, Job, JobOptions, RECORDS_VERSION, Running};
use ledger::{BatchLedger, Error, Ledger, Outcome, Tally};
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
            source: job.source.clone(),
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
    assert!(ledger.fail(&job, &failed(&job, 0)).await.unwrap());
    let outcome = Outcome::Failed(Box::new(failed(&job, 0)));
    assert_eq!(ledger.outcome(&job, 0).await.unwrap(), Some(outcome));
    assert_eq!(ledger.running(&job).await.unwrap(), None);
    let record: Failed =
        serde_json::from_slice(&fs::read(fixture.error_record("a")).unwrap()).unwrap();
    assert_eq!(record, failed(&job, 0));
    assert_eq!(fixture.tally(1).await.failed, 1);

    ledger.start(&job, &running(0)).await.unwrap();
    ledger.done(&job, &done()).await.unwrap();
    assert_eq!(ledger.outcome(&job, 0).await.unwrap(), Some(Outcome::Done));
    assert_eq!(ledger.running(&job).await.unwrap(), None);
    assert!(!fixture.error_record("a").exists());
    assert_eq!(fixture.tally(1).await, Tally { jobs: Some(1), done: 1, ..Tally::default() });
}

#[tokio::test]
async fn a_failure_never_follows_a_success() {
    let fixture = Fixture::new();
    let (ledger, job) = (fixture.ledger(), fixture.job("a"));
    ledger.done(&job, &done()).await.unwrap();
    ledger.start(&job, &running(0)).await.unwrap();
    assert!(!ledger.fail(&job, &failed(&job, 0)).await.unwrap());
    assert!(!fixture.error_record("a").exists());
    assert!(!fixture.records().join("failed").exists());
    assert_eq!(ledger.running(&job).await.unwrap(), None);
}

#[tokio::test]
async fn the_first_record_of_an_outcome_stays() {
    let fixture = Fixture::new();
    let (ledger, job) = (fixture.ledger(), fixture.job("a"));
    let later = Failed { attempts: 9, ..failed(&job, 0) };
    ledger.fail(&job, &failed(&job, 0)).await.unwrap();
    assert!(ledger.fail(&job, &later).await.unwrap());
    let outcome = Outcome::Failed(Box::new(failed(&job, 0)));
    assert_eq!(ledger.outcome(&job, 0).await.unwrap(), Some(outcome));
    ledger.done(&job, &done()).await.unwrap();
    let again = Done { up_to_date: true, ..done() };
    ledger.done(&job, &again).await.unwrap();
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
    assert!(batch.submitted().await.unwrap().is_empty());

    // Two submissions, which share a job; the first has more than one part.
    let mut first = batch.submission("1");
    let mut parts = 1;
    for number in 0..10_001 {
        if first.add(&fixture.job(&number.to_string())) {
            first.write().await.unwrap();
            parts += 1;
        }
    }
    first.write().await.unwrap();
    let mut second = batch.submission("2");
    second.add(&fixture.job("0"));
    second.add(&fixture.job("a\n\"b\""));
    second.write().await.unwrap();
    second.write().await.unwrap();
    assert_eq!((parts, fs::read_dir(fixture.records().join("manifest")).unwrap().count()), (2, 3));
    let submitted = batch.submitted().await.unwrap();
    assert_eq!(submitted.len(), 10_002);
    assert!(submitted.contains(&fixture.job("a\n\"b\"").id));
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
