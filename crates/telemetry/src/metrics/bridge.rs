//! The metrics of a bridge.

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{Exposition, PREFIX, Pulse, exists, labels::ByUpload, register, registry, text};

/// What became of a notification, or of an upload in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadOutcome {
    /// Its job is in the queue.
    Submitted,
    /// No rule takes it, or it is no recording.
    Ignored,
    /// Its job could not be submitted; another attempt follows.
    Retried,
    /// A rule takes it, but cannot make a job of it.
    Failed,
    /// The message is no notification, and becomes a dead letter.
    Invalid,
}

impl UploadOutcome {
    const ALL: [Self; 5] =
        [Self::Submitted, Self::Ignored, Self::Retried, Self::Failed, Self::Invalid];

    fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Ignored => "ignored",
            Self::Retried => "retried",
            Self::Failed => "failed",
            Self::Invalid => "invalid",
        }
    }
}

/// The metrics of a bridge.
pub struct BridgeMetrics {
    registry: Registry,
    uploads: Family<ByUpload, Counter>,
    pulse: Pulse,
}

impl Default for BridgeMetrics {
    fn default() -> Self {
        let mut registry = registry();
        let ours = registry.sub_registry_with_prefix(PREFIX);
        let uploads = register(ours, "uploads", "Uploads by what became of their notifications");
        let pulse = Pulse::register(ours);
        let metrics = Self { registry, uploads, pulse };
        for outcome in UploadOutcome::ALL {
            exists(&metrics.by_outcome(outcome));
        }
        metrics
    }
}

impl BridgeMetrics {
    /// Counts what became of an upload.
    pub fn upload(&self, outcome: UploadOutcome) {
        self.by_outcome(outcome).inc();
    }

    /// Notes that the loop is alive, and whether notifications can arrive. Call it once a second.
    pub fn beat(&self, is_connected: bool) {
        self.pulse.beat(is_connected);
    }

    fn by_outcome(&self, outcome: UploadOutcome) -> Counter {
        let labels = ByUpload { outcome: outcome.as_str() };
        self.uploads.get_or_create(&labels).clone()
    }
}

impl Exposition for BridgeMetrics {
    fn text(&self) -> String {
        text(&self.registry)
    }
}
