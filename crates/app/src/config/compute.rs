//! Section `compute`.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ComputeConfig {
    /// Cores to use; 0: all that this process may use (the cgroup's quota counts).
    pub threads: usize,
    /// Bind each thread to one of the CPUs that this process may use (Linux).
    pub pin: bool,
}

impl ComputeConfig {
    /// Returns the number of compute threads to start.
    pub fn cores(&self) -> usize {
        match self.threads {
            0 => crate::available_cores(),
            threads => threads,
        }
    }
}
