//! Section `telemetry`.

use serde::{Deserialize, Serialize};

/// What operators see of a worker besides its log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Address and port on which a worker serves `/metrics`, `/livez`, `/readyz` and `/startupz`, such as
    /// `0.0.0.0:9464`; empty: it serves nothing.
    pub listen: String,
    /// Base URL of an OpenTelemetry collector that takes traces over OTLP by HTTP, such as
    /// `http://localhost:4318`; empty: no traces.
    pub otlp_endpoint: String,
    /// Part of the batches (`submit`) and of the jobs without a trace that are traced, from 0 to 1.
    pub trace_ratio: f64,
    /// `service.name` of traces.
    pub service_name: String,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            listen: String::new(),
            otlp_endpoint: String::new(),
            trace_ratio: 1.0,
            service_name: "scriptorium".to_owned(),
        }
    }
}
