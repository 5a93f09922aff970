//! The metrics of a worker.

use std::sync::atomic::AtomicU64;

use job::FailureCode;
use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use queue::Lane;
use worker::events::{Channel, JobEvent, JobEventKind, Notified, Observer, WorkerEvent};

use super::{
    Exposition, PREFIX, Pulse, exists,
    labels::{self, ByChannel, ByCode, ByLane, ByModel, ByOutcome, ByStage, OUTCOMES, STAGES},
    register, registered, registry, text,
};

type Seconds = Counter<f64, AtomicU64>;

/// The metrics of a worker.
pub struct WorkerMetrics {
    registry: Registry,
    in_flight: Family<ByLane, Gauge>,
    jobs: Family<ByOutcome, Counter>,
    failures: Family<ByCode, Counter>,
    audio: Family<ByModel, Seconds>,
    compute: Family<ByStage, Seconds>,
    job_wait: Family<ByLane, Histogram>,
    job_duration: Family<ByLane, Histogram>,
    recording_duration: Histogram,
    notifications: Family<ByChannel, Counter>,
    leasing: Gauge,
    breaker_open: Gauge,
    draining: Gauge,
    pulse: Pulse,
    memory_high_water: Gauge,
    memory_reserved: Gauge,
    memory_waiting: Gauge,
}

impl Default for WorkerMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl WorkerMetrics {
    pub fn new() -> Self {
        let mut registry = registry();
        let ours = registry.sub_registry_with_prefix(PREFIX);
        // From 1 s to 18 h.
        let histogram: fn() -> Histogram = || Histogram::new(exponential_buckets(1.0, 4.0, 9));
        let metrics = Self {
            in_flight: register(ours, "jobs_in_flight", "Jobs that run"),
            jobs: register(ours, "jobs", "Leased jobs by what became of them"),
            failures: register(ours, "failures", "Failures of runs by code"),
            audio: register(
                ours,
                "audio_seconds",
                "Duration of the recordings that were transcribed",
            ),
            compute: register(
                ours,
                "compute_seconds",
                "CPU time of transcripts that were written, by stage",
            ),
            job_wait: registered(
                ours,
                "job_wait_seconds",
                "Time from the publication of a new job to the start of its first run",
                Family::new_with_constructor(histogram),
            ),
            job_duration: registered(
                ours,
                "job_duration_seconds",
                "Time from the start of a run to its end",
                Family::new_with_constructor(histogram),
            ),
            recording_duration: registered(
                ours,
                "recording_duration_seconds",
                "Duration of each recording that was transcribed",
                histogram(),
            ),
            notifications: register(
                ours,
                "notifications",
                "Attempts to tell somebody that a batch is over, by what became of them",
            ),
            leasing: register(ours, "leasing", "1 while jobs may be leased: from start to drain"),
            breaker_open: register(
                ours,
                "breaker_open",
                "1 while no jobs are leased because a store, or this worker, is at fault",
            ),
            draining: register(ours, "draining", "1 once no more jobs are leased"),
            pulse: Pulse::register(ours),
            memory_high_water: register(
                ours,
                "memory_high_water_bytes",
                "Resident memory above which no more jobs are leased",
            ),
            memory_reserved: register(
                ours,
                "memory_reserved_bytes",
                "Memory that recordings in flight are estimated to take",
            ),
            memory_waiting: register(ours, "memory_waiting_jobs", "Jobs that wait for memory"),
            registry,
        };
        metrics.fill();
        metrics
    }

    /// Begins the series whose labels are known.
    fn fill(&self) {
        for lane in Lane::ALL {
            self.in_flight.get_or_create(&labels::lane(lane)).set(0);
            drop(self.job_wait.get_or_create(&labels::lane(lane)));
            drop(self.job_duration.get_or_create(&labels::lane(lane)));
            for outcome in OUTCOMES {
                exists(&self.jobs.get_or_create(&ByOutcome { lane: lane.as_str(), outcome }));
            }
        }
        for code in FailureCode::ALL {
            for outcome in labels::usual_outcomes(*code) {
                exists(&self.failures.get_or_create(&ByCode { code: code.as_str(), outcome }));
            }
        }
        for stage in STAGES {
            drop(self.compute.get_or_create(&ByStage { stage: stage.to_owned() }));
        }
        for channel in [Channel::Event, Channel::Webhook] {
            for outcome in [Notified::Sent, Notified::Retried, Notified::Failed] {
                exists(&self.notified(channel, outcome));
            }
        }
    }

    /// Counts what became of a leased message, and the failure's code if it failed.
    fn ended(&self, lane: &'static str, outcome: &'static str, failure: Option<FailureCode>) {
        self.jobs.get_or_create(&ByOutcome { lane, outcome }).inc();
        if let Some(code) = failure {
            self.failures.get_or_create(&ByCode { code: code.as_str(), outcome }).inc();
        }
    }

