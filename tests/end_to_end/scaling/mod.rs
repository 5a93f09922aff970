//! A fleet that KEDA would scale: from no worker to four and back, over a batch of which nothing is lost and
//! nothing done twice, although one worker is lost and others are stopped in the middle of their jobs.

mod autoscaler;
mod supervisor;

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use queue::{Queue, QueueDepth};
use serde_json::Value;

use self::{
    autoscaler::{Autoscaler, Settings},
    supervisor::Supervisor,
};
use crate::{
    services::{Bucket, Services, variable},
    support::{SENTENCE, long_recording, models, speech, text_of},
};

const SHORT: usize = 54;
/// Recordings that are still being transcribed when the others are done.
const LONG: usize = 6;
/// Sentences in a long one.
const SENTENCES: usize = 16;
const WORKERS: usize = 4;
/// How often the supervisor looks. KEDA does every 30 s, the horizontal pod autoscaler every 15 s.
const INTERVAL: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(300);
/// How long the fleet stays at zero afterwards: longer than a watch waits for its next look.
const QUIET: Duration = Duration::from_secs(5);

fn settings() -> Settings {
    Settings {
        // Twice the jobs that a worker with one thread holds, so that some are stopped in the middle of theirs.
        messages_per_worker: 4,
        max_workers: WORKERS,
        stabilization: Duration::from_millis(1500),
        // Longer than two seconds, for which a watch waits in a queue that is not counted. (The broker's numbers
        // are up to five seconds old, which adds to it.)
        cooldown: Duration::from_secs(6),
    }
}

async fn upload(services: &Services) -> Bucket {
    let bucket = services.bucket().await;
    let directory = tempfile::tempdir().unwrap();
    let long = long_recording(directory.path(), SENTENCES);
    for number in 0..LONG {
        bucket.put(&format!("in/tail-{number}.wav"), long.clone()).await;
    }
    let short = fs::read(speech("sentence.opus")).unwrap();
    for number in 0..SHORT {
        bucket.put(&format!("in/short-{number:02}.opus"), short.clone()).await;
    }
    bucket
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_scales_from_zero_to_four_and_back() {
    let (Some(models), Some(services)) = (models(), Services::of_test("scaling")) else { return };
    let Some(management) = variable("SCRIPTORIUM_TEST_AMQP_MANAGEMENT_URL") else { return };
    let bucket = upload(&services).await;
    let scriptorium = services
        .scriptorium(&models)
        // Announcing the end of the batch takes a watch, which needs a worker after the last job.
        .with("SCRIPTORIUM__WORKER__EVENTS", "confirmed")
        .with("SCRIPTORIUM__WORKER__DRAIN_SECONDS", "1");
    let (recordings, out) = (services.uri("in/"), services.uri("out/"));
    let submit = ["submit", &recordings, "--out", &out, "--json"];
    let submitted = scriptorium.run(submit).expect_code(0).json();
    let batch = submitted["batch"].as_str().unwrap();
    assert_eq!(submitted["jobs"], SHORT + LONG, "{submitted}");

    let directory = tempfile::tempdir().unwrap();
    let autoscaler = Autoscaler::new(settings());
    let mut fleet =
        Supervisor::new(&scriptorium, &services, &management, autoscaler, directory.path());
    let begin = Instant::now();
    let mut most = 0;
    let mut is_lost = false;
    loop {
        let workers = fleet.step().await;
        most = most.max(workers);
        if most > 0 && workers == 0 {
            break;
        }
        if !is_lost && fleet.lines(&["done"])["done"].len() > SHORT / 4 {
            fleet.lose_a_worker();
            is_lost = true;
        }
        let status = || scriptorium.status(batch);
        assert!(begin.elapsed() < PATIENCE, "{} {}", status(), fleet.report());
        tokio::time::sleep(INTERVAL).await;
    }
    // Nothing was left when the last worker was told to stop, the watch included.
    let queue = services.queue().await;
    assert_eq!(queue.depth().await.unwrap(), QueueDepth::default());
    let status = scriptorium.status(batch);
    assert_eq!(status["done"], SHORT + LONG, "{status}");
    assert_eq!(status["notifications"][0]["complete"], true, "{status}");

    let started = fleet.started;
    let begin = Instant::now();
    while begin.elapsed() < QUIET || fleet.processes() > 0 {
        assert_eq!(fleet.step().await, 0, "a worker is started for nothing");
        assert!(begin.elapsed() < PATIENCE, "a worker does not end");
        tokio::time::sleep(INTERVAL).await;
    }
    if let Some(path) = std::env::var_os("SCRIPTORIUM_TEST_SCALING_REPORT") {
        fs::write(path, fleet.report().to_string()).unwrap();
    }
    assert_eq!((most, fleet.started), (WORKERS, started), "four, and none afterwards");
    check_life(&fleet);
    check_results(&bucket, batch).await;
    queue.delete_queues().await.unwrap();
}

/// Checks that the workers did what was to be rehearsed, and transcribed nothing twice.
fn check_life(fleet: &Supervisor<'_>) {
    let interrupted = "drain time is over: interrupting jobs";
    let suspected = "a worker was lost while it ran this job: it will be run alone";
    let lines = fleet.lines(&["done", interrupted, suspected]);
    assert!(!lines[suspected].is_empty(), "the lost worker had no job");
    assert!(!lines[interrupted].is_empty(), "no worker was stopped in the middle of a job");
    assert!(fleet.started > WORKERS, "the lost worker was not replaced");
    let mut times = BTreeMap::<_, usize>::new();
    for line in lines["done"].iter().filter(|line| line["up_to_date"] == false) {
        *times.entry(line["transcript"].as_str().unwrap()).or_default() += 1;
    }
    let twice: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "transcribed more than once: {twice:?}");
}

/// Checks that each recording has one transcript, the right one, and that nothing else is left.
async fn check_results(bucket: &Bucket, batch: &str) {
    let records = bucket.names(&format!("out/.scriptorium/{batch}/")).await;
    let of = |kind: &str| records.iter().filter(|name| name.starts_with(kind)).count();
    let found = ["done/", "running/", "failed/", "checkpoint/"].map(of);
    assert_eq!(found, [SHORT + LONG, 0, 0, 0], "{records:?}");
    let names = bucket.names("out/").await;
    let names: Vec<_> = names.iter().filter(|name| !name.starts_with(".scriptorium/")).collect();
    assert_eq!(names.len(), SHORT + LONG, "{names:?}");
    let mut long = Vec::new();
    for name in names {
        let transcript: Value =
            serde_json::from_slice(&bucket.get(&format!("out/{name}")).await).unwrap();
        if name.starts_with("short-") {
            assert_eq!(text_of(&transcript), SENTENCE, "{name}");
        } else {
            long.push(transcript["segments"].clone());
        }
    }
    // They are the same recording, and whoever was interrupted has made the same of it.
    assert!(long.iter().all(|segments| *segments == long[0]), "{long:?}");
    assert_eq!(long.len(), LONG);
}
