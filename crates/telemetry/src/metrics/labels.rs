//! Labels of metrics. Each has few values, so that the number of series is bounded.

use job::{FailureCode, FailureKind};
use prometheus_client::encoding::EncodeLabelSet;
use queue::Lane;
use worker::events::JobEventKind;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByLane {
    pub(super) lane: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByOutcome {
    pub(super) lane: &'static str,
    pub(super) outcome: &'static str,
}

/// `code` is one of the codes of failures, of which `docs/jobs.md` has a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByCode {
    pub(super) code: &'static str,
    pub(super) outcome: &'static str,
}

/// `model` is one of the recognizers that are loaded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByModel {
    pub(super) lane: &'static str,
    pub(super) model: String,
}

/// `stage` is one of the stages of a transcript's `processing`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByStage {
    pub(super) stage: String,
}

/// Who was told that a batch is over, and whether it worked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByChannel {
    pub(super) channel: &'static str,
    pub(super) outcome: &'static str,
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByUpload {
    pub(super) outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Build {
    pub(super) version: &'static str,
}

pub(super) fn lane(lane: Lane) -> ByLane {
    ByLane { lane: lane.as_str() }
}

pub(super) const FAILED: &str = "failed";
const RETRIED: &str = "retried";
const POSTPONED: &str = "postponed";

/// The stages of a transcript's `processing`.
pub(super) const STAGES: [&str; 5] = ["decode", "vad", "recognize", "punctuate", "speakers"];

/// All values of `outcome`.
pub(super) const OUTCOMES: [&str; 11] = [
    "done",
    "up_to_date",
    FAILED,
    RETRIED,
    POSTPONED,
    "released",
    "abandoned",
    "quarantined",
    "long",
    "held",
    "cancelled",
];

/// Returns the outcomes that failures with a code usually have.
pub(super) fn usual_outcomes(code: FailureCode) -> &'static [&'static str] {
    match code.kind() {
        FailureKind::Permanent => &[FAILED],
        FailureKind::Transient => &[FAILED, RETRIED],
        FailureKind::Dependency | FailureKind::Worker => &[POSTPONED],
        FailureKind::Interrupted => &[],
    }
}

/// Returns the outcome that an event stands for; `None` if it is none.
pub(super) fn outcome(kind: &JobEventKind) -> Option<&'static str> {
    Some(match kind {
        JobEventKind::Started { .. } | JobEventKind::Stopped { .. } => return None,
        JobEventKind::Done(done) if done.up_to_date => "up_to_date",
        JobEventKind::Done(_) => "done",
        JobEventKind::DoneBefore => "up_to_date",
        JobEventKind::Failed { .. } => FAILED,
        JobEventKind::Retried { .. } => RETRIED,
        JobEventKind::Postponed { .. } => POSTPONED,
        JobEventKind::Released => "released",
        JobEventKind::Abandoned { .. } => "abandoned",
        JobEventKind::Quarantined { .. } => "quarantined",
        JobEventKind::Long => "long",
        JobEventKind::Held => "held",
        JobEventKind::Cancelled => "cancelled",
    })
}
