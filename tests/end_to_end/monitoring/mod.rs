//! The dashboard and the rules, evaluated by a real Prometheus that scrapes a worker, a bridge and the broker:
//! each names only metrics and labels that these export.

mod promql;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    bridge,
    services::{Services, variable},
    support::{Server, free_port, models, speech, wait_for_answer, wait_for_log},
};

const RULES: &str = "helm/scriptorium/files/rules.yaml";
const DASHBOARD: &str = "helm/scriptorium/files/dashboard.json";
/// promtool's tests, which assume metrics.
const TESTS_OF_RULES: [&str; 2] =
    ["tests/monitoring/rules_test.yaml", "tests/monitoring/rules_days_test.yaml"];

/// How long the first value of an expression may take: some scrapes.
const PATIENCE: Duration = Duration::from_secs(10);

type Labels = BTreeMap<String, String>;

struct Prometheus {
    url: String,
    client: reqwest::Client,
    _server: Server,
}

impl Prometheus {
    /// Starts it with the rules for queues with `prefix`. Processes have the labels that the chart's PodMonitor
    /// gives them.
    fn start(program: &str, directory: &Path, prefix: &str, jobs: &str) -> Self {
        let path = |name: &str| directory.join(name).display().to_string();
        let rules = read(RULES).replace("scriptorium[.]", &format!("{prefix}[.]"));
        fs::write(path("rules.yaml"), rules).unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yaml]\n\
             scrape_configs:\n{jobs}"
        );
        fs::write(path("prometheus.yml"), config).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let server = Server::start(
            &PathBuf::from(program),
            &[
                &format!("--config.file={}", path("prometheus.yml")),
                &format!("--storage.tsdb.path={}", path("tsdb")),
                &format!("--web.listen-address={address}"),
            ],
            &directory.join("prometheus.log"),
        );
        let client = reqwest::Client::new();
        Self { url: format!("http://{address}/api/v1"), client, _server: server }
    }

    async fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let url = format!("{}/{path}", self.url);
        let url = reqwest::Url::parse_with_params(&url, parameters).unwrap();
        let response = self.client.get(url).send().await.map_err(|error| error.to_string())?;
        let body = response.text().await.map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        let error = answer["error"].as_str().map(str::to_owned);
        error.map_or_else(|| Ok(answer["data"].clone()), Err)
    }

    /// Returns the labels of the series that an expression has now.
    async fn series(&self, expression: &str) -> Result<Vec<Labels>, String> {
        let data = self.get("query", &[("query", expression)]).await?;
        let series = data["result"].as_array().cloned().unwrap_or_default();
        let labels =
            series.into_iter().map(|series| serde_json::from_value(series["metric"].clone()));
        labels.collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    /// Returns the same once there are some; an error if there are none for `patience`.
    async fn some_series(
        &self,
        expression: &str,
        patience: Duration,
    ) -> Result<Vec<Labels>, String> {
        let begin = Instant::now();
        loop {
            let series = self.series(expression).await?;
            if !series.is_empty() {
                return Ok(series);
            }
            if begin.elapsed() > patience {
                return Err(format!("no series: {expression}"));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Checks that each metric in an expression has a series, and that these have the labels by which it
    /// groups and joins.
    async fn check_names(&self, expression: &str, patience: Duration) -> Result<(), String> {
        let names = promql::names(expression);
        let mut labels = BTreeSet::new();
        for selector in &names.selectors {
            let series = self.some_series(selector, patience).await?;
            labels.extend(series.into_iter().flat_map(Labels::into_keys));
        }
        let unknown: Vec<_> = names.labels.difference(&labels).collect();
        if unknown.is_empty() { Ok(()) } else { Err(format!("no label {unknown:?}: {expression}")) }
    }

    /// Checks an expression that must have a series now, all with the labels that `text` shows.
    async fn check_shown(
        &self,
        expression: &str,
        text: &[String],
        patience: Duration,
    ) -> Result<(), String> {
        self.check_names(expression, patience).await?;
        for series in self.some_series(expression, patience).await? {
            if let Some(label) = text.iter().find(|label| !series.contains_key(*label)) {
                return Err(format!("no label `{label}` to show: {expression}"));
            }
        }
        Ok(())
    }

    /// Checks an alert: all that it compares has a series, and the labels that its annotations name.
    async fn check_alert(
        &self,
        expression: &str,
        text: &[String],
        patience: Duration,
    ) -> Result<(), String> {
        self.check_names(expression, patience).await?;
        let operands = promql::operands(expression);
        for operand in &operands {
            self.some_series(operand, patience).await?;
        }
        self.check_shown(&operands[0], text, patience).await
    }
}

/// Reads a file of the repository when the test runs, so that a change to it needs no compilation.
fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns what stands between `start` and `end` in a text, each time.
fn between(text: &str, start: &str, end: &str) -> Vec<String> {
    let parts = text.split(start).skip(1).filter_map(|part| part.split_once(end));
    parts.map(|(label, _)| label.trim().to_owned()).collect()
}

/// Returns the labels that an annotation names, as in `{{ $labels.queue }}`.
fn labels_of_annotation(text: &str) -> Vec<String> {
    let ends = |c: char| !(c.is_alphanumeric() || c == '_');
    text.split("$labels.").skip(1).map(|part| part.split(ends).next().unwrap().to_owned()).collect()
}

/// An expression of the dashboard, and the labels that its legend shows.
fn queries_of_dashboard(prefix: &str) -> Vec<(String, Vec<String>)> {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries = targets.map(|target| {
        let expression = target["expr"].as_str().unwrap();
        let legend = target["legendFormat"].as_str().unwrap();
        (with_variables(expression, prefix), between(legend, "{{", "}}"))
    });
    // A variable lists the values of a label: `label_values(selector, label)`.
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter();
    let lists = variables.filter_map(|variable| variable["query"]["query"].as_str()).map(|query| {
        let inner = query.strip_prefix("label_values(").unwrap().strip_suffix(')').unwrap();
        let (selector, label) = inner.rsplit_once(", ").unwrap();
        (with_variables(selector, prefix), vec![label.to_owned()])
    });
    queries.chain(lists).collect()
}

fn with_variables(expression: &str, prefix: &str) -> String {
    expression
        .replace("$__rate_interval", "1m")
        .replace("$namespace", ".*")
        .replace("$pool", ".*")
        .replace("$prefix", prefix)
}

/// Returns metric and labels of each series in promtool's tests. Of the values of labels, those remain that we
/// choose from a few.
fn series_of_tests() -> BTreeMap<String, BTreeSet<String>> {
    let text = TESTS_OF_RULES.map(read).concat();
    let series = text
        .lines()
        .filter_map(|line| line.trim().trim_start_matches("- ").strip_prefix("series: "));
    let mut result: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for series in series {
        let (metric, labels) = series.trim_end_matches('}').split_once('{').unwrap();
        let labels: Vec<_> =
            labels.split(", ").map(|label| label.split_once('=').unwrap()).collect();
        let chosen = labels
            .iter()
            .filter(|(name, _)| ["outcome", "code", "lane", "channel"].contains(name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>();
        let selector = format!("{metric}{{{}}}", chosen.join(","));
        result
            .entry(selector)
            .or_default()
            .extend(labels.iter().map(|(name, _)| (*name).to_owned()));
    }
    result
}

#[tokio::test(flavor = "multi_thread")]
async fn every_expression_has_a_series_of_real_processes() {
    let (Some(models), Some(services)) = (models(), Services::of_test("monitoring")) else {
        return;
    };
    let Some(program) = variable("SCRIPTORIUM_TEST_PROMETHEUS") else { return };
    let bucket = services.bucket().await;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    bucket.put("in/good.opus", fs::read(speech("sentence.opus")).unwrap()).await;
    bucket.put("in/bad.wav", b"RIFF".to_vec()).await;

    let (worker_port, bridge_port) = (free_port(), free_port());
    let listening = |port: u16| {
        let address = format!("127.0.0.1:{port}");
        services.scriptorium(&models).with("SCRIPTORIUM__TELEMETRY__LISTEN", &address)
    };
    let scriptorium = listening(worker_port);
    let worker = scriptorium.start(["worker", "--threads", "1"], &path("worker.log"));
    let config = bridge::configuration(directory.path(), &services, "");
    let bridge = listening(bridge_port).start(["bridge", "--config", &config], &path("bridge.log"));
    let jobs = format!(
        "- job_name: worker\n  static_configs:\n  - targets: ['127.0.0.1:{worker_port}']\n    labels: \
         {{namespace: asr, pool: cpu}}\n- job_name: bridge\n  static_configs:\n  - targets: \
         ['127.0.0.1:{bridge_port}']\n    labels: {{namespace: asr}}\n- job_name: rabbitmq\n  metrics_path: \
         /metrics/detailed\n  params: {{family: [queue_coarse_metrics, queue_consumer_count]}}\n  \
         static_configs:\n  - targets: ['{}']\n    labels: {{namespace: broker}}\n",
        services.amqp_metrics
    );
    let prometheus = Prometheus::start(&program, directory.path(), &services.name, &jobs);
    wait_for_log(&path("bridge.log"), "waiting for uploads").await;
    let ready = format!("http://127.0.0.1:{worker_port}/readyz");
    wait_for_answer(&ready, "ready", |status, _| status == 200).await;
    // Series that are as old as the worker have a rate when its first job ends.
    let url = format!("{}/query?query=scriptorium_leasing==1", prometheus.url);
    wait_for_answer(&url, "scraped", |_, body| body.contains("\"value\"")).await;

    let (recordings, out) = (services.uri("in/"), services.uri("out/"));
    let status = scriptorium.run(["submit", &recordings, "--out", &out, "--wait", "--json"]);
    let status = status.expect_code(1).json();
    assert_eq!((&status["done"], &status["failed"]), (&1.into(), &1.into()), "{status}");
    let good = services.uri("in/good.opus");
    let retried = ["submit", &good, "--out", &out, "--model", "absent", "--wait", "--json"];
    let status = scriptorium.run(retried).expect_code(1).json();
    assert_eq!(status["failed"], 1, "{status}");

    let mut wrong = Vec::new();
    // Grafana finds the prefixes of queues by the name of one that each deployment has.
    let suffix = between(&read(DASHBOARD), "\"regex\": \"/^(.+)[.]", "$/\"").remove(0);
    let queue = format!("{}.{suffix}", services.name);
    let queue = format!("rabbitmq_detailed_queue_messages_ready{{queue=\"{queue}\"}}");
    wrong.extend(prometheus.some_series(&queue, PATIENCE).await.err());
    for (expression, labels) in queries_of_dashboard(&services.name) {
        wrong.extend(prometheus.check_shown(&expression, &labels, PATIENCE).await.err());
    }
    let groups = prometheus.get("rules", &[]).await.unwrap();
    let groups = groups["groups"].as_array().unwrap().iter();
    let rules: Vec<_> = groups.flat_map(|group| group["rules"].as_array().unwrap()).collect();
    assert_eq!(rules.len(), read(RULES).matches("\n        expr: ").count(), "all are loaded");
    for rule in rules {
        let (name, query) = (rule["name"].as_str().unwrap(), rule["query"].as_str().unwrap());
        let checked = if rule["type"] == "alerting" {
            let labels = labels_of_annotation(&rule["annotations"].to_string());
            prometheus.check_alert(query, &labels, PATIENCE).await
        } else {
            prometheus.check_shown(query, &[], PATIENCE).await
        };
        wrong.extend(checked.err().map(|error| format!("{name}: {error}")));
    }
    for (selector, labels) in series_of_tests() {
        let checked = prometheus.some_series(&selector, PATIENCE).await.and_then(|series| {
            let known: BTreeSet<_> = series.into_iter().flat_map(Labels::into_keys).collect();
            let unknown: Vec<_> = labels.iter().filter(|label| !known.contains(*label)).collect();
            if unknown.is_empty() {
                Ok(())
            } else {
                Err(format!("no label {unknown:?}: {selector}"))
            }
        });
        wrong.extend(checked.err().map(|error| format!("tests/monitoring: {error}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    mistakes_are_found(&prometheus).await;

    let firing =
        prometheus.series("ALERTS{alertstate=\"firing\",severity=\"critical\"}").await.unwrap();
    assert!(firing.is_empty(), "{firing:?}");
    drop((worker, bridge));
    services.queue().await.delete_queues().await.unwrap();
}

/// Checks the checks.
async fn mistakes_are_found(prometheus: &Prometheus) {
    let no_labels: &[String] = &[];
    for expression in [
        "sum(rate(scriptorium_jobs_totals[1m])) or vector(0)",
        "sum(rate(scriptorium_jobs_total{outcom=\"done\"}[1m])) or vector(0)",
        "sum(rate(scriptorium_jobs_total{outcome=\"finished\"}[1m])) or vector(0)",
        "sum by (lan) (rate(scriptorium_jobs_total[1m]))",
        "scriptorium_leasing and on (pood) scriptorium_draining",
        "scriptorium_leasing and on (job) (scriptorium_uploads_total > 1e9)",
        "sum(scriptorium_leasing",
    ] {
        let found = prometheus.check_shown(expression, no_labels, Duration::ZERO).await;
        assert!(found.is_err(), "{expression}");
    }
    let lane = "sum by (lane) (scriptorium_jobs_in_flight)";
    assert_eq!(prometheus.check_shown(lane, &["lane".to_owned()], Duration::ZERO).await, Ok(()));
    assert!(prometheus.check_shown(lane, &["lanes".to_owned()], Duration::ZERO).await.is_err());
    for alert in [
        "sum by (lane) (scriptorium_job_in_flight) > 9",
        "scriptorium_leasing > 9 unless on (instance) scriptorium_drains == 1",
        "scriptorium_leasing / on (job) scriptorium_heartbeats_total{job=\"bridge\"} > 9",
        "absent(rabbitmq_queue_messages_ready{queue=~\".+\"})",
    ] {
        assert!(prometheus.check_alert(alert, no_labels, Duration::ZERO).await.is_err(), "{alert}");
    }
    let alert = "sum by (lane) (scriptorium_jobs_in_flight) > 9";
    assert_eq!(prometheus.check_alert(alert, &["lane".to_owned()], Duration::ZERO).await, Ok(()));
    assert!(prometheus.check_alert(alert, &["pool".to_owned()], Duration::ZERO).await.is_err());
}
