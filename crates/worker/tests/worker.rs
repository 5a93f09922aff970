//! Tests of the worker with an in-memory queue, local files and a scripted recognizer.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use job::{BatchId, Failed, Job, JobOptions, RECORDS_VERSION, records_prefix};
use ledger::Ledger;
use location::Location;
use queue::{Lane, MemoryQueue, Message, Origin, Queue};
use support::{Fleet, counted, read, wait_until, windows, write_speech};
use tokio_util::sync::CancellationToken;
use worker::{Announcements, WorkerConfig};

const JOBS: Origin = Origin::Jobs(Lane::Normal);

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
    assert!(
        Path::new(&root.path().join("out/.scriptorium"))
            .join(job.batch.as_ref().unwrap().as_str())
            .is_dir()
    );
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
    let records = root.path().join("out/.scriptorium").join(job.batch.as_ref().unwrap().as_str());
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
    let done = root
        .path()
        .join("out/.scriptorium")
        .join(job.batch.as_ref().unwrap().as_str())
        .join("done");
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

/// Nobody transcribes an archive anew for a format.
#[tokio::test(flavor = "multi_thread")]
async fn a_transcript_of_version_1_is_up_to_date_and_rendered() {
    let (calls, script) = counted(Duration::ZERO);
    let fleet = Fleet::new(script);
    let ended = CancellationToken::new();
    let running = tokio::spawn(fleet.worker().run(ended.clone()));
    write_speech(&fleet.path("a.wav"), 3);
    let done = async |formats: BTreeSet<job::Format>| {
        let job = fleet.job("a.wav", JobOptions { formats, ..JobOptions::default() });
        fleet.queue.publish(Message::new(job.id.clone(), job.to_vec())).await.unwrap();
        wait_until("the job is done", async || fleet.is_done(&job)).await;
    };
    done(BTreeSet::new()).await;
    // As the release before wrote it.
    let output = fleet.path("out/a.wav.json");
    let mut json: serde_json::Value = serde_json::from_slice(&fs::read(&output).unwrap()).unwrap();
    json["version"] = 1.into();
    let fields = json.as_object_mut().unwrap();
    for added in ["language", "text", "speakers"] {
        fields.remove(added);
    }
    for segment in json["segments"].as_array_mut().unwrap() {
        segment.as_object_mut().unwrap().remove("id");
    }
    fs::write(&output, serde_json::to_vec_pretty(&json).unwrap()).unwrap();
    let before = read(&output);
    done([job::Format::Txt, job::Format::WhisperJson].into()).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1, "the recording was transcribed again");
    // It is written again, with the digests of its new renderings.
    let after = read(&output);
    assert_eq!((&after.segments, &after.processing), (&before.segments, &before.processing));
    assert_eq!((after.version, after.renderings.len()), (transcript::SCHEMA_VERSION, 2));
    assert_eq!(fs::read_to_string(fleet.path("out/a.wav.txt")).unwrap(), "word\n");
    let whisper = fs::read(fleet.path("out/a.wav.whisper.json")).unwrap();
    let whisper: serde_json::Value = serde_json::from_slice(&whisper).unwrap();
    assert_eq!((&whisper["text"], &whisper["language"]), (&" word".into(), &"en".into()));
    // With another fingerprint, it is not.
    json["pipeline"]["fingerprint"] = "0".into();
    fs::write(&output, json.to_string()).unwrap();
    done(BTreeSet::new()).await;
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert_eq!(read(&output).version, transcript::SCHEMA_VERSION);
    ended.cancel();
    assert_eq!(running.await.unwrap().unwrap().failed, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_job_replaces_an_older_transcript_that_has_come_since() {
    let (calls, script) = counted(Duration::ZERO);
    let fleet = Fleet::new(script);
    let ended = CancellationToken::new();
    let running = tokio::spawn(fleet.worker().run(ended.clone()));
    let output = fleet.path("out/a.wav.json");
    write_speech(&fleet.path("a.wav"), 3);
    let done = async |fresh: bool| {
        let job = Job { fresh, ..fleet.job("a.wav", JobOptions::default()) };
        fleet.queue.publish(Message::new(job.id.clone(), job.to_vec())).await.unwrap();
        wait_until("the job is done", async || fleet.is_done(&job)).await;
        read(&output).source
    };
    let first = done(true).await;
    assert_eq!(done(false).await, first);
    assert_eq!(calls.load(Ordering::SeqCst), 1, "the second job found the transcript");
    write_speech(&fleet.path("a.wav"), 6);
    let second = done(true).await;
    assert_ne!(second.etag, first.etag);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    // It is up to date, which a fresh job does not look for.
    assert_eq!(done(true).await, second);
    assert_eq!(calls.load(Ordering::SeqCst), 3);

    // The record of a failure is looked for by the other jobs only.
    let error = fleet.path("out/a.wav.error.json");
    fs::write(&error, "{}").unwrap();
    // When the second one runs, the first one is settled.
    done(true).await;
    done(true).await;
    assert!(error.exists());
    done(false).await;
    wait_until("the record is removed", async || !error.exists()).await;
    ended.cancel();
    assert_eq!(running.await.unwrap().unwrap().failed, 0);
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

#[tokio::test(flavor = "multi_thread")]
async fn subtitles_carry_the_language_where_the_job_asks_for_it() {
    let fleet = Fleet::new(|_| {});
    for (file, language_suffix) in [("a.wav", Some(true)), ("b.wav", None)] {
        write_speech(&fleet.path(file), 3);
        let formats = [job::Format::Srt, job::Format::Txt].into();
        let options = JobOptions { formats, language_suffix, ..JobOptions::default() };
        fleet.submit_with(file, options).await;
    }
    let (summary, _, root) = fleet.run().await;
    assert_eq!((summary.done, summary.failed), (2, 0));
    let mut names: Vec<_> = fs::read_dir(root.path().join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    let expected =
        ["a.wav.en.srt", "a.wav.json", "a.wav.txt", "b.wav.json", "b.wav.srt", "b.wav.txt"];
    assert_eq!(names, expected);
}

/// Where the name has no space for the extension of a rendering, only that rendering's is shortened.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_gets_every_format_that_it_asks_for() {
    let fleet = Fleet::new(|_| {});
    let long = format!("{}.wav", "x".repeat(245));
    for file in ["a.wav", &long] {
        write_speech(&fleet.path(file), 3);
        let formats = job::Format::ALL.into();
        let job = fleet.submit_with(file, JobOptions { formats, ..JobOptions::default() }).await;
        for format in job::Format::ALL {
            let uri = job.output_in(format);
            assert_eq!(uri.contains('~'), file == long && format.extension().len() > 5, "{uri}");
        }
    }
    let (summary, _, root) = fleet.run().await;
    assert_eq!((summary.done, summary.failed), (2, 0));
    let out = root.path().join("out");
    for format in job::Format::ALL {
        assert!(out.join(format!("a.wav.{}", format.extension())).is_file(), "{format}");
        if format.extension().len() <= 5 {
            assert!(out.join(format!("{long}.{}", format.extension())).is_file(), "{format}");
        }
    }
    let names = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name());
    let shortened = names.filter(|name| name.to_string_lossy().contains("~"));
    let long = job::Format::ALL.into_iter().filter(|format| format.extension().len() > 5);
    assert_eq!(shortened.count(), long.count());
    assert_eq!(read(&out.join("a.wav.json")).segments[0].text, "word");
    let ctm = fs::read_to_string(out.join("a.wav.ctm")).unwrap();
    assert!(ctm.starts_with("a 1 ") && ctm.contains(" word "), "{ctm}");
}

/// The transcript's name fits, and that of its error record would not.
#[tokio::test(flavor = "multi_thread")]
async fn the_error_record_of_a_long_name_is_shortened() {
    let fleet = Fleet::new(|_| panic!("on purpose"));
    let name = format!("{}.wav", "x".repeat(244));
    write_speech(&fleet.path(&name), 3);
    let job = fleet.submit(&name).await;
    let record = job.error_record().strip_prefix("file://").unwrap().to_owned();
    let (summary, _, _root) = fleet.run().await;
    assert_eq!((summary.done, summary.failed), (0, 1));
    assert!(record.ends_with(".error.json") && record.contains('~'), "{record}");
    assert!(Path::new(&record).is_file(), "{record}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_shutdowns_never_count_against_a_job() {
    let (calls, script) = counted(Duration::from_millis(20));
    let fleet = Fleet::new(script);
    write_speech(&fleet.path("a.wav"), 1200);
    let job = fleet.submit("a.wav").await;
    for _ in 0..12 {
        let before = calls.load(Ordering::SeqCst);
        let config = worker::WorkerConfig { drain_seconds: 0, ..fleet.config() };
        let drain = CancellationToken::new();
        let running = tokio::spawn(fleet.worker_with(config).run(drain.clone()));
        wait_until("the job runs", async || calls.load(Ordering::SeqCst) > before).await;
        drain.cancel();
        let summary = running.await.unwrap().unwrap();
        assert_eq!((summary.released, summary.failed), (1, 0), "{summary:?}");
        assert!(!fleet.is_running(&job), "the record of the run is cleared");
    }
    let depth = fleet.queue.depth().await.unwrap();
    assert_eq!(depth, queue::QueueDepth { ready: 1, ..queue::QueueDepth::default() });
    let (summary, ..) = fleet.run().await;
    assert_eq!((summary.done, summary.quarantined), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_ends_if_it_may() {
    // The job takes longer than a worker may idle.
    let (_, script) = counted(Duration::from_millis(100));
    let fleet = Fleet::new(script);
    write_speech(&fleet.path("a.wav"), 600);
    fleet.submit("a.wav").await;
    let config = worker::WorkerConfig { idle_seconds: 1, ..fleet.config() };
    let start = Instant::now();
    let summary = fleet.worker_with(config).run(CancellationToken::new()).await.unwrap();
    assert_eq!((summary.done, summary.released), (1, 0));
    assert!(start.elapsed() > Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_longer_than_the_lease_runs_once() {
    let lease_time = Duration::from_millis(200);
    let (calls, script) = counted(Duration::from_millis(100));
    let fleet = Fleet::with_queue(MemoryQueue::with_limits(3, lease_time), script);
    write_speech(&fleet.path("a.wav"), 600);
    let job = fleet.submit("a.wav").await;
    // The second worker has nothing to do, and leases the parked message again and again.
    let drain = CancellationToken::new();
    let workers =
        [fleet.worker(), fleet.worker()].map(|worker| tokio::spawn(worker.run(drain.clone())));
    wait_until("the job is done", async || fleet.is_done(&job)).await;
    wait_until("its message is gone", async || fleet.is_empty().await).await;
    drain.cancel();
    for worker in workers {
        let summary = worker.await.unwrap().unwrap();
        assert_eq!((summary.quarantined, summary.retried, summary.failed), (0, 0, 0));
    }
    assert_eq!(calls.load(Ordering::SeqCst), windows(600).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_is_adopted_by_the_run() {
    let (calls, script) = counted(Duration::from_millis(50));
    let fleet = Fleet::new(script);
    write_speech(&fleet.path("a.wav"), 300);
    let job = fleet.submit("a.wav").await;
    let drain = CancellationToken::new();
    let config = worker::WorkerConfig { jobs: 2, ..fleet.config() };
    let running = tokio::spawn(fleet.worker_with(config).run(drain.clone()));
    wait_until("the job runs", async || calls.load(Ordering::SeqCst) > 0).await;
    fleet.queue.lose_leases();
    wait_until("the job is done", async || fleet.is_done(&job)).await;
    drain.cancel();
    let summary = running.await.unwrap().unwrap();
    assert_eq!((summary.done, summary.quarantined), (1, 0));
    assert!(fleet.is_empty().await);
    assert_eq!(calls.load(Ordering::SeqCst), windows(300).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_worker_died_runs_alone() {
    let fleet = Fleet::new(|_| {});
    write_speech(&fleet.path("a.wav"), 3);
    write_speech(&fleet.path("b.wav"), 3);
    let suspect = fleet.submit("a.wav").await;
    fleet.die_with(&suspect, JOBS, false).await;
    fleet.submit("b.wav").await;
    let (summary, queue, _) = fleet.run().await;
    assert_eq!((summary.done, summary.quarantined, summary.failed), (2, 1, 0));
    assert_eq!(queue.depth().await.unwrap(), queue::QueueDepth::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_three_workers_alone_is_given_up() {
    let (calls, script) = counted(Duration::ZERO);
    let fleet = Fleet::new(script);
    write_speech(&fleet.path("a.wav"), 3);
    let job = fleet.submit("a.wav").await;
    // In company it counts for nobody, however often.
    fleet.die_with(&job, JOBS, false).await;
    fleet.die_with(&job, JOBS, false).await;
    let mut jobs = fleet.queue.consume(JOBS, 1).await.unwrap();
    let lease = jobs.next().await.unwrap();
    let counts = queue::Counts { crashes: 2, ..queue::Counts::default() };
    lease.forward(queue::Destination::Quarantine, counts).await.unwrap();
    fleet.die_with(&job, Origin::Quarantine, true).await;

    let records = fleet.records(&job);
    let (summary, queue, root) = fleet.run().await;
    assert_eq!((summary.done, summary.failed), (0, 1));
    assert_eq!(calls.load(Ordering::SeqCst), 0, "the job does not run again");
    let letters = queue.take_dead_letters(10).await.unwrap();
    assert_eq!(letters[0].reason.code, "worker_lost");
    assert_eq!(letters[0].message.counts.crashes, 3);
    assert!(!records.join("running").join(&job.id).exists());
    assert!(root.path().join("out/a.wav.error.json").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_ended_is_not_run_again() {
    let (calls, script) = counted(Duration::ZERO);
    let fleet = Fleet::new(script);
    write_speech(&fleet.path("a.wav"), 3);
    let job = fleet.submit("a.wav").await;
    let ledger = Ledger::new(fleet.stores());
    let failed = Failed {
        version: RECORDS_VERSION,
        job: job.id.clone(),
        batch: job.batch.clone(),
        generation: 0,
        failure: job::Failure {
            code: job::FailureCode::AudioEmpty,
            source: job.source.to_string(),
            message: "empty".to_owned(),
        },
        remedy: String::new(),
        attempts: 1,
        worker: "dead".to_owned(),
        failed_at: "2026-11-25T10:00:00Z".to_owned(),
    };
    // Its worker recorded the failure, and died before the message was among the dead letters.
    ledger.fail(&job, &failed).await.unwrap();
    fleet.die_with(&job, JOBS, false).await;
    let drain = CancellationToken::new();
    let running = tokio::spawn(fleet.worker().run(drain.clone()));
    let dead = async || fleet.queue.depth().await.unwrap().dead == 1;
    wait_until("its dead letter is there", dead).await;
    drain.cancel();
    assert_eq!(running.await.unwrap().unwrap().failed, 1);
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    let letters = fleet.queue.take_dead_letters(10).await.unwrap();
    assert_eq!(letters[0].reason.code, "audio_empty");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_is_not_opened() {
    let fleet = Fleet::new(|_| {});
    let elsewhere = tempfile::tempdir().unwrap();
    let secret = elsewhere.path().join("secret");
    fs::write(&secret, "password=hunter2").unwrap();
    let uri = |path: &Path| Location::from_path(path).unwrap().to_string();
    let publish = async |source: String, output: String, base: String| {
        let batch = BatchId::generate();
        let records = records_prefix(&base, &batch);
        let job = Job::new(batch, source, output, records, JobOptions::default());
        fleet.queue.publish(Message::new(job.id.clone(), job.to_vec())).await.unwrap();
    };
    write_speech(&fleet.path("a.wav"), 3);
    publish(uri(&secret), fleet.uri("out/a"), fleet.uri("out")).await;
    let outside = uri(elsewhere.path());
    publish(fleet.uri("a.wav"), format!("{outside}/secret"), outside).await;
    let drain = CancellationToken::new();
    let running = tokio::spawn(fleet.worker().run(drain.clone()));
    wait_until("both are refused", async || fleet.queue.depth().await.unwrap().dead == 2).await;
    drain.cancel();
    running.await.unwrap().unwrap();
    let letters = fleet.queue.take_dead_letters(10).await.unwrap();
    let codes: Vec<_> = letters.iter().map(|letter| letter.reason.code.as_str()).collect();
    assert_eq!(codes, ["source_not_allowed", "output_not_allowed"]);
    let record = fs::read_to_string(fleet.path("out/a.error.json")).unwrap();
    assert!(record.contains("source_not_allowed") && !record.contains("hunter2"), "{record}");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1, "nothing was written");
    assert_eq!(fs::read(&secret).unwrap(), b"password=hunter2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_others_is_not_replaced() {
    let fleet = Fleet::new(|_| {});
    write_speech(&fleet.path("a.wav"), 3);
    fs::create_dir(fleet.path("out")).unwrap();
    fs::write(fleet.path("out/a.wav.json"), r#"{"version": 1, "theirs": true}"#).unwrap();
    fleet.submit("a.wav").await;
    let (summary, queue, root) = fleet.run().await;
    assert_eq!((summary.done, summary.failed), (0, 1));
    assert_eq!(queue.take_dead_letters(1).await.unwrap()[0].reason.code, "output_occupied");
    let theirs = fs::read_to_string(root.path().join("out/a.wav.json")).unwrap();
    assert_eq!(theirs, r#"{"version": 1, "theirs": true}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_hangs_is_given_up() {
    let (_, script) = counted(Duration::from_secs(4));
    let fleet = Fleet::new(script);
    write_speech(&fleet.path("a.wav"), 3);
    fleet.submit("a.wav").await;
    let config = worker::WorkerConfig {
        stall_seconds: 1,
        drain_seconds: 0,
        retry_delays: Vec::new(),
        ..fleet.config()
    };
    let drain = CancellationToken::new();
    let running = tokio::spawn(fleet.worker_with(config).run(drain.clone()));
    wait_until("it is given up", async || fleet.queue.depth().await.unwrap().dead == 1).await;
    drain.cancel();
    running.await.unwrap().unwrap();
    let letters = fleet.queue.take_dead_letters(1).await.unwrap();
    assert_eq!(letters[0].reason.code, "internal");
    assert!(letters[0].reason.detail.contains("no progress for 1 s"), "{:?}", letters[0].reason);
}

/// Ids are names: whoever chooses one need not keep it unique, and a job needs no batch.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_other_programs_may_share_an_id_and_have_no_batch() {
    let fleet = Fleet::new(|_| {});
    for name in ["a.wav", "b.wav"] {
        write_speech(&fleet.path(name), 3);
    }
    for name in ["a.wav", "b.wav", "missing.wav"] {
        let (source, output) = (fleet.uri(name), fleet.uri(&format!("out/{name}")));
        let message = serde_json::json!({
            "version": 1, "id": "urn:call:4711", "source": source, "output": output,
        });
        // Without the property `message-id`, too.
        fleet.queue.publish(Message::new("", message.to_string())).await.unwrap();
    }
    let drain = CancellationToken::new();
    let config = WorkerConfig { events: Announcements::Sent, ..fleet.config() };
    let running = tokio::spawn(fleet.worker_with(config).run(drain.clone()));
    let settled = queue::QueueDepth { dead: 1, ..queue::QueueDepth::default() };
    wait_until("all are settled", async || fleet.queue.depth().await.unwrap() == settled).await;
    drain.cancel();
    let summary = running.await.unwrap().unwrap();
    assert_eq!((summary.done, summary.failed), (2, 1));
    for name in ["a.wav", "b.wav"] {
        read(&fleet.path(&format!("out/{name}.json")));
    }
    let failure = fs::read(fleet.path("out/missing.wav.error.json")).unwrap();
    let failure: Failed = serde_json::from_slice(&failure).unwrap();
    assert_eq!((failure.job.as_str(), failure.batch), ("urn:call:4711", None));
    let events: Vec<serde_json::Value> = fleet
        .queue
        .take_announcements()
        .iter()
        .map(|announcement| serde_json::from_slice(&announcement.body).unwrap())
        .collect();
    let ids: std::collections::HashSet<_> = events.iter().map(|e| e["id"].to_string()).collect();
    assert_eq!(ids.len(), 3, "each end has an id of its own: {events:?}");
    for event in &events {
        assert_eq!(event["subject"], "urn:call:4711");
        assert_eq!(event["source"], event["data"]["output"]);
        assert!(event["data"].get("batch").is_none(), "{event}");
    }
    let left = fs::read_dir(fleet.path("out/.scriptorium")).into_iter().flatten();
    for batch in left {
        for state in fs::read_dir(batch.unwrap().path()).unwrap() {
            assert_eq!(fs::read_dir(state.unwrap().path()).unwrap().count(), 0, "records are left");
        }
    }
}
