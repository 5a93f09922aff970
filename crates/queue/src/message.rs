//! Messages, what happened to them so far, and dead letters.

use std::time::SystemTime;

use bytes::Bytes;

use crate::Lane;

/// A job as the queue transports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Identifies the job across redeliveries, in logs and in the broker's tools.
    pub id: String,
    /// Content of the message, which the queue does not interpret.
    pub body: Bytes,
    pub lane: Lane,
    pub counts: Counts,
    /// The trace that the job belongs to (`traceparent` of W3C Trace Context); empty: none.
    pub trace: String,
}

impl Message {
    /// Creates a message of the normal lane to which nothing has happened yet.
    pub fn new(id: impl Into<String>, body: impl Into<Bytes>) -> Self {
        let (lane, counts, trace) = (Lane::default(), Counts::default(), String::new());
        Self { id: id.into(), body: body.into(), lane, counts, trace }
    }
}

/// Something that happened, for whoever subscribes to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// What it is about, in parts that are separated by dots; subscribers choose by them.
    pub topic: String,
    pub content_type: String,
    pub body: Bytes,
}

/// What happened to a message so far. The numbers travel in its headers, because the broker's own
/// count mixes crashes with releases, differently by version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Transient failures, each of which has spent an attempt.
    pub attempts: u32,
    /// Times that a worker gave the job back without the job's fault.
    pub releases: u32,
    /// Workers that died while they ran this job and no other.
    pub crashes: u32,
    /// Number of earlier submissions of the same job.
    pub generation: u32,
    /// What the last holder of the message saw, to find out whether it has changed; empty: nothing. Of a
    /// job: the version (ETag) of its `running` record when the message was parked; if the record has
    /// another version when the message comes back, the job still runs. Of a watch: the batch's counts.
    pub seen: String,
}

impl Counts {
    /// Returns the counts after the job was given back without its fault.
    #[must_use]
    pub fn released(self) -> Self {
        Self { releases: self.releases.saturating_add(1), ..self }
    }

    /// Returns the counts after another attempt was spent.
    #[must_use]
    pub fn attempted(self) -> Self {
        Self { attempts: self.attempts.saturating_add(1), ..self }
    }
}

/// Why a message is a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterReason {
    /// A machine-readable word, e.g. `source_missing`.
    pub code: String,
    /// A sentence for people.
    pub detail: String,
}

impl DeadLetterReason {
    /// The `code` of a message that was delivered too often without being settled. The queue sets
    /// it, not a worker, because the job may be what kills the workers.
    pub const DELIVERY_LIMIT: &str = "delivery_limit";

    pub(crate) fn delivery_limit(limit: u64) -> Self {
        Self {
            code: Self::DELIVERY_LIMIT.to_owned(),
            detail: format!(
                "came back unsettled more than {limit} times: its workers crashed, lost their \
                 connection or released it"
            ),
        }
    }
}

/// A message that was given up, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub message: Message,
    pub reason: DeadLetterReason,
    /// When it was published, to the second, as its publisher says.
    pub since: Option<SystemTime>,
}
