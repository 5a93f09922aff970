//! A fleet in one process: an in-memory queue, local files and a scripted recognizer. Speech is detected
//! by its energy, so that no model files are needed.

#![allow(dead_code, reason = "each test file uses some of it")]

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use job::{BatchId, Job, JobOptions, RECORDS_VERSION, Running, records_prefix};
use ledger::Ledger;
use location::Location;
use queue::{MemoryQueue, Message, Origin, Queue};
use speech::{
    compute::Compute,
    pipeline::{self, Pipeline},
    recognizer::{FakeRecognizer, Recognizer},
    vad::EnergyVad,
};
use store::{StoreConfig, Stores};
use tokio_util::sync::CancellationToken;
use transcript::Transcript;
use worker::{ComputePool, Transcriber, Worker};

/// Returns a recognizer that writes "word" in every window, after it has called a closure with the number
/// of the call.
pub(crate) fn scripted(script: impl Fn(usize) + Send + Sync + 'static) -> Arc<dyn Recognizer> {
    let calls = AtomicUsize::new(0);
    Arc::new(FakeRecognizer::new("scripted", move |_| {
        script(calls.fetch_add(1, Ordering::SeqCst));
        "word".to_owned()
    }))
}

pub(crate) struct Fleet {
    pub(crate) root: tempfile::TempDir,
    pub(crate) queue: MemoryQueue,
    pub(crate) recognizer: Arc<dyn Recognizer>,
    pub(crate) submitted: AtomicUsize,
}

impl Fleet {
    /// Prepares workers whose recognizer calls `script`.
    pub(crate) fn new(script: impl Fn(usize) + Send + Sync + 'static) -> Self {
        Self::with_queue(MemoryQueue::new(), script)
    }

    pub(crate) fn with_queue(
        queue: MemoryQueue,
        script: impl Fn(usize) + Send + Sync + 'static,
    ) -> Self {
        let root = tempfile::tempdir().unwrap();
        let recognizer = scripted(script);
        Self { root, queue, recognizer, submitted: AtomicUsize::new(0) }
    }

    pub(crate) fn stores(&self) -> Arc<Stores> {
        Arc::new(Stores::new(StoreConfig::default()).unwrap())
    }

    pub(crate) fn config(&self) -> worker::WorkerConfig {
        let root = self.root.path().to_str().unwrap().to_owned();
        worker::WorkerConfig {
            name: "test".to_owned(),
            sources: vec![root.clone()],
            outputs: vec![root],
            jobs: 1,
            retry_delays: vec![0, 0],
            ..worker::WorkerConfig::default()
        }
    }

    pub(crate) fn worker(&self) -> Worker {
        self.worker_with(self.config())
    }

