//! Tests of the worker with an in-memory queue, local files and a scripted recognizer.
//! Speech is detected by its energy, so that no model files are needed.

#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use job::{BatchId, Failed, Job, JobOptions, Records};
use location::Location;
use queue::{MemoryQueue, Message, Queue};
use speech::{
    compute::Compute,
    pipeline::{self, Pipeline},
    recognizer::{self, Description, Hypothesis, Recognition, Recognizer},
    vad::EnergyVad,
};
use store::{StoreConfig, Stores};
use tokio_util::sync::CancellationToken;
use transcript::Transcript;
use worker::{ComputePool, Transcriber, Worker};

/// Recognizes "word" in every window, after calling a closure with the number of the call.
struct Scripted<F> {
    description: Description,
    calls: AtomicUsize,
    script: F,
}

impl<F: Fn(usize) + Send + Sync> Scripted<F> {
    fn new(script: F) -> Self {
        let description = Description {
            name: "scripted".to_owned(),
            family: "test",
            precision: "f32",
            digest: "0".to_owned(),
            languages: vec!["en".to_owned()],
        };
        Self { description, calls: AtomicUsize::new(0), script }
    }
}

impl<F: Fn(usize) + Send + Sync> Recognizer for Scripted<F> {
    fn description(&self) -> &Description {
        &self.description
    }

    fn max_seconds(&self) -> f64 {
        30.0
    }

    fn fixed_window(&self) -> bool {
        true
    }

    fn punctuates(&self, _: bool) -> bool {
        true
    }

    fn recognize(
        &self,
        samples: &[f32],
        _: &recognizer::RecognizeOptions,
    ) -> Result<Recognition, recognizer::Error> {
        (self.script)(self.calls.fetch_add(1, Ordering::SeqCst));
        let hypothesis = Hypothesis {
            start: 0.0,
            end: samples.len() as f64 / 16_000.0,
            text: "word".to_owned(),
            tokens: vec![1],
            log_probability: -0.1,
            ..Hypothesis::default()
        };
        Ok(Recognition { hypotheses: vec![hypothesis], detected_language: None })
    }
}

struct Fleet {
    root: tempfile::TempDir,
    queue: MemoryQueue,
    worker: Worker,
    submitted: AtomicUsize,
}

