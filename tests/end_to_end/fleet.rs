//! A fleet of workers: jobs of mixed formats through RabbitMQ and S3, while one worker is killed.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use queue::Queue;
use serde_json::Value;

use crate::{
    services::{Bucket, Services},
    support::{Process, SENTENCE, SENTENCES, Scriptorium, models, speech, text_of},
};

const GOOD: usize = 100;
const TIMEOUT: Duration = Duration::from_secs(600);

/// Objects that cannot be transcribed, and the code of their failure.
fn bad() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let flac = fs::read(speech("sentence.flac")).unwrap();
    vec![
        ("bad/empty.wav", Vec::new(), "audio_empty"),
        ("bad/diary.wav", b"Dear diary, this is not a recording.\n".to_vec(), "audio_unrecognized"),
        ("bad/cut.flac", flac[..flac.len() / 2].to_vec(), "audio_truncated"),
    ]
}

fn wait_for(what: &str, logs: &[&Path], mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        let logs = || logs.iter().map(|log| fs::read_to_string(log).unwrap_or_default());
        assert!(start.elapsed() < TIMEOUT, "no {what}: {}", logs().collect::<String>());
        std::thread::sleep(Duration::from_millis(500));
    }
}

async fn upload(bucket: &Bucket) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for index in 0..GOOD {
        let sentence = SENTENCES[index % SENTENCES.len()];
        let name = format!("{:02}/{index:03}-{sentence}", index % 7);
        bucket.put(&format!("in/{name}"), fs::read(speech(sentence)).unwrap()).await;
        names.insert(name);
    }
    for (name, body, _) in bad() {
        bucket.put(&format!("in/{name}"), body).await;
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_jobs_survive_the_death_of_a_worker() {
    let (Some(models), Some(services)) = (models(), Services::of_test("fleet")) else { return };
    let bucket = services.bucket().await;
    let names = upload(&bucket).await;
    let scriptorium = services.scriptorium(&models);
    let submitted = scriptorium
        .run([
            "submit",
            &services.uri("in/"),
            "--out",
            &services.uri("out/"),
            "--format",
            "srt",
            "--json",
        ])
        .expect_code(0)
        .json();
    assert_eq!(submitted["jobs"], GOOD + bad().len(), "{submitted}");
    let batch = submitted["batch"].as_str().unwrap();

    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let worker = || scriptorium.start(["worker", "--threads", "1"], &log);
    let (victim, mut survivor) = (worker(), worker());
    let logs = [log.as_path()];
    wait_for("progress", &logs, || scriptorium.status(batch)["done"].as_u64() > Some(40));
    victim.signal("KILL");
    drop(victim);
    let at_death = scriptorium.status(batch);
    assert!(at_death["done"].as_u64() < Some(GOOD as u64), "{at_death}");
    let total = (GOOD + bad().len()) as u64;
    wait_for("end", &logs, || {
        let status = scriptorium.status(batch);
        status["done"].as_u64().unwrap() + status["failed"].as_u64().unwrap() == total
    });
    drain(&mut survivor, &log);

    let status = scriptorium.status(batch);
    assert_eq!(status["done"], GOOD, "{status}");
    assert_eq!(status["failed"], bad().len(), "{status}");
    assert_eq!((&status["queued"], &status["running"]), (&0.into(), &0.into()), "{status}");
    check_results(&scriptorium, &services, batch, &names);
    check_transcripts(&bucket, &names).await;
    check_queues(&services).await;
}

/// Checks that `results` lists every transcript once, and with `--json` every job with its state.
fn check_results(
    scriptorium: &Scriptorium,
    services: &Services,
    batch: &str,
    names: &BTreeSet<String>,
) {
    let listed = scriptorium.run(["results", batch]).expect_code(0).stdout;
    let mut listed: Vec<_> = listed.lines().map(str::to_owned).collect();
    listed.sort();
    let mut expected: Vec<_> =
        names.iter().map(|name| services.uri(&format!("out/{name}.json"))).collect();
    expected.sort();
    assert_eq!(listed, expected);
    let lines = scriptorium.run(["results", batch, "--json"]).expect_code(0).stdout;
    let states: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["state"].as_str().unwrap().into())
        .collect();
    let count = |state: &str| states.iter().filter(|found| *found == state).count();
    assert_eq!(
        (count("done"), count("failed"), states.len()),
        (GOOD, bad().len(), GOOD + bad().len())
    );
}

fn drain(worker: &mut Process, log: &Path) {
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0), "{}", fs::read_to_string(log).unwrap());
}

/// Checks that every recording has one transcript with the right words, and that no other objects
/// exist.
async fn check_transcripts(bucket: &Bucket, names: &BTreeSet<String>) {
    let written: BTreeSet<_> = bucket.names("out/").await.into_iter().collect();
    let mut expected: BTreeSet<_> =
        names.iter().flat_map(|name| [format!("{name}.json"), format!("{name}.srt")]).collect();
    expected.extend(bad().iter().map(|(name, _, _)| format!("{name}.error.json")));
    let records = |name: &&String| name.starts_with(".scriptorium/");
    assert_eq!(written.iter().filter(|n| !records(n)).cloned().collect::<BTreeSet<_>>(), expected);
    let done = written.iter().filter(|name| name.contains("/done/")).count();
    assert_eq!(done, GOOD, "one record for each");
    for name in names {
        let body = bucket.get(&format!("out/{name}.json")).await;
        let transcript: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(text_of(&transcript), SENTENCE, "{name}");
    }
}

/// Checks that only the dead letters are left, each with its reason.
async fn check_queues(services: &Services) {
    let queue = services.queue().await;
    let depth = queue.depth().await.unwrap();
    assert_eq!((depth.ready, depth.delayed), (0, 0), "{depth:?}");
    let letters = queue.take_dead_letters(1000).await.unwrap();
    let reasons: BTreeSet<_> = letters
        .iter()
        .map(|letter| {
            let job: Value = serde_json::from_slice(&letter.message.body).unwrap();
            let source = job["source"].as_str().unwrap();
            let name = source.split_once("/in/").unwrap().1.to_owned();
            (name, letter.reason.code.clone())
        })
        .collect();
    let expected: BTreeSet<_> =
        bad().into_iter().map(|(name, _, code)| (name.to_owned(), code.to_owned())).collect();
    assert_eq!(reasons, expected);
    assert_eq!(letters.len(), expected.len());
    queue.delete_queues().await.unwrap();
}
