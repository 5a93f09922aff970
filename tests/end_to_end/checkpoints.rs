//! Checkpoints on real services: whoever gets the job of a worker that died or stopped goes on where it
//! was.

use std::{fs, path::Path, time::Instant};

use queue::Queue;
use serde_json::Value;

use crate::{
    services::{Bucket, Services},
    support::{Process, Scriptorium, TIMEOUT, long_recording, models, wait_for_log},
};

/// A long recording on its way, with workers that write a checkpoint every second.
struct Long {
    services: Services,
    bucket: Bucket,
    scriptorium: Scriptorium,
    directory: tempfile::TempDir,
    batch: String,
}

impl Long {
    /// Uploads a recording of the sentence, repeated, and submits it.
    async fn submitted(name: &str, times: usize, variables: &[(&str, &str)]) -> Option<Self> {
        let (models, services) = (models()?, Services::of_test(name)?);
        let bucket = services.bucket().await;
        let directory = tempfile::tempdir().unwrap();
        bucket.put("in/long.wav", long_recording(directory.path(), times)).await;
        let mut scriptorium = services
            .scriptorium(&models)
            .with("SCRIPTORIUM__WORKER__CHECKPOINT_SECONDS", "1")
            .with("SCRIPTORIUM__LOG__LEVEL", "info,speech=trace");
        for (name, value) in variables {
            scriptorium = scriptorium.with(name, value);
        }
        let batch = submit(&scriptorium, &services, "out/");
        Some(Self { services, bucket, scriptorium, directory, batch })
    }

    fn log(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join(name)
    }

    fn worker(&self, log: &str) -> Process {
        self.scriptorium.start(["worker", "--threads", "1"], &self.log(log))
    }

    async fn checkpoints(&self) -> Vec<String> {
        self.bucket.names(&format!("out/.scriptorium/{}/checkpoint/", self.batch)).await
    }

