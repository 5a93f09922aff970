//! The record by which a batch is paused or cancelled.

use serde::{Deserialize, Serialize};

/// What workers do with the jobs of a batch that are not done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchControl {
    /// They run them.
    #[default]
    Active,
    /// They hold them until the batch is resumed.
    Paused,
    /// They drop them.
    Cancelled,
}

/// The record, `control.json`. Without one, the batch is active.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ControlRecord {
    pub(crate) version: u32,
    pub(crate) state: BatchControl,
}
