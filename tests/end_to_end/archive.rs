//! Submission of many recordings: interrupted anywhere, from manifests, filtered, and as a dry run. What
//! is in the queue is compared with job ids that the tests compute themselves.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use futures::StreamExt;
use job::{BatchId, Job};
use queue::{Lane, Origin, Queue};
use serde_json::{Value, json};

use crate::{
    proxy::Proxy,
    services::{Bucket, Services},
    support::{Ran, Scriptorium, TIMEOUT, speech, without_models},
};

/// Messages that may be published twice after a crash: docs/jobs.md states the limit.
const MAX_TWICE: usize = 4000;

/// Recordings of the submission that is killed: in a folder, and in a prefix.
const FILES: usize = 20_000;
const OBJECTS: usize = 1500;
const TOTAL: usize = FILES + OBJECTS;

/// Takes all messages out of the queue of new jobs, which there should be for `expected` jobs. Returns
/// the jobs, and how often there is each.
async fn take_all(
    services: &Services,
    expected: usize,
) -> (BTreeMap<String, Job>, BTreeMap<String, usize>) {
    let queue = services.queue().await;
    let mut consumer = queue.consume(Origin::Jobs(Lane::Normal), 1000).await.unwrap();
    let (mut jobs, mut counts) = (BTreeMap::new(), BTreeMap::new());
    let start = Instant::now();
    loop {
        match tokio::time::timeout(Duration::from_secs(1), consumer.next()).await {
            Ok(Some(lease)) => {
                let job = Job::from_slice(&lease.message().body).unwrap();
                assert_eq!(job.id, lease.message().id);
                *counts.entry(job.id.clone()).or_default() += 1;
                jobs.insert(job.id.clone(), job);
                lease.ack().await.unwrap();
            }
            Ok(None) => panic!("the consumer has ended"),
            // The broker may be slow to deliver.
            Err(_) if jobs.len() < expected && start.elapsed() < TIMEOUT => {}
            Err(_) if queue.depth().await.unwrap().ready == 0 => break,
            Err(_) => {}
        }
    }
    consumer.stop().await;
    (jobs, counts)
}

/// Returns the id of the job, as docs/jobs.md says.
fn id(batch: &str, source: &str, output: &str) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(format!("{batch}\0{source}\0{output}"));
    hex::encode(&digest[..16])
}

/// Returns the ids of all lines of all parts of the batch's manifests.
async fn listed(bucket: &Bucket, out: &str, batch: &str) -> Vec<String> {
    let prefix = format!("{out}.scriptorium/{batch}/manifest/");
    let mut ids = Vec::new();
    for name in bucket.names(&prefix).await {
        let part = String::from_utf8(bucket.get(&format!("{prefix}{name}")).await).unwrap();
        let lines: Vec<Value> =
            part.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.last().unwrap()["cursor"].is_object(), "{name}");
        assert!(lines.len() <= 3001, "{name}: {}", lines.len());
        ids.extend(lines.iter().filter_map(|line| line["id"].as_str()).map(str::to_owned));
    }
    ids
}

async fn delete_queues(services: &Services) {
    services.queue().await.delete_queues().await.unwrap();
}

fn scriptorium(services: &Services) -> Scriptorium {
    services.scriptorium(Path::new("/nonexistent"))
}

/// Runs a command with this text on its standard input.
fn run_with_input(scriptorium: &Scriptorium, arguments: &[&str], input: &str) -> Ran {
    let mut command = scriptorium.command(arguments);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Ran::from(output)
}

