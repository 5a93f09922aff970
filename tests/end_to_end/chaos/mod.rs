//! Chaos: a fleet on real services does mixed jobs while workers are killed, the broker stops, connections
//! break, the store fails, messages come twice and clocks are wrong. Every job ends as it must, once, and
//! nothing is left over.
//!
//! A seed decides the jobs and what goes wrong when; the processes' own timing differs between runs.
//! `SCRIPTORIUM_TEST_CHAOS_SEED` and `SCRIPTORIUM_TEST_CHAOS_JOBS` change seed and number of jobs;
//! `SCRIPTORIUM_TEST_CHAOS_KEEP=1` keeps the workers' logs also if nothing is wrong.

mod broker;
mod faults;
mod fleet;
mod gateway;
mod oracle;
mod recordings;
mod report;
mod scene;
mod workload;
mod world;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use self::{oracle::Outcomes, report::Report, scene::Scene};
use crate::{
    services::Services,
    support::{Scriptorium, models},
};

/// Time that jobs have to end when nothing goes wrong any more, and more for each job.
const CALM: Duration = Duration::from_secs(300);
const CALM_PER_JOB: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn every_job_ends_once_whatever_goes_wrong() {
    run(12, 60).await;
}

/// The same for longer. Run by hand, with some seeds: see docs/benchmarks.md.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn five_hundred_jobs_end_once_whatever_goes_wrong() {
    run(1, 500).await;
}

/// Returns a number from the environment.
fn setting(name: &str, default: u64) -> u64 {
    let set = std::env::var(format!("SCRIPTORIUM_TEST_CHAOS_{name}")).ok();
    set.map_or(default, |value| value.parse().unwrap())
}

async fn run(seed: u64, jobs: u64) {
    let (Some(models), Some(services)) = (models(), Services::of_test("chaos")) else { return };
    let (seed, count) = (setting("SEED", seed), usize::try_from(setting("JOBS", jobs)).unwrap());
    println!("chaos: SCRIPTORIUM_TEST_CHAOS_SEED={seed} SCRIPTORIUM_TEST_CHAOS_JOBS={count}");
    let directory = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut scene = Scene::set(&services, directory.path(), &mut random, count).await;
    let schedule = faults::schedule(&mut random, scene.slots.len(), count);
    schedule.iter().for_each(|scheduled| println!("chaos: planned at {scheduled}"));
    let direct = configured(&services, &models, &scene);
    let references = recordings::references(&direct, directory.path());
    scene.submit(&direct, directory.path()).await;

    let begin = Instant::now();
    scene.begin = begin;
    let (scene, stopping) = (Arc::new(scene), CancellationToken::new());
    let mut supervisors = Vec::new();
    for slot in &scene.slots {
        slot.gateway.fail(faults::USUAL_PERCENT);
        let worker = through(&services, &models, &scene, slot).await;
        let (slot, report) = (Arc::clone(slot), Arc::clone(&scene.report));
        let supervised = slot.supervise(Arc::new(worker), stopping.clone(), report);
        supervisors.push(tokio::spawn(supervised));
    }
    let hunter = tokio::spawn({
        let scene = Arc::clone(&scene);
        async move { scene.hunt().await }
    });
    faults::inflict(&scene, schedule).await;
    println!("chaos: {:5.1} s: calm", begin.elapsed().as_secs_f64());
    scene.slots.iter().for_each(|slot| slot.gateway.fail(0));
    wait_for_end(&scene).await;
    hunter.abort();
    let seconds = begin.elapsed().as_secs_f64();
    stopping.cancel();
    for supervisor in supervisors {
        supervisor.await.unwrap();
    }
    let outcomes = oracle::check(&scene, &references, &direct).await;
    print(&scene, &outcomes, seconds);
    if scene.report.has_failed() {
        let violations = scene.report.violations().join("\n");
        let kept = directory.keep();
        panic!("seed {seed}, logs in {}:\n{violations}", kept.display());
    }
    if setting("KEEP", 0) > 0 {
        println!("chaos: logs in {}", directory.keep().display());
    }
}

