//! Everything of one run: what there is at its beginning, and how far it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    Report,
    broker::Broker,
    fleet::{Slot, clock_library},
    gateway::{Gateway, Journal},
    recordings::Wrong,
    workload::{self, Places, Planned, Route, Upload},
    world::{Queues, Store},
};
use crate::{services::Services, support::Scriptorium};

const WORKERS: usize = 3;

pub(super) struct Scene {
    pub(super) begin: Instant,
    pub(super) report: Arc<Report>,
    pub(super) journal: Arc<Journal>,
    pub(super) store: Store,
    pub(super) places: Places,
    pub(super) broker: Arc<Broker>,
    pub(super) queue_prefix: String,
    pub(super) slots: Vec<Arc<Slot>>,
    pub(super) has_clocks: bool,
    pub(super) jobs: Vec<Planned>,
    /// Messages that are no jobs, by their id.
    pub(super) no_jobs: BTreeMap<String, Vec<u8>>,
    /// Keys of the objects that there were before.
    pub(super) uploads: BTreeSet<String>,
    pub(super) batches: BTreeMap<Route, String>,
}

impl Scene {
    /// Starts the broker and the workers' ways to it, plans the jobs and uploads their recordings.
    pub(super) async fn set(
        services: &Services,
        directory: &Path,
        random: &mut fastrand::Rng,
        count: usize,
    ) -> Self {
        let broker = Broker::create(&directory.join("broker"));
        let id = services.name.trim_start_matches("chaos-").to_owned();
        let bucket = format!("scriptorium-chaos-{id}");
        let store = Store::create(services.client(), bucket.clone()).await;
        let locked = format!("scriptorium-locked-{id}");
        let theirs = Store::create(services.other_client(), locked.clone()).await;
        let places = Places { bucket, locked };
        let (jobs, uploads) = workload::plan(random, &places, count);
        let mut keys = BTreeSet::new();
        for Upload { bucket, key, body } in uploads {
            if bucket == theirs.bucket {
                theirs.put(&key, body).await;
            } else {
                store.put(&key, body).await;
                keys.insert(key);
            }
        }
        let (journal, library) = (Arc::<Journal>::default(), clock_library());
        let mut slots = Vec::new();
        for number in 0..WORKERS {
            let gateway = Gateway::start(services.s3_address(), random.u64(..), &journal).await;
            let slot =
                Slot::new(number, gateway, &broker.address(), directory, library.as_ref()).await;
            slots.push(Arc::new(slot));
        }
        Self {
            begin: Instant::now(),
            report: Arc::default(),
            journal,
            store,
            places,
            broker: broker.into(),
            queue_prefix: services.name.clone(),
            slots,
            has_clocks: library.is_some(),
            jobs,
            no_jobs: BTreeMap::new(),
            uploads: keys,
            batches: BTreeMap::new(),
        }
    }

    /// Submits the jobs, each in its way, some of their messages more than once.
    pub(super) async fn submit(&mut self, scriptorium: &Scriptorium, directory: &Path) {
        let batch = |submitted: Value| submitted["batch"].as_str().unwrap().to_owned();
        let out = |route: Route| self.places.uri(&format!("{}/", route.folder()));
        let count = |route: Route| self.jobs.iter().filter(|job| job.route == route).count();
        let lane = self.jobs.iter().find(|job| job.route == Route::Prefix);
        let lane =
            if lane.is_some_and(|job| job.queue == "jobs.urgent") { "urgent" } else { "normal" };

        let (source, prefix_out) = (self.places.uri("in/prefix/"), out(Route::Prefix));
        let submit =
            ["submit", &source, "--out", &prefix_out, "--format", "srt", "--lane", lane, "--json"];
        let submitted = scriptorium.run(submit).expect_code(0).json();
        assert_eq!(submitted["jobs"], count(Route::Prefix), "{submitted}");
        self.batches.insert(Route::Prefix, batch(submitted));

        let manifest = directory.join("manifest.jsonl");
        let rows = self.jobs.iter().filter(|job| job.route == Route::Manifest).map(|job| {
            let row = json!({"source": job.source, "output": job.output, "options": job.options});
            format!("{row}\n")
        });
        fs::write(&manifest, rows.collect::<String>()).unwrap();
        let manifest_out = out(Route::Manifest);
        let submit = [
            "submit",
            "--manifest",
            manifest.to_str().unwrap(),
            "--out",
            &manifest_out,
            "--lane",
            "bulk",
            "--json",
        ];
        let submitted = scriptorium.run(submit).expect_code(0).json();
        assert_eq!(submitted["jobs"], count(Route::Manifest), "{submitted}");
        self.batches.insert(Route::Manifest, batch(submitted));

        let id = uuid::Uuid::now_v7().to_string();
        // `status` counts the jobs of a batch that has this record.
        let recorded =
            self.jobs.iter().filter(|job| job.route == Route::Messages && job.is_recorded());
        let record = json!({
            "version": 2, "id": id, "sources": [self.places.uri("in/messages/")],
            "output": self.places.uri(Route::Messages.folder()),
            "jobs": recorded.count(), "submitted_at": "2026-11-26T08:00:00Z",
        });
        let key = format!("{}/.scriptorium/{id}/batch.json", Route::Messages.folder());
        self.store.put(&key, record.to_string().into_bytes()).await;
        self.batches.insert(Route::Messages, id);
        self.publish().await;
    }