/// A folder and a prefix are submitted by processes that are killed at random times. Whatever the time,
/// the jobs are complete, each is listed once, and few are published twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_submission_survives_kills_at_any_time() {
    let Some(services) = Services::of_test("killed") else { return };
    let bucket = services.bucket().await;
    let folder = tempfile::tempdir().unwrap();
    for number in 0..FILES {
        let folder = folder.path().join((number % 7).to_string());
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{number}.wav")), "").unwrap();
    }
    futures::stream::iter(0..OBJECTS)
        .for_each_concurrent(32, async |number| {
            bucket.put(&format!("in/b{number}.wav"), Vec::new()).await;
        })
        .await;
    let scriptorium = scriptorium(&services);
    let (prefix, out) = (services.uri("in/"), services.uri("out/"));
    let log = folder.path().join("log");
    for seed in [1, 2, 3] {
        let mut random = fastrand::Rng::with_seed(seed);
        let batch = BatchId::generate().to_string();
        let path = folder.path().to_str().unwrap();
        let first = ["submit", path, &prefix, "--out", &out, "--batch", &batch];
        let resume = ["submit", "--resume", &batch, "--out", &out];
        let mut kills = 0;
        let has_begun = async || {
            let submissions = format!("out/.scriptorium/{batch}/submission/");
            !bucket.names(&submissions).await.is_empty()
        };
        for _ in 0..random.usize(4..9) {
            let mut process = match has_begun().await {
                true => scriptorium.start(resume, &log),
                false => scriptorium.start(first, &log),
            };
            tokio::time::sleep(Duration::from_millis(random.u64(20..600))).await;
            process.signal("KILL");
            kills += usize::from(process.wait().is_none());
        }
        let last = if has_begun().await { &resume[..] } else { &first[..] };
        let ran = scriptorium.run(last).expect_code(0);
        println!("seed {seed}: {kills} kills; {}", ran.stderr.lines().last().unwrap_or(""));

        let mut expected = BTreeSet::new();
        for number in 0..FILES {
            let relative = format!("{}/{number}.wav", number % 7);
            let source = format!("file://{path}/{relative}");
            expected.insert(id(&batch, &source, &format!("{out}{relative}")));
        }
        for number in 0..OBJECTS {
            let source = format!("{prefix}b{number}.wav");
            expected.insert(id(&batch, &source, &format!("{out}b{number}.wav")));
        }
        let (jobs, counts) = take_all(&services, TOTAL).await;
        assert_eq!(jobs.len(), TOTAL, "seed {seed}");
        assert!(jobs.keys().eq(&expected), "seed {seed}");
        let published: usize = counts.values().sum();
        assert!(published - TOTAL <= MAX_TWICE * kills, "seed {seed}: {published}");
        let lines = listed(&bucket, "out/", &batch).await;
        assert_eq!(lines.len(), TOTAL, "seed {seed}");
        assert_eq!(lines.into_iter().collect::<BTreeSet<_>>(), expected, "seed {seed}");
        let record = bucket.get(&format!("out/.scriptorium/{batch}/batch.json")).await;
        let record: Value = serde_json::from_slice(&record).unwrap();
        assert_eq!(record["jobs"], TOTAL, "seed {seed}: {record}");
        let again = scriptorium.run(resume).expect_code(0);
        assert!(again.stderr.contains("nothing to resume"), "{}", again.stderr);
    }
    assert_eq!(
        services.queue().await.depth().await.unwrap().ready,
        0,
        "nothing was submitted again"
    );
    delete_queues(&services).await;
}

