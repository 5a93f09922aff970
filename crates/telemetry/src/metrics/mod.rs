//! The metrics of a process, in Prometheus' text format. `docs/metrics.md` lists them.

mod bridge;
mod labels;
mod process;
mod worker;

pub use self::{
    bridge::{BridgeMetrics, UploadOutcome},
    worker::WorkerMetrics,
};

use prometheus_client::{
    encoding::prometheus_text,
    metrics::{counter::Counter, gauge::Gauge, info::Info},
    registry::{Metric, Registry},
};

use self::{labels::Build, process::ProcessCollector};

/// The metrics that a process shows.
pub trait Exposition: Send + Sync {
    /// Returns all metrics as text.
    fn text(&self) -> String;
}

/// Prefix of the names of our metrics.
const PREFIX: &str = "scriptorium";

/// The metrics of a loop that leases messages.
struct Pulse {
    heartbeats: Counter,
    queue_connected: Gauge,
}

impl Pulse {
    fn register(ours: &mut Registry) -> Self {
        let help = "Signs of life of the process's loop: one a second, until it drains";
        let heartbeats = register(ours, "heartbeats", help);
        let help = "1 while there is a connection to the broker";
        Self { heartbeats, queue_connected: register(ours, "queue_connected", help) }
    }

    fn beat(&self, is_connected: bool) {
        self.heartbeats.inc();
        self.queue_connected.set(i64::from(is_connected));
    }
}

/// Counts nothing yet, so that the series exists. Only a series that exists has a rate when its first event
/// comes, and workers may live for a few minutes only.
fn exists(counter: &Counter) {
    counter.inc_by(0);
}

/// Returns a registry with what every process shows.
fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(ProcessCollector::new()));
    let build = Info::new(Build { version: env!("CARGO_PKG_VERSION") });
    registry.sub_registry_with_prefix(PREFIX).register("build", "The program", build);
    registry
}

/// Registers a metric that begins empty.
fn register<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    registered(registry, name, help, M::default())
}

fn registered<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M {
    registry.register(name, help, metric.clone());
    metric
}

fn text(registry: &Registry) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = prometheus_text::encode(&mut text, registry);
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Returns name and type of every metric.
    fn described(text: &str) -> BTreeMap<String, String> {
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        types
            .filter_map(|line| line.split_once(' '))
            .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
            .collect()
    }

    #[test]
    fn the_documentation_lists_every_metric_with_its_type() {
        let documentation = include_str!("../../../../docs/metrics.md");
        let rows = documentation.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|');
            let name = cells.next()?.trim().trim_end_matches('`').to_owned();
            let is_metric = name.starts_with("scriptorium_") || name.starts_with("process_");
            is_metric.then_some((name, cells.next()?.trim().to_owned()))
        });
        let documented: BTreeMap<String, String> = rows.collect();
        let mut all = described(&worker::tests::leasing().text());
        all.extend(described(&BridgeMetrics::default().text()));
        assert_eq!(all, documented);
    }
}
