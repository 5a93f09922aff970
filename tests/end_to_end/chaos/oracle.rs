//! Compares what there is at the end with what must be, which follows from how the jobs were made. Reads
//! objects and messages as any program would, by docs/jobs.md.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    Scene,
    recordings::{References, Subject, Wrong},
    workload::{Planned, Route},
    world::Letter,
};
use crate::support::Scriptorium;

/// Workers that a job may lose while it runs alone (`worker.max_crashes`).
pub(super) const MAX_CRASHES: u64 = 3;

/// How the jobs ended.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    pub(super) transcripts: u64,
    /// By code.
    pub(super) failures: BTreeMap<String, u64>,
    /// Dead letters of jobs that had one already.
    pub(super) further_letters: u64,
    /// Sound jobs that were given up because they had lost as many workers.
    pub(super) unlucky: u64,
    /// Of these, jobs that a worker did all the same, which had lost its lease but lived.
    pub(super) done_late: u64,
}

/// Checks everything, and notes what is wrong.
pub(super) async fn check(
    scene: &Scene,
    references: &References,
    status: &Scriptorium,
) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let mut expected_keys = scene.uploads.clone();
    let letters = scene.queues().await.dead().await;
    let mut by_job = BTreeMap::<String, Vec<&Letter>>::new();
    for letter in &letters {
        by_job.entry(name_of(letter)).or_default().push(letter);
    }
    let mut counts = BTreeMap::<Route, (u64, BTreeMap<String, String>)>::new();
    for job in &scene.jobs {
        let id = job.id(&scene.batches[&job.route]);
        let found = by_job.remove(&id).unwrap_or_default();
        let code = check_letters(scene, job, &id, &found, &mut outcomes);
        let of_route = counts.entry(job.route).or_default();
        let code = match code {
            Some(code) if job.wrong().is_none() && is_done(scene, job, &id).await => {
                // A success counts, and its letter is superfluous.
                let records = scene.key(&scene.records(job));
                expected_keys.insert(format!("{records}/failed/{id}.json"));
                outcomes.done_late += u64::from(code == "worker_lost");
                None
            }
            code => code,
        };
        match code {
            None => {
                outcomes.transcripts += 1;
                of_route.0 += 1;
                check_transcript(scene, job, &id, references, &mut expected_keys).await;
            }
            Some(code) => {
                *outcomes.failures.entry(code.clone()).or_default() += 1;
                if job.is_recorded() {
                    of_route.1.insert(job.source.clone(), code.clone());
                    check_failure(scene, job, &id, &code, &mut expected_keys).await;
                }
            }
        }
    }
    for (id, body) in &scene.no_jobs {
        let found = by_job.remove(id).unwrap_or_default();
        if found.is_empty() || found.iter().any(|letter| letter.body != *body) {
            scene.report.violation(format!("{} letters of message {id}", found.len()));
        }
        if let Some(letter) = found.iter().find(|letter| letter.code != "job_invalid") {
            scene.report.violation(format!("message {id}: {letter:?}"));
        }
        *outcomes.failures.entry("job_invalid".to_owned()).or_default() += 1;
        outcomes.further_letters += found.len().saturating_sub(1) as u64;
    }
    // A worker may be lost between the letter and the acknowledgement. (A store error beside a duplicate may
    // cause one as well, and is rarer.)
    if outcomes.further_letters > scene.report.lost() {
        let (further, lost) = (outcomes.further_letters, scene.report.lost());
        scene.report.violation(format!("{further} further letters, and {lost} times lost leases"));
    }
    for (id, letters) in by_job {
        scene.report.violation(format!("letters of nobody: {id}: {letters:?}"));
    }
    check_rest(scene, &expected_keys).await;
    for (route, (done, failures)) in &counts {
        check_status(scene, *route, *done, failures, status);
    }
    outcomes
}

async fn is_done(scene: &Scene, job: &Planned, id: &str) -> bool {
    let record = format!("{}/done/{id}", scene.key(&scene.records(job)));
    scene.store.json(&record).await.is_some()
}

/// Returns the name of a letter: the id of its job, or that of its message.
fn name_of(letter: &Letter) -> String {
    let is_job = letter.code != "job_invalid";
    let body = serde_json::from_slice::<Value>(&letter.body).ok();
    let id = body.as_ref().and_then(|job| job["id"].as_str()).filter(|_| is_job);
    id.map_or_else(|| letter.message_id.clone(), str::to_owned)
}

/// Checks the letters of a job. Returns the code of its failure; `None`: it must have a transcript.
fn check_letters(
    scene: &Scene,
    job: &Planned,
    id: &str,
    letters: &[&Letter],
    outcomes: &mut Outcomes,
) -> Option<String> {
    let codes: BTreeSet<_> = letters.iter().map(|letter| letter.code.as_str()).collect();
    let mut may_be = job.wrong().map_or_else(Vec::new, |wrong| wrong.codes().to_vec());
    let deaths = scene.report.deaths_of(id);
    if deaths >= MAX_CRASHES && !may_be.contains(&"worker_lost") {
        may_be.push("worker_lost");
        outcomes.unlucky += u64::from(codes.contains("worker_lost"));
    }
    outcomes.further_letters += letters.len().saturating_sub(1) as u64;
    let is_right = match codes.len() {
        0 => job.wrong().is_none(),
        1 => codes.iter().all(|code| may_be.contains(code)),
        _ => false,
    };
    if !is_right {
        let details: Vec<_> =
            letters.iter().map(|letter| format!("{}: {}", letter.code, letter.detail)).collect();
        scene.report.violation(format!(
            "job {id} ({:?}, {}) has the letters {details:?}; {deaths} deaths alone",
            job.subject, job.source
        ));
    }
    if job.wrong() == Some(Wrong::Deadly) && deaths < MAX_CRASHES {
        scene.report.violation(format!("job {id} was given up after {deaths} deaths"));
    }
    let code = codes.first().map(|code| (*code).to_owned());
    code.or_else(|| job.wrong().map(|wrong| wrong.codes()[0].to_owned()))
}

