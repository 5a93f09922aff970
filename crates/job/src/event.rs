//! Events: what becomes of jobs and batches, as CloudEvents in their JSON format (cloudevents.io, version 1.0).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{BatchEnd, BatchId, FailureCode};

/// A CloudEvent. `id` and `source` together identify it: the same event may come more than once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event<D> {
    #[schemars(extend("const" = "1.0"))]
    pub specversion: String,
    /// For a job: `<key>.<topic>`, the key being the job's id if its message gave none. For a batch:
    /// `<submission>.<topic>`.
    pub id: String,
    /// Prefix of the batch's records; of a job without a batch, its `output`.
    pub source: String,
    /// `scriptorium.<topic>`; the topic is also the routing key.
    #[serde(rename = "type")]
    pub kind: String,
    /// Id of the job or the batch.
    pub subject: String,
    /// In RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    #[schemars(extend("const" = "application/json"))]
    pub datacontenttype: String,
    /// The trace that it belongs to (W3C Trace Context).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub traceparent: Option<String>,
    pub data: D,
}

/// The job of an event, and who ended it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EndedJob {
    /// The id that the message gave the job, else its key.
    pub job: String,
    /// Absent if the job has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BatchId")]
    pub batch: Option<BatchId>,
    pub source: String,
    /// URI of the transcript without the extension of a format.
    pub output: String,
    /// `urgent`, `normal` or `bulk`.
    pub lane: String,
    /// Name of the worker.
    pub worker: String,
}

/// Data of `scriptorium.job.done`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobDone {
    #[serde(flatten)]
    pub job: EndedJob,
    /// URI of the transcript in JSON.
    pub transcript: String,
    /// Whether the transcript existed.
    pub up_to_date: bool,
    /// What was worked; absent if the job was found done when its message came again.
    #[serde(flatten, default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
}

/// How a job was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Work {
    pub audio_seconds: f64,
    /// 0 if the transcript existed.
    pub cpu_seconds: f64,
    /// Name of the recognizer.
    pub model: String,
}

/// Data of `scriptorium.job.failed`: the job is given up, and is in the dead-letter queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobFailed {
    #[serde(flatten)]
    pub job: EndedJob,
    pub code: FailureCode,
    /// Cause, for people.
    pub message: String,
    /// What to do about it, for people.
    pub remedy: String,
    /// Number of attempts, including the last.
    pub attempts: u32,
}

/// Data of `scriptorium.job.cancelled`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobCancelled {
    #[serde(flatten)]
    pub job: EndedJob,
}

/// Data of `scriptorium.batch.submitted`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BatchSubmitted {
    pub batch: BatchId,
    /// Id of the submission, a UUID.
    pub submission: String,
    /// Prefix of the transcripts.
    pub output: String,
    /// `urgent`, `normal` or `bulk`.
    pub lane: String,
    /// Jobs of the batch, of all submissions so far.
    pub jobs: Option<u64>,
    /// Jobs of this submission.
    pub submitted_jobs: u64,
}

/// Data of `scriptorium.batch.completed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BatchCompleted {
    pub batch: BatchId,
    /// Id of the submission on whose behalf the event is sent, a UUID.
    pub submission: String,
    /// Prefix of the transcripts.
    pub output: String,
    #[serde(flatten)]
    pub end: BatchEnd,
}