    pub(crate) fn worker_with(&self, config: worker::WorkerConfig) -> Worker {
        let pool: Arc<dyn Compute> = Arc::new(ComputePool::new(1).unwrap());
        let models = pipeline::Models {
            vad: Arc::new(EnergyVad),
            recognizer: self.recognizer.clone(),
            punctuator: None,
            diarizer: None,
            normalizer: None,
        };
        let pipeline = Pipeline::new(models, pipeline::PipelineConfig::default(), pool);
        let decoding = audio::DecodeOptions::default();
        let pipelines = vec![("preset".to_owned(), pipeline)];
        let transcriber = Transcriber::new(self.stores(), pipelines, decoding);
        Worker::new(Arc::new(self.queue.clone()), transcriber, config, 1, Vec::new()).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn uri(&self, name: &str) -> String {
        Location::from_path(self.path(name)).unwrap().to_string()
    }

    pub(crate) async fn submit(&self, name: &str) -> Job {
        self.submit_with(name, JobOptions::default()).await
    }

    /// Returns a job of a batch of its own.
    pub(crate) fn job(&self, name: &str, options: JobOptions) -> Job {
        let batch = BatchId::generate();
        let records = records_prefix(&self.uri("out"), &batch);
        let output = self.uri(&format!("out/{name}"));
        Job::new(batch, self.uri(name), output, records, options)
    }

    pub(crate) async fn submit_with(&self, name: &str, options: JobOptions) -> Job {
        let job = self.job(name, options);
        let message = Message::new(job.id.clone(), job.to_vec());
        self.queue.publish(message).await.unwrap();
        self.submitted.fetch_add(1, Ordering::SeqCst);
        job
    }

    /// Runs until every submitted job has a record of its end.
    pub(crate) async fn run(self) -> (worker::Summary, MemoryQueue, tempfile::TempDir) {
        let drain = CancellationToken::new();
        let running = tokio::spawn(self.worker().run(drain.clone()));
        let submitted = self.submitted.into_inner();
        let start = Instant::now();
        while records(&self.root.path().join("out/.scriptorium")) < submitted {
            assert!(start.elapsed() < Duration::from_secs(120), "jobs do not end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drain.cancel();
        (running.await.unwrap().unwrap(), self.queue, self.root)
    }
}

/// Counts the jobs that are done or failed, in all batches.
pub(crate) fn records(batches: &Path) -> usize {
    let entries = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
    let of = |batch: &Path, name: &str| entries(batch.join(name)).count();
    entries(batches.to_owned()).map(|b| of(&b.path(), "done") + of(&b.path(), "failed")).sum()
}

/// Writes a recording of a sentence, repeated.
pub(crate) fn write_speech(path: &Path, seconds: usize) {
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/speech/sentence.wav");
    let sentence = fs::read(fixture).unwrap()[44..].to_vec();
    let bytes = seconds * 32_000;
    let mut wav =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data"
            .to_vec();
    wav.extend(u32::try_from(bytes).unwrap().to_le_bytes());
    wav.extend(sentence.into_iter().cycle().take(bytes));
    fs::write(path, wav).unwrap();
}

pub(crate) fn read(path: &Path) -> Transcript {
    Transcript::from_json(&fs::read(path).unwrap()).unwrap()
}

/// Waits until `condition` holds.
pub(crate) async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}: waited for a minute");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Fleet {
    pub(crate) fn records(&self, job: &Job) -> PathBuf {
        self.root.path().join("out/.scriptorium").join(job.batch.as_ref().unwrap().as_str())
    }

    pub(crate) fn is_running(&self, job: &Job) -> bool {
        self.records(job).join("running").join(&job.id).exists()
    }

    pub(crate) fn is_done(&self, job: &Job) -> bool {
        self.records(job).join("done").join(&job.id).exists()
    }

    pub(crate) async fn is_empty(&self) -> bool {
        self.queue.depth().await.unwrap() == queue::QueueDepth::default()
    }

    pub(crate) fn record_of_a_run(&self, job: &Job, alone: bool, crashes: u32) -> Running {
        Running {
            version: RECORDS_VERSION,
            source: job.source.to_string(),
            worker: "dead".to_owned(),
            started_at: "2026-11-25T10:00:00Z".to_owned(),
            alone,
            crashes,
            beat: 0,
            handed_back: None,
        }
    }

    /// Leases the next message as a worker that dies with it, after it recorded the run.
    pub(crate) async fn die_with(&self, job: &Job, origin: Origin, alone: bool) {
        let mut consumer = self.queue.consume(origin, 1).await.unwrap();
        let lease = consumer.next().await.unwrap();
        let crashes = lease.message().counts.crashes;
        let running = self.record_of_a_run(job, alone, crashes);
        Ledger::new(self.stores()).start(job, &running).await.unwrap();
        drop(lease);
    }
}

/// Counts the calls of the recognizer, each of which takes `time`.
pub(crate) fn counted(
    time: Duration,
) -> (Arc<AtomicUsize>, impl Fn(usize) + Send + Sync + 'static) {
    let calls = Arc::new(AtomicUsize::new(0));
    let script = {
        let calls = Arc::clone(&calls);
        move |_| {
            calls.fetch_add(1, Ordering::SeqCst);
            std::thread::sleep(time);
        }
    };
    (calls, script)
}

/// Windows of a recording of `seconds`, written by [`write_speech`].
pub(crate) async fn windows(seconds: usize) -> usize {
    let (calls, script) = counted(Duration::ZERO);
    let fleet = Fleet::new(script);
    write_speech(&fleet.path("a.wav"), seconds);
    fleet.submit("a.wav").await;
    fleet.run().await;
    calls.load(Ordering::SeqCst)
}