    async fn publish(&mut self) {
        let queues = self.queues().await;
        for job in &self.jobs {
            let batch = &self.batches[&job.route];
            let message = job.message(&self.places, batch).to_string();
            let first = usize::from(job.route == Route::Messages);
            for _ in 0..first + job.copies {
                queues.publish(job.queue, &job.id(batch), message.as_bytes()).await;
            }
            for _ in 0..job.copies {
                self.report.count("duplicates of messages");
            }
        }
        let good = self.jobs.iter().find(|job| job.route == Route::Messages).unwrap();
        let good = good.message(&self.places, &self.batches[&Route::Messages]);
        for (number, body) in workload::no_jobs(&good).into_iter().enumerate() {
            let id = format!("no-job-{number}");
            queues.publish("jobs", &id, body.as_bytes()).await;
            self.no_jobs.insert(id, body.into_bytes());
        }
    }

    pub(super) async fn queues(&self) -> Queues {
        Queues::connect(&self.broker.url, &self.queue_prefix).await
    }

    /// Returns the key of an object of the bucket.
    pub(super) fn key(&self, uri: &str) -> String {
        uri.strip_prefix(&self.places.uri("")).unwrap_or_else(|| panic!("{uri}")).to_owned()
    }

    /// Returns the prefix of the records of a job's batch.
    pub(super) fn records(&self, job: &Planned) -> String {
        job.records(&self.places, &self.batches[&job.route])
    }

    /// Returns the jobs whose end is recorded and has not come.
    pub(super) async fn open(&self) -> Vec<&Planned> {
        let mut ended = BTreeSet::new();
        for (route, batch) in &self.batches {
            for state in ["done", "failed"] {
                let prefix = format!("{}/.scriptorium/{batch}/{state}/", route.folder());
                for key in self.store.keys(&prefix).await {
                    ended.insert(key[prefix.len()..].chars().take(32).collect::<String>());
                }
            }
        }
        let is_open = |job: &&Planned| {
            job.is_recorded() && !ended.contains(&job.id(&self.batches[&job.route]))
        };
        self.jobs.iter().filter(is_open).collect()
    }

    /// Returns the part of the jobs that have ended.
    pub(super) async fn part_ended(&self) -> f64 {
        1.0 - self.open().await.len() as f64 / self.jobs.len() as f64
    }

    /// Returns the jobs that the workers of these names run alone, as their records say.
    pub(super) async fn jobs_alone(&self, workers: &[String]) -> Vec<String> {
        let mut alone = Vec::new();
        for (job, record) in self.running().await {
            let is_of = |name: &String| record["worker"] == json!(name);
            if record["alone"] == json!(true) && workers.iter().any(is_of) {
                alone.push(job);
            }
        }
        alone
    }

    /// Returns the records of all runs, by job.
    async fn running(&self) -> BTreeMap<String, Value> {
        let mut running = BTreeMap::new();
        for (route, batch) in &self.batches {
            let prefix = format!("{}/.scriptorium/{batch}/running/", route.folder());
            for key in self.store.keys(&prefix).await {
                if let Some(record) = self.store.json(&key).await {
                    running.insert(key[prefix.len()..].to_owned(), record);
                }
            }
        }
        running
    }

    /// Kills whoever runs a deadly job, as long as somebody does.
    pub(super) async fn hunt(&self) {
        let deadly = self.jobs.iter().find(|job| job.wrong() == Some(Wrong::Deadly)).unwrap();
        let id = deadly.id(&self.batches[&deadly.route]);
        let key = format!("{}/running/{id}", self.key(&self.records(deadly)));
        let mut killed = None;
        loop {
            tokio::time::sleep(Duration::from_millis(30)).await;
            let Some(record) = self.store.json(&key).await else { continue };
            let name = record["worker"].as_str().map(str::to_owned);
            if name == killed {
                continue;
            }
            let slot = self.slots.iter().find(|slot| slot.name() == name);
            let Some(slot) = slot else { continue };
            let names = Vec::from_iter(name.clone());
            let before = self.jobs_alone(&names).await;
            if slot.signal("KILL") {
                println!(
                    "chaos: {:5.1} s: the deadly job kills {names:?}",
                    self.begin.elapsed().as_secs_f64()
                );
                self.report.count("SIGKILL because of the deadly job");
                let after = self.jobs_alone(&names).await;
                self.report.leases_lost(1, before.into_iter().chain(after));
                killed = name;
            }
        }
    }
}