    /// Waits until a worker has written some checkpoints.
    async fn wait_for_checkpoints(&self, count: usize) {
        let begin = Instant::now();
        while self.checkpoints().await.len() < count {
            assert!(begin.elapsed() < TIMEOUT, "no checkpoints");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    fn wait_for_end(&self) {
        let status = self.scriptorium.run(["status", &self.batch, "--wait", "--json"]);
        let status = status.expect_code(0).json();
        assert_eq!((&status["done"], &status["failed"]), (&1.into(), &0.into()), "{status}");
    }

    /// Transcribes the recording once more, without an interruption, and compares the transcripts.
    async fn compare(&self) {
        let again = submit(&self.scriptorium, &self.services, "again/");
        let mut worker = self.worker("again");
        self.scriptorium.run(["status", &again, "--wait", "--json"]).expect_code(0);
        stop(&mut worker);
        let resumed = transcript(&self.bucket.get("out/long.wav.json").await);
        let whole = transcript(&self.bucket.get("again/long.wav.json").await);
        assert!(whole["segments"].as_array().unwrap().len() > 20);
        assert_eq!(resumed, whole);
        let done = events(&self.log("again"), "done");
        assert_eq!(done[0]["recalled_windows"], 0, "{done:?}");
    }

    /// Checks that nothing is left over.
    async fn check_rest(&self) {
        assert_eq!(self.checkpoints().await, [""; 0]);
        let names = self.bucket.names(&format!("out/.scriptorium/{}/", self.batch)).await;
        assert!(names.iter().all(|name| !name.starts_with("running/")), "{names:?}");
        assert_eq!(names.iter().filter(|name| name.starts_with("done/")).count(), 1);
        let queue = self.services.queue().await;
        let depth = queue.depth().await.unwrap();
        assert_eq!((depth.ready, depth.delayed, depth.parked, depth.dead), (0, 0, 0, 0));
        queue.delete_queues().await.unwrap();
    }
}

fn submit(scriptorium: &Scriptorium, services: &Services, out: &str) -> String {
    let (recordings, out) = (services.uri("in/"), services.uri(out));
    let submit = ["submit", &recordings, "--out", &out, "--json"];
    scriptorium.run(submit).expect_code(0).json()["batch"].as_str().unwrap().to_owned()
}

fn stop(worker: &mut Process) {
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
}

/// Returns what a transcript says, without what it cost.
fn transcript(json: &[u8]) -> Value {
    let mut transcript: Value = serde_json::from_slice(json).unwrap();
    transcript.as_object_mut().unwrap().remove("processing");
    transcript
}

/// Returns the fields of the lines of a log with a message.
fn events(log: &Path, message: &str) -> Vec<Value> {
    let log = fs::read_to_string(log).unwrap();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["message"] == message).collect()
}

fn windows_computed(log: &Path) -> u64 {
    events(log, "window computed").len() as u64
}

/// Returns how many windows the only job of a log has recalled.
fn windows_recalled(log: &Path) -> u64 {
    let resumed = events(log, "resuming from checkpoints");
    let done = events(log, "done");
    assert_eq!((resumed.len(), done.len()), (1, 1), "{resumed:?} {done:?}");
    assert_eq!(resumed[0]["windows"], done[0]["recalled_windows"]);
    assert!(done[0]["recalled_audio_seconds"].as_f64() > Some(0.0), "{done:?}");
    done[0]["recalled_windows"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_has_computed_is_not_computed_again() {
    let Some(long) = Long::submitted("kill-checkpoint", 50, &[]).await else { return };
    let mut victim = long.worker("victim");
    long.wait_for_checkpoints(2).await;
    victim.signal("KILL");
    victim.wait();
    let mut heir = long.worker("heir");
    long.wait_for_end();
    stop(&mut heir);
    let (log, heir) = (long.log("victim"), long.log("heir"));
    let (computed, recalled) = (windows_computed(&log), windows_recalled(&heir));
    assert!(recalled >= 2 && recalled <= computed, "{recalled} of {computed}");
    long.compare().await;
    // Together they have computed what one run computes, and what was lost with the victim.
    let all = windows_computed(&long.log("again"));
    assert_eq!(windows_computed(&heir), all - recalled);
    long.check_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_stop_loses_nothing_that_was_finished() {
    for drain in ["0", "1"] {
        let variables = [("SCRIPTORIUM__WORKER__DRAIN_SECONDS", drain)];
        let Some(long) = Long::submitted("term-checkpoint", 28, &variables).await else { return };
        let mut first = long.worker("first");
        wait_for_log(&long.log("first"), "window computed").await;
        stop(&mut first);
        let mut second = long.worker("second");
        long.wait_for_end();
        stop(&mut second);
        let computed = windows_computed(&long.log("first"));
        let recalled = windows_recalled(&long.log("second"));
        // But for the window that ends after the process has settled its job.
        assert!(recalled + 1 >= computed && recalled > 0, "{recalled} of {computed}");
        long.compare().await;
        long.check_rest().await;
    }
}

/// A worker that seems dead goes on beside the one that has got its job.
#[tokio::test(flavor = "multi_thread")]
async fn two_holders_of_a_job_end_with_one_transcript() {
    let variables = [("SCRIPTORIUM__QUEUE__HEARTBEAT_SECONDS", "2")];
    let Some(long) = Long::submitted("two-holders", 60, &variables).await else { return };
    let mut first = long.worker("first");
    long.wait_for_checkpoints(2).await;
    first.signal("STOP");
    let mut second = long.worker("second");
    wait_for_log(&long.log("second"), "resuming from checkpoints").await;
    first.signal("CONT");
    long.wait_for_end();
    // Whoever was not the first ends its run, too, before the worker does.
    stop(&mut first);
    stop(&mut second);
    let done: Vec<_> =
        ["first", "second"].into_iter().flat_map(|log| events(&long.log(log), "done")).collect();
    let transcribed = done.iter().filter(|fields| fields["up_to_date"] == false).count();
    assert_eq!(transcribed, 1, "{done:?}");
    long.compare().await;
    long.check_rest().await;
}