    fn notified(&self, channel: Channel, outcome: Notified) -> Counter {
        let (channel, outcome) = (channel.as_str(), outcome.as_str());
        self.notifications.get_or_create(&ByChannel { channel, outcome }).clone()
    }
}

impl Exposition for WorkerMetrics {
    fn text(&self) -> String {
        text(&self.registry)
    }
}

impl Observer for WorkerMetrics {
    fn job(&self, event: &JobEvent<'_>) {
        let lane = event.lane.as_str();
        if let Some(outcome) = labels::outcome(event.kind) {
            let failure = match event.kind {
                JobEventKind::Failed { failure, .. }
                | JobEventKind::Retried { failure, .. }
                | JobEventKind::Postponed { failure } => Some(failure),
                JobEventKind::Abandoned { failure } => failure.as_ref(),
                _ => None,
            };
            self.ended(lane, outcome, failure.map(|failure| failure.code));
        }
        match event.kind {
            JobEventKind::Started { waited, .. } => {
                self.in_flight.get_or_create(&ByLane { lane }).inc();
                if let Some(waited) = waited {
                    self.job_wait.get_or_create(&ByLane { lane }).observe(waited.as_secs_f64());
                }
            }
            JobEventKind::Stopped { wall_seconds } => {
                self.in_flight.get_or_create(&ByLane { lane }).dec();
                self.job_duration.get_or_create(&ByLane { lane }).observe(*wall_seconds);
            }
            JobEventKind::Done(done) if !done.up_to_date => {
                let model = done.model.clone();
                self.audio.get_or_create(&ByModel { lane, model }).inc_by(done.audio_seconds);
                self.recording_duration.observe(done.audio_seconds);
                for stage in &done.stages {
                    let by_stage = ByStage { stage: stage.name.clone() };
                    self.compute.get_or_create(&by_stage).inc_by(stage.seconds);
                }
            }
            _ => {}
        }
    }

    fn worker(&self, event: &WorkerEvent) {
        match event {
            WorkerEvent::Leasing { lanes, models, .. } => {
                for lane in lanes {
                    for model in models {
                        let by_model = ByModel { lane: lane.as_str(), model: model.clone() };
                        drop(self.audio.get_or_create(&by_model));
                    }
                }
                self.leasing.set(1);
            }
            WorkerEvent::NotReady { .. } => drop(self.breaker_open.set(1)),
            WorkerEvent::Ready { .. } => drop(self.breaker_open.set(0)),
            WorkerEvent::Draining { .. } => {
                self.leasing.set(0);
                self.draining.set(1);
            }
            WorkerEvent::Invalid { lane, .. } => {
                self.ended(lane.as_str(), labels::FAILED, Some(FailureCode::JobInvalid));
            }
            WorkerEvent::Notified { channel, outcome, .. } => {
                self.notified(*channel, *outcome).inc();
            }
            WorkerEvent::Heartbeat { memory, is_connected } => {
                self.pulse.beat(*is_connected);
                let Some(memory) = memory else { return };
                let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
                self.memory_high_water.set(bytes(memory.high_water));
                self.memory_reserved.set(bytes(memory.reserved));
                self.memory_waiting.set(bytes(memory.waiting as u64));
            }
        }
    }

    fn span(&self, _: &tracing::Span, _: &str) {}
}

#[cfg(test)]
pub(in crate::metrics) mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Returns the metrics of a worker that leases jobs and has done none.
    pub(in crate::metrics) fn leasing() -> WorkerMetrics {
        let metrics = WorkerMetrics::new();
        let (worker, lanes, models) = ("w".to_owned(), Lane::ALL.to_vec(), vec!["m".to_owned()]);
        metrics.worker(&WorkerEvent::Leasing { worker, lanes, models, in_flight: 1 });
        metrics
    }

    fn series<'a>(text: &'a str, name: &str) -> BTreeSet<&'a str> {
        text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).collect()
    }

    #[test]
    fn a_worker_has_its_series_before_its_first_job() {
        let text = leasing().text();
        let jobs = series(&text, "scriptorium_jobs_total");
        assert_eq!(jobs.len(), Lane::ALL.len() * OUTCOMES.len(), "{text}");
        assert!(
            jobs.contains("scriptorium_jobs_total{lane=\"bulk\",outcome=\"held\"} 0"),
            "{text}"
        );
        let failures = series(&text, "scriptorium_failures_total");
        for expected in [
            "scriptorium_failures_total{code=\"worker_lost\",outcome=\"failed\"} 0",
            "scriptorium_failures_total{code=\"internal\",outcome=\"retried\"} 0",
            "scriptorium_failures_total{code=\"output_full\",outcome=\"postponed\"} 0",
        ] {
            assert!(failures.contains(expected), "{text}");
        }
        assert_eq!(series(&text, "scriptorium_audio_seconds_total").len(), Lane::ALL.len());
        assert_eq!(series(&text, "scriptorium_compute_seconds_total").len(), STAGES.len());
    }
}
