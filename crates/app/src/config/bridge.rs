//! Section `bridge`.

use job::JobOptions;
use queue::Lane;
use serde::{Deserialize, Serialize};

/// How uploads become jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BridgeConfig {
    /// Exchange to which the store's notifications are published. It is declared, with the type `topic`,
    /// unless it exists. Empty: whoever sends notifications publishes them to the queue
    /// `<prefix>.uploads`.
    pub exchange: String,
    /// Routing key of the notifications.
    pub routing_key: String,
    /// The first rule whose source contains the object decides.
    pub rules: Vec<BridgeRule>,
}

impl Default for BridgeConfig {
    fn default() -> Self {
        Self { exchange: String::new(), routing_key: "#".to_owned(), rules: Vec::new() }
    }
}

/// Which uploads become which jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BridgeRule {
    /// Prefix of the recordings: `s3://bucket/prefix/`.
    pub source: String,
    /// Prefix of the transcripts, and of the records of their batches.
    pub output: String,
    /// Name of the transcript below `output`, without the extension of a format. `{path}` is the path of
    /// the recording below `source`, `{stem}` the same without its extension, `{date}` the day of the
    /// upload (2026-11-26, in UTC).
    #[serde(default = "whole_path")]
    pub name: String,
    /// Take only files whose path below `source` matches one of these.
    #[serde(default)]
    pub include: Vec<String>,
    /// Leave out files whose path below `source` matches one of these.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Take files without the extension of a recording, too.
    #[serde(default)]
    pub all_files: bool,
    #[serde(default)]
    pub lane: Lane,
    /// Options of the jobs, as in a job message.
    #[serde(default)]
    pub options: JobOptions,
}

fn whole_path() -> String {
    "{path}".to_owned()
}