/// Returns the binary with the configuration of this fleet, and ways to all services that do not fail.
fn configured(services: &Services, models: &Path, scene: &Scene) -> Scriptorium {
    let sources = [scene.places.uri("in/"), format!("s3://{}/", scene.places.locked)].join(",");
    let outputs = [scene.places.uri("out/"), format!("s3://no-bucket-of-{}/", scene.places.bucket)];
    services
        .scriptorium(models)
        .with("SCRIPTORIUM__QUEUE__URL", &scene.broker.url)
        .with("SCRIPTORIUM__QUEUE__HEARTBEAT_SECONDS", "2")
        // So short that messages are parked.
        .with("SCRIPTORIUM__QUEUE__LEASE_SECONDS", "3")
        .with("SCRIPTORIUM__QUEUE__PUBLISH_TIMEOUT_SECONDS", "10")
        .with("SCRIPTORIUM__STORE__S3__CONNECT_TIMEOUT_SECONDS", "1")
        .with("SCRIPTORIUM__STORE__S3__READ_TIMEOUT_SECONDS", "2")
        .with("SCRIPTORIUM__STORE__S3__OPERATION_TIMEOUT_SECONDS", "10")
        .with("SCRIPTORIUM__STORE__S3__MAX_ATTEMPTS", "2")
        .with("SCRIPTORIUM__AUDIO__MAX_BYTES", &recordings::MAX_BYTES.to_string())
        .with("SCRIPTORIUM__AUDIO__MAX_SECONDS", &recordings::MAX_SECONDS.to_string())
        .with("SCRIPTORIUM__WORKER__SOURCES", &sources)
        .with("SCRIPTORIUM__WORKER__OUTPUTS", &outputs.join(","))
        // A store that fails at random fails some requests of a job again and again.
        .with("SCRIPTORIUM__WORKER__RETRY_DELAYS", "1,1,1,1,1,1,1,1")
        .with("SCRIPTORIUM__WORKER__MAX_CRASHES", &oracle::MAX_CRASHES.to_string())
        .with("SCRIPTORIUM__WORKER__LONG_SECONDS", "60")
        .with("SCRIPTORIUM__WORKER__CHECKPOINT_SECONDS", "1")
        .with("SCRIPTORIUM__WORKER__WRITE_PATIENCE_SECONDS", "2")
        .with("SCRIPTORIUM__WORKER__DRAIN_SECONDS", "2")
        .with("SCRIPTORIUM__LOG__LEVEL", "info,worker=debug,queue=debug")
}

/// Returns the binary of one worker, whose ways to the services fail.
async fn through(
    services: &Services,
    models: &Path,
    scene: &Scene,
    slot: &fleet::Slot,
) -> Scriptorium {
    let url = scene.broker.url.replace(&scene.broker.address(), &slot.broker_address().await);
    let endpoint = format!("http://{}", slot.gateway.address());
    configured(services, models, scene)
        .with("SCRIPTORIUM__QUEUE__URL", &url)
        .with("SCRIPTORIUM__STORE__S3__ENDPOINT", &endpoint)
}

/// Waits until all jobs have ended and all queues are empty but that of the dead letters.
async fn wait_for_end(scene: &Scene) {
    let begin = Instant::now();
    let patience = CALM + CALM_PER_JOB * u32::try_from(scene.jobs.len()).unwrap();
    let dead = format!("{}.dead", scene.queue_prefix);
    loop {
        let open = scene.open().await;
        let queues: Vec<_> = match open.len() {
            0 => scene.broker.queues().into_iter().collect(),
            _ => Vec::new(),
        };
        let full: Vec<_> =
            queues.iter().filter(|(name, messages)| *name != dead && *messages > 0).collect();
        if open.is_empty() && full.is_empty() {
            return;
        }
        if begin.elapsed() > patience {
            let open: Vec<_> = open.iter().map(|job| &job.source).collect();
            let report = &scene.report;
            return report
                .violation(format!("after {patience:?}, open: {open:?}; queues: {full:?}"));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// Prints what happened, for whoever looks at a failure, and for docs/benchmarks.md.
fn print(scene: &Scene, outcomes: &Outcomes, seconds: f64) {
    println!("chaos: {seconds:.0} s for {} jobs; {outcomes:?}", scene.jobs.len());
    for (what, count) in scene.report.counts() {
        println!("chaos: {count:5} x {what}");
    }
    println!("chaos: {} requests to the store, of which failed:", scene.journal.requests());
    for (what, count) in scene.journal.faults() {
        println!("chaos: {count:5} x {what}");
    }
}
