//! Batches of other programs, and `submit --job-json`, which shows them what to publish.

use std::{fs, path::Path};

use job::Job;
use queue::{Message, Queue};
use serde_json::{Value, json};

use crate::{
    services::Services,
    support::{Scriptorium, models, speech, wait_for_log},
};

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_another_program_needs_no_record() {
    let (Some(models), Some(services)) = (models(), Services::of_test("foreign")) else { return };
    let bucket = services.bucket().await;
    bucket.put("in/a.opus", fs::read(speech("sentence.opus")).unwrap()).await;
    let queue = services.queue().await;
    let scriptorium = services.scriptorium(&models);
    let out = services.uri("out/");
    let of_batch = |command: &str, more: &[&str]| {
        let arguments = [command, "2026-11-26.monday", "--out", &out].into_iter();
        scriptorium.run(arguments.chain(more.iter().copied()))
    };
    let none = of_batch("status", &[]).expect_code(1);
    assert!(none.stderr.contains("there is no batch 2026-11-26.monday below"), "{}", none.stderr);

    for (id, name) in [("call/1", "a.opus"), ("call/2", "missing.wav")] {
        let job = json!({
            "version": 1, "id": id, "batch": "2026-11-26.monday",
            "source": services.uri(&format!("in/{name}")),
            "output": services.uri(&format!("out/{name}")),
        });
        queue.publish(Message::new(id, job.to_string())).await.unwrap();
    }
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut worker = scriptorium.start(["worker"], &log);
    wait_for_log(&log, "\"done\"").await;
    wait_for_log(&log, "\"failed\"").await;
    worker.signal("TERM");
    worker.wait();

    let status = of_batch("status", &[]).expect_code(1);
    assert!(
        status.stdout.contains("0 running, 1 done, 1 failed; how many jobs there are is unknown")
    );
    assert!(status.stdout.contains("/.scriptorium/2026-11-26.monday/batch.json"), "{status:?}");
    let status = of_batch("status", &["--json"]).json();
    let known = ["is_recorded", "jobs", "done", "failed"].map(|name| status[name].clone());
    assert_eq!(known, [json!(false), json!(null), json!(1), json!(1)]);
    assert_eq!(status["failures"][0]["job"], "call/2");
    let results = lines(&of_batch("results", &["--json"]).expect_code(0).stdout);
    let results: Vec<_> = results.iter().map(|line| (&line["job"], &line["state"])).collect();
    let [done, failed] = [json!("done"), json!("failed")];
    assert_eq!(results, [(&json!("call/1"), &done), (&json!("call/2"), &failed)]);
    let wait = of_batch("status", &["--wait"]).expect_code(1);
    assert!(wait.stderr.contains("nothing says how many jobs it has"), "{}", wait.stderr);

    let batch = json!({
        "version": 2, "id": "2026-11-26.monday", "sources": [], "output": out,
        "jobs": 2, "submitted_at": "2026-11-26T00:00:00Z",
    });
    let name = "out/.scriptorium/2026-11-26.monday/batch.json";
    bucket.put(name, batch.to_string().into_bytes()).await;
    let status = of_batch("status", &["--wait"]).expect_code(1);
    assert!(status.stdout.contains("0 queued, 0 running, 1 done, 1 failed\n"), "{}", status.stdout);
}

/// Nothing is written, and no broker is needed.
#[test]
fn job_json_prints_what_would_be_published() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir_all(path("in")).unwrap();
    for name in ["a.opus", "b.opus"] {
        fs::copy(speech("sentence.opus"), path("in").join(name)).unwrap();
    }
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let scriptorium = Scriptorium::new(directory.path()).with("SCRIPTORIUM__QUEUE__PREFIX", "mine");
    let (input, out) = (text(&path("in")), text(&path("out")));
    let submit = |more: &[&str]| {
        let arguments = ["submit", "--out", &out, "--job-json", "--batch", "b"].into_iter();
        scriptorium.run(arguments.chain(more.iter().copied())).expect_code(0)
    };
    let printed = lines(&submit(&[&input, "--lane", "bulk", "--language", "en"]).stdout);
    assert_eq!(printed.len(), 2);
    for message in &printed {
        let job = Job::from_slice(message["body"].to_string().as_bytes()).unwrap();
        assert_eq!(job.options.language.as_deref(), Some("en"));
        assert_eq!(
            (&message["exchange"], &message["queue"]),
            (&json!(""), &json!("mine.jobs.bulk"))
        );
        let properties = json!({
            "content_type": "application/json", "delivery_mode": 2, "message_id": job.id,
        });
        assert_eq!(message["properties"], properties);
        assert_eq!(
            (&message["headers"]["lane"], &message["headers"]["attempt"]),
            (&json!("bulk"), &json!(0))
        );
    }
    let manifest = path("list.jsonl");
    fs::write(&manifest, r#"{"source": "s3://calls/a.wav", "language": "de"}"#).unwrap();
    let printed = lines(&submit(&["--manifest", &text(&manifest)]).stdout);
    assert_eq!(printed[0]["body"]["source"], "s3://calls/a.wav");
    assert_eq!(printed[0]["body"]["options"]["language"], "de");
    assert_eq!(printed[0]["queue"], "mine.jobs");
    assert!(!path("out").exists());
}