async fn check_transcript(
    scene: &Scene,
    job: &Planned,
    id: &str,
    references: &References,
    expected_keys: &mut BTreeSet<String>,
) {
    let wrong = |what: String| scene.report.violation(format!("job {id} ({}): {what}", job.source));
    let base = scene.key(&job.output);
    let key = format!("{base}.json");
    expected_keys.insert(key.clone());
    expected_keys.extend(job.formats.iter().map(|format| format!("{base}.{format}")));
    let record_key = format!("{}/done/{id}", scene.key(&scene.records(job)));
    expected_keys.insert(record_key.clone());
    let Some(transcript) = scene.store.json(&key).await else {
        return wrong("it has neither a transcript nor a letter".to_owned());
    };
    let Subject::Sound(sound) = job.subject else { return };
    if transcript["segments"] != references[&sound] {
        wrong(format!("its segments are {}", transcript["segments"]));
    }
    if transcript["source"]["uri"] != json!(job.source) {
        wrong(format!("its transcript is of {}", transcript["source"]));
    }
    let writes = scene.journal.writes(&format!("/{}/{key}", scene.store.bucket));
    // None is seen if a gateway is cut off between the write and its answer.
    if writes > 1 {
        wrong(format!("its transcript was written {writes} times"));
    }
    match scene.store.json(&record_key).await {
        Some(done) if done["transcript"] == json!(format!("{}.json", job.output)) => {}
        done => wrong(format!("its record is {done:?}")),
    }
}

async fn check_failure(
    scene: &Scene,
    job: &Planned,
    id: &str,
    code: &str,
    expected_keys: &mut BTreeSet<String>,
) {
    let records = scene.key(&scene.records(job));
    let keys =
        [format!("{records}/failed/{id}.json"), format!("{}.error.json", scene.key(&job.output))];
    for key in keys {
        expected_keys.insert(key.clone());
        match scene.store.json(&key).await {
            Some(failed) if failed["code"] == json!(code) && failed["job"] == json!(id) => {}
            failed => {
                scene.report.violation(format!("job {id} ({}): {key} is {failed:?}", job.source))
            }
        }
    }
}

/// Checks that there is nothing else: no temporary object, no stray record, no message.
async fn check_rest(scene: &Scene, expected: &BTreeSet<String>) {
    let of_batch = |key: &str| {
        let folder = scene.batches.iter().find_map(|(route, batch)| {
            key.strip_prefix(&format!("{}/.scriptorium/{batch}/", route.folder()))
        });
        folder.is_some_and(|name| {
            name == "batch.json"
                || ["submission/", "manifest/", "tally/"].iter().any(|of| name.starts_with(of))
        })
    };
    let found: BTreeSet<_> = scene.store.keys("").await.into_iter().collect();
    // A worker that is killed while it finds out what its store can do leaves the empty object of that.
    let of_probe = |key: &str| key.contains("/.scriptorium-probe-");
    for key in found.difference(expected).filter(|key| !of_batch(key) && !of_probe(key)) {
        scene.report.violation(format!("stray object {key}"));
    }
    for key in expected.difference(&found) {
        scene.report.violation(format!("no object {key}"));
    }
    for key in scene.store.unfinished().await {
        scene.report.violation(format!("unfinished upload {key}"));
    }
    for (queue, messages) in scene.broker.queues() {
        if messages > 0 {
            scene.report.violation(format!("{messages} messages in {queue}"));
        }
    }
}

/// Checks that `status` says what is true.
fn check_status(
    scene: &Scene,
    route: Route,
    done: u64,
    failures: &BTreeMap<String, String>,
    scriptorium: &Scriptorium,
) {
    let batch = &scene.batches[&route];
    let out = scene.places.uri(route.folder());
    let status = scriptorium.run(["status", batch, "--out", &out, "--json"]).json();
    let failed = failures.len() as u64;
    let truth = json!({
        "jobs": done + failed, "queued": 0, "running": 0, "done": done, "failed": failed,
        "control": "active", "exact": true,
    });
    for (name, value) in truth.as_object().unwrap() {
        if status[name] != *value {
            scene
                .report
                .violation(format!("status of {route:?}: {name} is {}, not {value}", status[name]));
        }
    }
    let listed: BTreeMap<_, _> = status["failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| ["source", "code"].map(|name| failure[name].as_str().unwrap().to_owned()))
        .map(|[source, code]| (source, code))
        .collect();
    if listed != *failures {
        scene.report.violation(format!("status of {route:?} lists {listed:?}, not {failures:?}"));
    }
}
