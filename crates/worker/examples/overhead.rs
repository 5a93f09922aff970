//! Measures what a job costs besides recognition, with a recognizer that returns at once.
//!
//! ```sh
//! cargo run --release -p worker --example overhead -- [JOBS] [AMQP_URL|memory] [S3_PREFIX] [fresh]
//! ```
//!
//! Without a URL, the queue is in memory. The recordings are of three seconds, in `/dev/shm`, or below
//! `s3://BUCKET/PREFIX/` of the service that `AWS_ENDPOINT_URL` and the other variables of AWS name. The
//! jobs are as after `submit`, or with `fresh` as after `submit --skip-existing`. Prints jobs per second, CPU
//! milliseconds per job, and the time from publish to acknowledged.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for developers")]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use futures::{StreamExt, TryStreamExt};
use job::{BatchId, Job, JobOptions, records_prefix};
use location::Location;
use queue::{AmqpConfig, AmqpQueue, MemoryQueue, Message, Queue, QueueDepth};
use speech::{
    pipeline::{self, Pipeline},
    recognizer::FakeRecognizer,
    vad::EnergyVad,
};
use store::{PutOptions, StoreConfig, Stores};
use tokio_util::sync::CancellationToken;
use worker::{
    ComputePool, Transcriber, Worker, WorkerConfig,
    events::{JobEvent, JobEventKind, Observer, WorkerEvent},
};

const CORES: usize = 2;

/// Notes when each job was published, and how long after that it was settled.
#[derive(Default)]
struct Times {
    published: Mutex<HashMap<String, Instant>>,
    taken: Mutex<Vec<Duration>>,
}

impl Observer for Times {
    fn job(&self, event: &JobEvent<'_>) {
        if let JobEventKind::Stopped { .. } = event.kind
            && let Some(published) = self.published.lock().unwrap().remove(&event.job.id)
        {
            self.taken.lock().unwrap().push(published.elapsed());
        }
    }

    fn worker(&self, _: &WorkerEvent) {}

    fn span(&self, _: &tracing::Span, _: &str) {}
}

fn cpu_seconds() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Returns a WAV file of three seconds with a tone in it.
fn recording() -> Vec<u8> {
    let samples = 48_000_u32;
    let mut wav =
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data"
            .to_vec();
    wav.extend((2 * samples).to_le_bytes());
    let tone = (0..samples).map(|n| ((f64::from(n) * 0.3).sin() * 8000.0) as i16);
    wav.extend(tone.flat_map(i16::to_le_bytes));
    wav
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let jobs: usize = arguments.next().map_or(Ok(2000), |text| text.parse())?;
    let queue: Arc<dyn Queue> = match arguments.next().filter(|queue| queue != "memory") {
        None => Arc::new(MemoryQueue::new()),
        Some(url) => {
            let prefix = format!("overhead-{}", std::process::id());
            let config = AmqpConfig { url: url.parse()?, prefix, ..AmqpConfig::default() };
            Arc::new(AmqpQueue::connect(config).await?)
        }
    };
    let root = tempfile::tempdir_in("/dev/shm")?;
    let folder = match arguments.next() {
        Some(prefix) => prefix.trim_end_matches('/').to_owned(),
        None => Location::from_path(root.path())?.to_string().trim_end_matches('/').to_owned(),
    };
    let fresh = arguments.next().is_some_and(|word| word == "fresh");
    let uri = |name: &str| format!("{folder}/{name}");
    let mut config = StoreConfig::default();
    config.s3.force_path_style = true;
    let stores = Arc::new(Stores::new(config)?);
    let batch = BatchId::generate();
    let records = records_prefix(&uri("out"), &batch);
    let wav = recording();
    let mut made = Vec::new();
    for number in 0..=jobs {
        let name = format!("{number:06}.wav");
        let (store, key) = stores.open(&uri(&name).parse()?)?;
        store.put(&key, wav.clone().into(), PutOptions::default()).await?;
        let output = uri(&format!("out/{name}"));
        let options = JobOptions::default();
        let job = Job::new(batch.clone(), uri(&name), output, records.clone(), options);
        made.push(Job { fresh, ..job });
    }

    let models = pipeline::Models {
        vad: Arc::new(EnergyVad),
        recognizer: Arc::new(FakeRecognizer::new("at-once", |_| "a few words".to_owned())),
        punctuator: None,
        diarizer: None,
        normalizer: None,
    };
    let pool = Arc::new(ComputePool::new(CORES)?);
    let pipeline = Pipeline::new(models, pipeline::PipelineConfig::default(), pool);
    let pipelines = vec![("preset".to_owned(), pipeline)];
    let transcriber = Transcriber::new(stores, pipelines, audio::DecodeOptions::default());
    let config = WorkerConfig {
        name: "overhead".to_owned(),
        sources: vec![folder.clone()],
        outputs: vec![folder],
        ..WorkerConfig::default()
    };
    let times = Arc::new(Times::default());
    let observers: Vec<Arc<dyn Observer>> = vec![times.clone()];
    let worker = Worker::new(queue.clone(), transcriber, config, CORES, observers)?;
    let drain = CancellationToken::new();
    let running = tokio::spawn(worker.run(drain.clone()));
    let run = async |job: Job| {
        let id = job.id.clone();
        times.published.lock().unwrap().insert(id.clone(), Instant::now());
        queue.publish(Message::new(id.clone(), job.to_vec())).await?;
        while times.published.lock().unwrap().contains_key(&id) {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        Ok::<_, queue::Error>(())
    };
    // The first job waits until the worker has declared its queues and subscribed.
    run(made.pop().unwrap()).await?;
    times.taken.lock().unwrap().clear();
    let (start, cpu) = (Instant::now(), cpu_seconds());
    // So many wait at a time that the worker never idles and the time is not that of a backlog.
    futures::stream::iter(made).map(Ok).try_for_each_concurrent(8, run).await?;
    let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    assert_eq!(queue.depth().await?, QueueDepth::default());
    drain.cancel();
    let summary = running.await??;
    assert_eq!(summary.done, jobs as u64 + 1, "{summary:?}");
    let mut taken = std::mem::take(&mut *times.taken.lock().unwrap());
    taken.sort_unstable();
    let at = |part: f64| taken[((taken.len() - 1) as f64 * part) as usize].as_secs_f64() * 1000.0;
    println!("{jobs} jobs in {wall:.1} s: {:.0} jobs/s", jobs as f64 / wall);
    println!("{:.2} ms of CPU per job", 1000.0 * cpu / jobs as f64);
    println!("publish to acknowledged: p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99));
    Ok(())
}