impl Fleet {
    /// Prepares one worker, whose recognizer calls `script`.
    fn new(script: impl Fn(usize) + Send + Sync + 'static) -> Self {
        let pool: Arc<dyn Compute> = Arc::new(ComputePool::new(1).unwrap());
        let models = pipeline::Models {
            vad: Arc::new(EnergyVad),
            recognizer: Arc::new(Scripted::new(script)),
            punctuator: None,
            diarizer: None,
            normalizer: None,
        };
        let pipeline = Pipeline::new(models, pipeline::PipelineConfig::default(), pool);
        let decoding = audio::DecodeOptions {
            limits: audio::Limits {
                max_bytes: 1 << 30,
                max_duration: Duration::from_secs(24 * 3600),
                max_channels: 8,
            },
            channels: audio::ChannelMode::Mix,
            allow_truncated: false,
        };
        let stores = Arc::new(Stores::new(StoreConfig::default()).unwrap());
        let queue = MemoryQueue::new();
        let config = worker::WorkerConfig {
            name: "test".to_owned(),
            jobs: 1,
            retry_delays: vec![0, 0],
            ..worker::WorkerConfig::default()
        };
        let transcriber = Transcriber::new(stores, vec![("preset".to_owned(), pipeline)], decoding);
        let worker = Worker::new(Arc::new(queue.clone()), transcriber, config, 1);
        let root = tempfile::tempdir().unwrap();
        Self { root, queue, worker, submitted: AtomicUsize::new(0) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn uri(&self, name: &str) -> String {
        Location::from_path(self.path(name)).unwrap().to_string()
    }

    async fn submit(&self, name: &str) -> Job {
        self.submit_with(name, JobOptions::default()).await
    }

    async fn submit_with(&self, name: &str, options: JobOptions) -> Job {
        let batch = BatchId::generate();
        let records = Records::under(&self.uri("out"), &batch).prefix().to_owned();
        let output = self.uri(&format!("out/{name}"));
        let job = Job::new(batch, self.uri(name), output, records, options);
        let message = Message { id: job.id.clone(), body: job.to_vec().into(), attempt: 0 };
        self.queue.publish(message).await.unwrap();
        self.submitted.fetch_add(1, Ordering::SeqCst);
        job
    }

    /// Runs until every submitted job has a record of its end.
    async fn run(self) -> (worker::Summary, MemoryQueue, tempfile::TempDir) {
        let drain = CancellationToken::new();
        let running = tokio::spawn(self.worker.run(drain.clone()));
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
fn records(batches: &Path) -> usize {
    let entries = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten();
    let of = |batch: &Path, name: &str| entries(batch.join(name)).count();
    entries(batches.to_owned()).map(|b| of(&b.path(), "done") + of(&b.path(), "failed")).sum()
}

/// Writes a recording of a sentence, repeated.
fn write_speech(path: &Path, seconds: usize) {
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

fn read(path: &Path) -> Transcript {
    Transcript::from_json(&fs::read(path).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_changes_while_it_is_read_is_read_again() {
    let path = Arc::new(std::sync::Mutex::new(PathBuf::new()));
    let changed = Arc::clone(&path);
    let fleet = Fleet::new(move |call| {
        if call == 0 {
            let path = changed.lock().unwrap();
            let mut file = fs::OpenOptions::new().append(true).open(&*path).unwrap();
            file.write_all(b"more").unwrap();
        }
    });
    *path.lock().unwrap() = fleet.path("long.wav");
    // Longer than the bytes read ahead.
    write_speech(&fleet.path("long.wav"), 1800);
    let job = fleet.submit("long.wav").await;
    let (summary, queue, root) = fleet.run().await;
    assert_eq!((summary.retried, summary.done, summary.failed), (1, 1, 0));
    assert_eq!(queue.depth().await.unwrap(), queue::QueueDepth::default());
    let transcript = read(&root.path().join("out/long.wav.json"));
    assert!((transcript.source.duration - 1800.0).abs() < 1.0);
    assert!(Path::new(&root.path().join("out/.scriptorium")).join(job.batch.as_str()).is_dir());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_fails_only_its_own_recording() {
    let fleet = Fleet::new(|call| assert!(call >= 3, "on purpose"));
    write_speech(&fleet.path("a.wav"), 3);
    let job = fleet.submit("a.wav").await;
    let (summary, queue, root) = fleet.run().await;
    // Two retries, then a dead letter.
    assert_eq!((summary.retried, summary.done, summary.failed), (2, 0, 1));
    let letters = queue.take_dead_letters(10).await.unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason.code, "internal");
    assert!(letters[0].reason.detail.contains("on purpose"), "{:?}", letters[0].reason);
    let records = root.path().join("out/.scriptorium").join(job.batch.as_str());
    let record = fs::read(records.join(format!("failed/{}.json", job.id))).unwrap();
    let record: Failed = serde_json::from_slice(&record).unwrap();
    assert_eq!((record.attempts, record.failure.code.as_str()), (3, "internal"));
    assert!(!records.join("running").join(&job.id).exists());
    assert_eq!(
        fs::read(root.path().join("out/a.wav.error.json")).unwrap(),
        fs::read(records.join(format!("failed/{}.json", job.id))).unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn success_removes_the_record_of_an_earlier_failure() {
    let fleet = Fleet::new(|_| {});
    write_speech(&fleet.path("a.wav"), 3);
    fs::create_dir(fleet.path("out")).unwrap();
    fs::write(fleet.path("out/a.wav.error.json"), "{}").unwrap();
    let job = fleet.submit("a.wav").await;
    let (summary, _, root) = fleet.run().await;
    assert_eq!((summary.done, summary.failed), (1, 0));
    assert!(!root.path().join("out/a.wav.error.json").exists());
    let done = root.path().join("out/.scriptorium").join(job.batch.as_str()).join("done");
    let done: job::Done = serde_json::from_slice(&fs::read(done.join(&job.id)).unwrap()).unwrap();
    assert!(!done.up_to_date);
    let transcript = read(&root.path().join("out/a.wav.json"));
    assert_eq!(transcript.segments[0].text, "word");
    assert_eq!(transcript.segments[0].language.as_deref(), Some("en"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_job_finds_the_transcript_up_to_date() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let fleet = Fleet::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    write_speech(&fleet.path("a.wav"), 3);
    fleet.submit("a.wav").await;
    fleet.submit("a.wav").await;
    let (summary, _, root) = fleet.run().await;
    assert_eq!(summary.done, 2);
    assert!(root.path().join("out/a.wav.json").is_file());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_asks_for_a_preset_by_its_name_or_by_its_recognizer() {
    let fleet = Fleet::new(|_| {});
    for (file, model) in [("a.wav", "preset"), ("b.wav", "scripted"), ("c.wav", "nonesuch")] {
        write_speech(&fleet.path(file), 3);
        let options = JobOptions { model: Some(model.to_owned()), ..JobOptions::default() };
        fleet.submit_with(file, options).await;
    }
    let (summary, queue, root) = fleet.run().await;
    assert_eq!((summary.done, summary.failed), (2, 1));
    assert_eq!(read(&root.path().join("out/b.wav.json")).segments[0].text, "word");
    let letters = queue.take_dead_letters(10).await.unwrap();
    assert_eq!(letters[0].reason.code, "model_unavailable");
    assert!(letters[0].reason.detail.contains("loaded: preset"), "{:?}", letters[0].reason);
}
