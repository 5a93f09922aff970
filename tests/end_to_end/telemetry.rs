//! What an operator sees of a worker: metrics in a real Prometheus, probes, and traces in a real
//! collector.

use std::{fs, path::PathBuf};

use queue::{Message, Queue};
use serde_json::Value;

use crate::{
    services::{Services, variable},
    support::{Server, free_port, get, models, speech, wait_for_answer, wait_for_log},
};

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_and_a_collector_see_what_a_worker_does() {
    let (Some(models), Some(services)) = (models(), Services::of_test("telemetry")) else { return };
    let (Some(prometheus), Some(collector)) =
        (variable("SCRIPTORIUM_TEST_PROMETHEUS"), variable("SCRIPTORIUM_TEST_COLLECTOR"))
    else {
        return;
    };
    let bucket = services.bucket().await;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    bucket.put("in/good.opus", fs::read(speech("sentence.opus")).unwrap()).await;
    bucket.put("in/bad.wav", b"RIFF".to_vec()).await;

    let otlp = free_port();
    let endpoint = format!("127.0.0.1:{otlp}");
    let _collector = (!collector.is_empty()).then(|| {
        Server::start(
            &PathBuf::from(&collector),
            &[
                "start",
                "--otlp-http-endpoint",
                &endpoint,
                "--otlp-grpc-endpoint",
                &format!("127.0.0.1:{}", free_port()),
                "--exporter",
                "blackhole",
                "--debug-log",
                "traces",
                "--debug-log-verbosity",
                "detailed",
            ],
            &path("collector.log"),
        )
    });
    let port = free_port();
    let worker_url = format!("http://127.0.0.1:{port}");
    let scriptorium = services
        .scriptorium(&models)
        .with("SCRIPTORIUM__TELEMETRY__LISTEN", &format!("127.0.0.1:{port}"))
        .with("SCRIPTORIUM__TELEMETRY__OTLP_ENDPOINT", &format!("http://{endpoint}"));
    let log = path("log");
    let mut worker = scriptorium.start(["worker", "--threads", "1"], &log);
    wait_for_answer(&format!("{worker_url}/readyz"), "ready", |status, _| status == 200).await;
    for probe in ["startupz", "livez"] {
        let (status, _) = get(&format!("{worker_url}/{probe}")).await.unwrap();
        assert_eq!(status, 200, "{probe}");
    }

    let (recordings, out) = (services.uri("in/"), services.uri("out/"));
    let submit = ["submit", &recordings, "--out", &out, "--wait", "--json"];
    let status = scriptorium.run(submit).expect_code(1).json();
    assert_eq!((&status["done"], &status["failed"]), (&1.into(), &1.into()), "{status}");

    // Its span is of a trace that is not recorded.
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00".to_owned();
    let not_a_job = Message { trace, ..Message::new("not a job", &b"{}"[..]) };
    services.queue().await.publish(not_a_job).await.unwrap();

    // Prometheus accepts all that the worker exports, and adds it up.
    let prometheus_port = free_port();
    let config = format!(
        "scrape_configs:\n- job_name: worker\n  scrape_interval: 1s\n  static_configs:\n  - targets: \
         ['127.0.0.1:{port}']\n"
    );
    fs::write(path("prometheus.yml"), config).unwrap();
    let _prometheus = Server::start(
        &PathBuf::from(prometheus),
        &[
            &format!("--config.file={}", path("prometheus.yml").display()),
            &format!("--storage.tsdb.path={}", path("tsdb").display()),
            &format!("--web.listen-address=127.0.0.1:{prometheus_port}"),
        ],
        &path("prometheus.log"),
    );
    for (query, expected) in [
        ("sum(scriptorium_jobs_total{outcome=\"done\",lane=\"normal\"})", "1"),
        ("sum(scriptorium_jobs_total{outcome=\"failed\"})", "2"),
        ("sum(scriptorium_failures_total{outcome=\"failed\"})", "2"),
        ("scriptorium_failures_total{code=\"job_invalid\"}", "1"),
        ("scriptorium_job_wait_seconds_count{lane=\"normal\"}", "2"),
        ("sum(scriptorium_jobs_in_flight)", "0"),
        ("scriptorium_job_duration_seconds_count{lane=\"normal\"}", "2"),
        ("scriptorium_queue_connected", "1"),
        ("up", "1"),
    ] {
        let url = reqwest::Url::parse_with_params(
            &format!("http://127.0.0.1:{prometheus_port}/api/v1/query"),
            [("query", query)],
        );
        wait_for_answer(url.unwrap().as_str(), query, |_, body| {
            let answer: Value = serde_json::from_str(body).unwrap_or_default();
            answer["data"]["result"][0]["value"][1] == expected
        })
        .await;
    }

    if collector.is_empty() {
        eprintln!("skipped: traces; there is no collector for this platform");
        return;
    }
    // A batch is one trace, from its submission to each job.
    let batch = status["batch"].as_str().unwrap();
    let collector_log = path("collector.log");
    wait_for_log(&collector_log, "transcribe").await;
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
    wait_for_log(&collector_log, batch).await;
    let text = fs::read_to_string(&collector_log).unwrap();
    let traces: std::collections::BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Trace ID")?.trim().strip_prefix(':'))
        .map(str::trim)
        .collect();
    assert_eq!(traces.len(), 1, "{text}");
    for span in ["submit", "job", "plan", "transcribe", "write"] {
        assert!(text.contains(&format!(": {span}\n")), "no span `{span}`: {text}");
    }
    let readiness = get(&format!("{worker_url}/readyz")).await;
    assert_eq!(readiness, None, "it has ended");
    services.queue().await.delete_queues().await.unwrap();
}

/// The reason why a worker takes no jobs is in the answer of the probe.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_its_broker_is_not_ready() {
    let (Some(models), Some(services)) = (models(), Services::of_test("unready")) else { return };
    let port = free_port();
    let nowhere = format!("amqp://127.0.0.1:{}/%2f", free_port());
    let scriptorium = services
        .scriptorium(&models)
        .with("SCRIPTORIUM__TELEMETRY__LISTEN", &format!("127.0.0.1:{port}"))
        .with("SCRIPTORIUM__QUEUE__URL", &nowhere);
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut worker = scriptorium.start(["worker", "--threads", "1"], &log);
    wait_for_log(&log, "cannot reach the broker").await;
    let (status, _) = get(&format!("http://127.0.0.1:{port}/readyz")).await.unwrap();
    assert_eq!(status, 503);
    let (status, _) = get(&format!("http://127.0.0.1:{port}/livez")).await.unwrap();
    assert_eq!(status, 200);
    worker.signal("TERM");
    assert_eq!(worker.wait(), Some(0));
}
