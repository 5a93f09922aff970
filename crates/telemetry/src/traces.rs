//! Traces over OTLP: from `submit` through the queue to the worker.

use std::{collections::HashMap, time::Duration};

use app::config::TelemetryConfig;
use opentelemetry::{
    KeyValue,
    propagation::TextMapPropagator,
    trace::{TraceContextExt, TracerProvider},
};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracerProvider},
};
use tracing::{Level, Metadata, Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::{
    filter::{FilterFn, filter_fn},
    registry::LookupSpan,
};
use worker::events::{JobEvent, Observer, WorkerEvent};

use crate::Error;

/// The name of the header, in W3C Trace Context.
const TRACEPARENT: &str = "traceparent";
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last spans may take to be sent when the process ends.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Sends spans to a collector, in batches, on a thread of its own.
pub(crate) struct Tracer {
    provider: SdkTracerProvider,
}

impl Tracer {
    /// Returns `None` if the configuration names no collector.
    pub(crate) fn new(config: &TelemetryConfig) -> Result<Option<Self>, Error> {
        let ratio = config.trace_ratio;
        if !(0.0..=1.0).contains(&ratio) {
            return Err(Error::Ratio(ratio));
        }
        if config.otlp_endpoint.is_empty() {
            return Ok(None);
        }
        let endpoint = format!("{}/v1/traces", config.otlp_endpoint.trim_end_matches('/'));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(&endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|source| Error::Endpoint { endpoint, source })?;
        let resource = Resource::builder_empty()
            .with_attributes([
                KeyValue::new("service.name", config.service_name.clone()),
                KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            ])
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            // Whoever began the trace has decided.
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
            .build();
        Ok(Some(Self { provider }))
    }

    pub(crate) fn layer<S>(&self) -> OpenTelemetryLayer<S, opentelemetry_sdk::trace::SdkTracer>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer().with_tracer(self.provider.tracer("scriptorium"))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // Nobody is left to be told if it fails.
        let _ = self.provider.shutdown_with_timeout(SHUTDOWN_TIMEOUT);
    }
}

/// The targets of our own crates.
const OURS: [&str; 6] = ["worker", "scriptorium", "store", "queue", "ledger", "speech"];

/// Returns what traces contain: all spans of our own crates but the finest, and the lines of the log at
/// `info` and above.
pub(crate) fn filter() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    filter_fn(|metadata| {
        let ours = metadata.target().split("::").next().is_some_and(|name| OURS.contains(&name));
        let finest = if metadata.is_span() { Level::DEBUG } else { Level::INFO };
        ours && *metadata.level() <= finest
    })
}

/// Returns the trace of a span, for the header of a message; empty if there is none.
pub fn current_trace(span: &Span) -> String {
    let context = span.context();
    if !context.span().span_context().is_valid() {
        return String::new();
    }
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut headers);
    headers.remove(TRACEPARENT).unwrap_or_default()
}

/// Continues the traces of jobs.
#[derive(Debug, Default)]
pub struct TraceObserver;

impl Observer for TraceObserver {
    fn job(&self, _: &JobEvent<'_>) {}

    fn worker(&self, _: &WorkerEvent) {}

    fn span(&self, span: &Span, trace: &str) {
        if trace.is_empty() {
            return;
        }
        let headers = HashMap::from([(TRACEPARENT.to_owned(), trace.to_owned())]);
        let context = TraceContextPropagator::new().extract(&headers);
        // Fails if nothing is traced, or the span has begun; then the job has a trace of its own.
        let _ = span.set_parent(context);
    }
}
