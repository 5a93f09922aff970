//! Section `log`.

use serde::{Deserialize, Serialize};

/// What is logged, and in which format. Logs go to standard error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// A level of this program's own messages (`info`), or a filter that also names libraries
    /// (`info,aws_config=warn`).
    pub level: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// JSON for a worker or a bridge whose standard error is not a terminal, else pretty.
    Auto,
    Pretty,
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Auto }
    }
}
