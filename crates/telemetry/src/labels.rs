//! Labels of metrics. Each has few values, so that the number of series is bounded.

use prometheus_client::encoding::EncodeLabelSet;
use queue::Lane;
use worker::events::JobEventKind;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByLane {
    pub(crate) lane: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByOutcome {
    pub(crate) lane: &'static str,
    pub(crate) outcome: &'static str,
}

/// `code` is one of the codes of failures, of which `docs/jobs.md` has a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByCode {
    pub(crate) code: &'static str,
    pub(crate) outcome: &'static str,
}

/// `model` is one of the recognizers that are loaded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByModel {
    pub(crate) lane: &'static str,
    pub(crate) model: String,
}

/// `stage` is one of the stages of a transcript's `processing`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByStage {
    pub(crate) stage: String,
}

/// Who was told that a batch is over, and whether it worked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct ByChannel {
    pub(crate) channel: &'static str,
    pub(crate) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Build {
    pub(crate) version: &'static str,
}

pub(crate) fn lane(lane: Lane) -> ByLane {
    ByLane { lane: lane.as_str() }
}

/// All values of `outcome`.
pub(crate) const OUTCOMES: [&str; 11] = [
    "done",
    "up_to_date",
    "failed",
    "retried",
    "postponed",
    "released",
    "abandoned",
    "quarantined",
    "long",
    "held",
    "cancelled",
];

/// Returns the outcome that an event stands for; `None` if it is none.
pub(crate) fn outcome(kind: &JobEventKind) -> Option<&'static str> {
    Some(match kind {
        JobEventKind::Started { .. } | JobEventKind::Stopped { .. } => return None,
        JobEventKind::Done(done) if done.up_to_date => "up_to_date",
        JobEventKind::Done(_) => "done",
        JobEventKind::DoneBefore => "up_to_date",
        JobEventKind::Failed { .. } => "failed",
        JobEventKind::Retried { .. } => "retried",
        JobEventKind::Postponed { .. } => "postponed",
        JobEventKind::Released => "released",
        JobEventKind::Abandoned { .. } => "abandoned",
        JobEventKind::Quarantined { .. } => "quarantined",
        JobEventKind::Long => "long",
        JobEventKind::Held => "held",
        JobEventKind::Cancelled => "cancelled",
    })
}