/// After Ctrl-C no message is published twice. Standard input, which is gone, can be given again.
#[tokio::test(flavor = "multi_thread")]
async fn a_submission_goes_on_after_ctrl_c() {
    let Some(services) = Services::of_test("interrupted") else { return };
    let bucket = services.bucket().await;
    let scriptorium = scriptorium(&services);
    let out = services.uri("out/");
    let rows: Vec<String> =
        (0..9000).map(|row| format!("{{\"source\": \"s3://calls/{row}.wav\"}}\n")).collect();
    let log = tempfile::NamedTempFile::new().unwrap();
    let batch = BatchId::generate().to_string();
    let mut command =
        scriptorium.command(["submit", "--manifest", "-", "--out", &out, "--batch", &batch]);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.stderr(log.reopen().unwrap()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    // More than one part, and not the end.
    input.write_all(rows[..5000].concat().as_bytes()).unwrap();
    let queue = services.queue().await;
    for _ in 0..300 {
        if queue.depth().await.unwrap().ready >= 4000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let signalled = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(signalled.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(input);
    let said = fs::read_to_string(log.path()).unwrap();
    assert!(said.contains(&format!("scriptorium submit --resume {batch}")), "{said}");

    // Without the input, what was read is submitted, and the rest is asked for. `--out` is recalled.
    let resume = ["submit", "--resume", &batch];
    let rest = scriptorium.run(resume).expect_code(1);
    assert!(rest.stderr.contains("4000 of its rows"), "{}", rest.stderr);
    let wrong = run_with_input(
        &scriptorium,
        &[&resume[..], &["--manifest", "-"]].concat(),
        &rows[..100].concat(),
    );
    assert!(wrong.stderr.contains("give the same manifest again"), "{}", wrong.stderr);
    let whole = run_with_input(
        &scriptorium,
        &[&resume[..], &["--manifest", "-", "--json"]].concat(),
        &rows.concat(),
    );
    let report = whole.expect_code(0).json();
    assert_eq!((&report["jobs"], &report["complete"]), (&9000.into(), &true.into()), "{report}");
    let (jobs, counts) = take_all(&services, 9000).await;
    assert_eq!((jobs.len(), counts.values().sum::<usize>()), (9000, 9000));
    assert_eq!(listed(&bucket, "out/", &batch).await.len(), 9000);
    delete_queues(&services).await;
}

/// Rows have their own outputs and options; bad ones are reported with their line.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_has_options_for_each_recording() {
    let Some(services) = Services::of_test("manifest") else { return };
    let bucket = services.bucket().await;
    let scriptorium = scriptorium(&services);
    let out = services.uri("out/");
    let table = "source,output,language,formats,speakers\r\n\
                 s3://calls/2024/a.wav,,de,\"srt,vtt\",2\r\n\
                 s3://calls/2024/b.wav,named/b,,,\r\n\
                 \r\n\
                 s3://calls/2024/c.wav,,Deutsch,,\r\n\
                 calls/d.wav,,,,\r\n\
                 s3://calls/2024/a.wav,,de,,\r\n\
                 s3://other/2024/a.wav,,,,\r\n\
                 /srv/e.wav,,,,\r\n";
    bucket.put("list.csv", table.as_bytes().to_vec()).await;
    let manifest = services.uri("list.csv");
    let submit = ["submit", "--manifest", &manifest, "--out", &out, "--language", "en", "--json"];
    let ran = scriptorium.run(submit).expect_code(1);
    let report = ran.json();
    assert_eq!((&report["jobs"], &report["failed"]), (&3.into(), &3.into()), "{report}");
    for mention in [
        "line 5: ",
        "option `language`",
        "line 6: ",
        "URI or its absolute path",
        "line 8: ",
        "would replace that of s3://calls/2024/a.wav",
    ] {
        assert!(ran.stderr.contains(mention), "{mention}: {}", ran.stderr);
    }
    let (jobs, _) = take_all(&services, 3).await;
    let found: BTreeMap<_, _> = jobs
        .values()
        .map(|job| (job.output.strip_prefix(&out).unwrap(), json!(job.options)))
        .collect();
    let expected = BTreeMap::from([
        (
            "2024/a.wav",
            json!({"language": "de", "formats": ["srt", "vtt"], "speakers": {"count": 2}}),
        ),
        ("named/b", json!({"language": "en"})),
        ("srv/e.wav", json!({"language": "en"})),
    ]);
    assert_eq!(found, expected);

    // The options survive a resumption: all is published again if no progress was recorded.
    let batch = report["batch"].as_str().unwrap();
    let submissions = format!("out/.scriptorium/{batch}/submission/");
    for name in bucket.names(&submissions).await {
        if name.ends_with(".progress") {
            bucket.store.delete(&bucket.key(&format!("{submissions}{name}"))).await.unwrap();
        }
    }
    scriptorium.run(["submit", "--resume", batch]).expect_code(1);
    assert_eq!(take_all(&services, 3).await.0, jobs);

    let unknown = "source,lang\ns3://calls/a.wav,en\n";
    let refused = run_with_input(
        &scriptorium,
        &["submit", "--manifest", "-", "--manifest-format", "csv", "--out", &out],
        unknown,
    );
    assert!(refused.expect_code(2).stderr.contains("no column \"lang\""));
    for usage in [
        &["submit", "--resume", batch, "--language", "en"][..],
        &["submit", "--resume", batch, "--include", "*.wav"],
        &["submit", "--manifest", "a.csv", "b.wav", "--out", "x"],
        &["submit", "--out", "x"],
        &["submit", "a.wav"],
        &["submit", "a.wav", "--out", "x", "--include", "[a"],
    ] {
        scriptorium.run(usage).expect_code(2);
    }
    delete_queues(&services).await;
}

fn write_at(path: &Path, seconds_ago: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = fs::File::create(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(seconds_ago)).unwrap();
}

/// Recordings are chosen by path, by age, and by whether there is a transcript.
#[tokio::test(flavor = "multi_thread")]
async fn recordings_are_filtered() {
    let Some(services) = Services::of_test("filtered") else { return };
    let scriptorium = scriptorium(&services);
    let folder = tempfile::tempdir().unwrap();
    let (recordings, texts) = (folder.path().join("in"), folder.path().join("out"));
    for (name, hours) in [("new.wav", 1), ("old.wav", 50), ("tmp/new.wav", 1), ("new.mp3", 1)] {
        write_at(&recordings.join(name), hours * 3600);
    }
    let out = texts.to_str().unwrap();
    let submit = |flags: &[&str]| {
        let base = ["submit", recordings.to_str().unwrap(), "--out", out, "--json"];
        scriptorium.run([&base, flags].concat()).expect_code(0).json()
    };
    let filters = ["--include", "*.wav", "--exclude", "tmp/", "--newer-than", "2d"];
    let report = submit(&filters);
    let reasons = json!({"too_old": 1, "excluded": 1, "not_included": 1});
    assert_eq!(report["ignored_by_reason"], reasons, "{report}");
    let names = async |expected| -> Vec<String> {
        let (jobs, _) = take_all(&services, expected).await;
        let name = |job: &Job| job.source.reveal().split_once("/in/").unwrap().1.to_owned();
        let mut names: Vec<_> = jobs.values().map(name).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(1).await, ["new.wav"]);

    // A transcript as old as its recording, a younger one, and an older one.
    let transcript = |name: &str| texts.join(format!("{name}.json"));
    write_at(&transcript("new.wav"), 1800);
    write_at(&transcript("tmp/new.wav"), 2 * 3600);
    write_at(&transcript("old.wav"), 10);
    let report = submit(&["--skip-existing"]);
    assert_eq!((&report["jobs"], &report["up_to_date"]), (&2.into(), &2.into()), "{report}");
    assert_eq!(names(2).await, ["new.mp3", "tmp/new.wav"]);
    delete_queues(&services).await;
}

/// The same in S3, whose listing states the times.
#[tokio::test(flavor = "multi_thread")]
async fn objects_with_a_transcript_are_left_out() {
    let Some(services) = Services::of_test("existing") else { return };
    let bucket = services.bucket().await;
    for name in ["in/done.wav", "in/replaced.wav", "out/done.wav.json", "out/replaced.wav.json"] {
        bucket.put(name, b"x".to_vec()).await;
    }
    tokio::time::sleep(Duration::from_millis(1100)).await;
    bucket.put("in/replaced.wav", b"y".to_vec()).await;
    let (prefix, out) = (services.uri("in/"), services.uri("out/"));
    let submit = ["submit", &prefix, "--out", &out, "--skip-existing", "--json"];
    let report = scriptorium(&services).run(submit).expect_code(0).json();
    assert_eq!((&report["jobs"], &report["up_to_date"]), (&1.into(), &1.into()), "{report}");
    let (jobs, _) = take_all(&services, 1).await;
    assert!(jobs.values().all(|job| job.source.reveal().ends_with("/replaced.wav")), "{jobs:?}");
    delete_queues(&services).await;
}

/// A dry run needs no queue, writes nothing, and estimates the work.
#[test]
fn a_dry_run_writes_nothing() {
    let (_models, scriptorium) = without_models();
    let folder = tempfile::tempdir().unwrap();
    let recordings = folder.path().join("in");
    fs::create_dir_all(&recordings).unwrap();
    for number in 0..12 {
        fs::copy(speech("sentence.wav"), recordings.join(format!("{number}.wav"))).unwrap();
    }
    fs::copy(speech("sentence.mp3"), recordings.join("a.mp3")).unwrap();
    fs::write(recordings.join("broken.flac"), "no flac").unwrap();
    fs::write(recordings.join("notes.txt"), "").unwrap();
    let (path, out) = (recordings.to_str().unwrap(), folder.path().join("out"));
    let submit = ["submit", path, "--out", out.to_str().unwrap(), "--dry-run", "--speed", "10"];
    let text = scriptorium.run(submit).expect_code(0).stdout;
    assert!(text.contains("14 jobs would be submitted"), "{text}");
    assert!(text.contains("1 without the extension of a recording"), "{text}");
    let report = scriptorium.run([&submit[..], &["--json"]].concat()).expect_code(0).json();
    assert_eq!((&report["jobs"], &report["ignored"]), (&14.into(), &1.into()), "{report}");
    assert_eq!((&report["sampled"], &report["not_estimated"]), (&6.into(), &1.into()), "{report}");
    let bytes: u64 = fs::read_dir(&recordings)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert_eq!(report["bytes"], bytes, "the text has no byte");
    let seconds = crate::support::sentence_samples().len() as f64 / 16_000.0;
    let hours = report["audio_hours"].as_f64().unwrap();
    assert!((hours * 3600.0 - 13.0 * seconds).abs() < 0.1 * seconds, "{report}");
    let core_hours = report["core_hours"].as_f64().unwrap();
    assert!((core_hours * 10.0 - hours).abs() < 1e-9, "{report}");
    assert!(!out.exists());

    // From a manifest, which is not looked up.
    let manifest = folder.path().join("list.jsonl");
    let row = json!({"source": recordings.join("1.wav")});
    fs::write(&manifest, format!("{row}\n{}\n", json!({"source": "s3://calls/a.opus"}))).unwrap();
    let arguments = [
        "submit",
        "--manifest",
        manifest.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--dry-run",
        "--json",
    ];
    let report = scriptorium.run(arguments).expect_code(0).json();
    assert_eq!((&report["jobs"], &report["bytes"]), (&2.into(), &Value::Null), "{report}");
    assert!(!out.exists());
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let nothing = ["submit", empty.to_str().unwrap(), "--out", "x", "--dry-run"];
    scriptorium.run(nothing).expect_code(1);
}

/// A broker that goes away for a while delays a submission, and a store that does so ends it with the
/// command that continues it. Neither loses anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_submission_survives_outages() {
    let Some(services) = Services::of_test("outages") else { return };
    let bucket = services.bucket().await;
    let broker = services.amqp_url.rsplit(['@', '/']).nth(1).unwrap();
    let mut broker_proxy = Proxy::start(broker).await;
    let url = services.amqp_url.replace(broker, &broker_proxy.address());
    let directory = tempfile::tempdir().unwrap();
    let (manifest, log) = (directory.path().join("list.jsonl"), directory.path().join("log"));
    let rows: String =
        (0..30_000).map(|row| format!("{{\"source\": \"s3://calls/{row}.wav\"}}\n")).collect();
    fs::write(&manifest, rows).unwrap();
    let out = services.uri("out/");
    let batch = BatchId::generate().to_string();
    let through_proxy = scriptorium(&services).with("SCRIPTORIUM__QUEUE__URL", &url);
    let submit =
        ["submit", "--manifest", manifest.to_str().unwrap(), "--out", &out, "--batch", &batch];
    let mut process = through_proxy.start(submit, &log);
    let queue = services.queue().await;
    let mut ready = 0;
    for _ in 0..600 {
        ready = queue.depth().await.unwrap().ready;
        if ready >= 2000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    broker_proxy.cut().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    broker_proxy.restore().await;
    assert_eq!(process.wait(), Some(0), "{}", fs::read_to_string(&log).unwrap());
    println!("cut after {ready} jobs");
    let (jobs, counts) = take_all(&services, 30_000).await;
    assert_eq!(jobs.len(), 30_000);
    // The broker may have had those in flight when the connection broke.
    assert!(counts.values().sum::<usize>() <= 30_000 + 512, "{ready}");

    let mut store_proxy = Proxy::start(services.s3_address()).await;
    let endpoint = format!("http://{}", store_proxy.address());
    let through_proxy = scriptorium(&services).with("SCRIPTORIUM__STORE__S3__ENDPOINT", &endpoint);
    let batch = BatchId::generate().to_string();
    let submit =
        ["submit", "--manifest", manifest.to_str().unwrap(), "--out", &out, "--batch", &batch];
    let mut process = through_proxy.start(submit, &log);
    for _ in 0..600 {
        if queue.depth().await.unwrap().ready >= 2000 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    store_proxy.cut().await;
    let said = || fs::read_to_string(&log).unwrap();
    let code = process.wait();
    if code == Some(1) {
        assert!(said().contains(&format!("submit --resume {batch}")), "{}", said());
        scriptorium(&services).run(["submit", "--resume", &batch, "--out", &out]).expect_code(0);
    } else {
        assert_eq!(code, Some(0), "{}", said());
        println!("the submission was faster than the outage");
    }
    let (jobs, counts) = take_all(&services, 30_000).await;
    assert_eq!(jobs.len(), 30_000);
    assert!(counts.values().sum::<usize>() <= 30_000 + MAX_TWICE);
    assert_eq!(listed(&bucket, "out/", &batch).await.len(), 30_000);
    queue.delete_queues().await.unwrap();
}
