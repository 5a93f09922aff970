//! Starts and stops real workers as the autoscaler says, by what the broker's management API says.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use serde_json::{Value, json};

use super::autoscaler::Autoscaler;
use crate::{
    services::Services,
    support::{Process, Scriptorium},
};

/// Asks the management API as KEDA's triggers do, with `useRegex: "true"` and `operation: sum`.
struct Queues {
    jobs: reqwest::Url,
    others: reqwest::Url,
}

impl Queues {
    fn new(services: &Services, management: &str) -> Self {
        let (_, vhost) = services.amqp_url.rsplit_once('/').unwrap();
        let url = |queues: &str| {
            // The patterns of the chart (`helm/scriptorium/templates/_keda.tpl`).
            let pattern = format!(r"^(?-i:{}\.{queues})$", services.name);
            let parameters = [
                ("page", "1"),
                ("use_regex", "true"),
                ("pagination", "false"),
                ("name", &pattern),
                ("page_size", "100"),
            ];
            let url = format!("{management}/api/queues/{vhost}");
            reqwest::Url::parse_with_params(&url, parameters).unwrap()
        };
        Self {
            jobs: url(r"((jobs|returned|long)(|\.urgent|\.bulk)|quarantine|parked)"),
            others: url("(watches|undelivered)"),
        }
    }

    /// Returns the numbers of messages, those that workers hold included.
    async fn messages(&self) -> [u32; 2] {
        [Self::sum(&self.jobs, 11).await, Self::sum(&self.others, 2).await]
    }

    async fn sum(url: &reqwest::Url, count: usize) -> u32 {
        let answer = reqwest::get(url.clone()).await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
        let queues: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        let queues = queues["items"].as_array().unwrap();
        assert_eq!(queues.len(), count, "{url}: {queues:?}");
        queues.iter().filter_map(|queue| queue["messages"].as_u64()).sum::<u64>() as u32
    }
}

/// KEDA, the horizontal pod autoscaler and the ReplicaSet in one.
pub(super) struct Supervisor<'a> {
    scriptorium: &'a Scriptorium,
    logs: PathBuf,
    queues: Queues,
    autoscaler: Autoscaler,
    begin: Instant,
    /// How many workers there should be.
    replicas: usize,
    /// In the order in which they were started.
    workers: Vec<Process>,
    draining: Vec<Process>,
    pub(super) started: usize,
    samples: Vec<Value>,
    losses: Vec<f64>,
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(
        scriptorium: &'a Scriptorium,
        services: &Services,
        management: &str,
        autoscaler: Autoscaler,
        logs: &Path,
    ) -> Self {
        Self {
            scriptorium,
            logs: logs.to_owned(),
            queues: Queues::new(services, management),
            autoscaler,
            begin: Instant::now(),
            replicas: 0,
            workers: Vec::new(),
            draining: Vec::new(),
            started: 0,
            samples: Vec::new(),
            losses: Vec::new(),
        }
    }

    /// Looks at the queues once, and acts. Returns how many workers there should be now.
    pub(super) async fn step(&mut self) -> usize {
        let [jobs, others] = self.queues.messages().await;
        let now = self.begin.elapsed();
        self.replicas = self.autoscaler.decide(now, self.replicas, jobs, others);
        while self.workers.len() < self.replicas {
            self.started += 1;
            let log = self.logs.join(format!("worker-{}", self.started));
            self.workers.push(self.scriptorium.start(["worker", "--threads", "1"], &log));
        }
        while self.workers.len() > self.replicas {
            let worker = self.workers.pop().unwrap();
            worker.signal("TERM");
            self.draining.push(worker);
        }
        self.draining.retain_mut(|worker| match worker.try_wait() {
            None => true,
            Some(code) => {
                assert_eq!(code, Some(0), "a drained worker: {}", self.logs.display());
                false
            }
        });
        self.samples.push(json!({
            "seconds": now.as_secs_f64(),
            "messages": jobs + others,
            "workers": self.workers.len(),
            "draining": self.draining.len(),
        }));
        self.replicas
    }

    /// Ends the oldest worker like the loss of its machine. The next step replaces it.
    pub(super) fn lose_a_worker(&mut self) {
        let mut victim = self.workers.remove(0);
        victim.signal("KILL");
        assert_eq!(victim.wait(), None, "it was killed");
        self.losses.push(self.begin.elapsed().as_secs_f64());
    }

    /// Returns how many processes there are, those that drain included.
    pub(super) fn processes(&self) -> usize {
        self.workers.len() + self.draining.len()
    }

    /// Returns the lines of all logs with one of the messages, by message.
    pub(super) fn lines(&self, messages: &[&'static str]) -> BTreeMap<&'static str, Vec<Value>> {
        let mut found: BTreeMap<_, Vec<_>> =
            messages.iter().map(|message| (*message, Vec::new())).collect();
        for number in 1..=self.started {
            let log = self.logs.join(format!("worker-{number}"));
            for line in fs::read_to_string(log).unwrap_or_default().lines() {
                let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
                let of_message = found.iter_mut().find(|(message, _)| line["message"] == **message);
                if let Some((_, lines)) = of_message {
                    lines.push(line);
                }
            }
        }
        found
    }

    /// Returns what happened, for `scripts/simulate_scaling.py --rehearsal`.
    pub(super) fn report(&self) -> Value {
        json!({ "samples": self.samples, "losses": self.losses })
    }
}
