//! Cores, compute threads and instruction sets.

use std::thread;

use worker::ComputePool;

use crate::{ConfigError, Error};

/// Returns the instruction sets that matrices are multiplied with, as in "avx512 and bf16".
///
/// # Errors
/// [`Error::Config`] if `SCRIPTORIUM_KERNELS` names a set that is unknown or that this CPU does not
/// support.
pub fn instruction_sets() -> Result<&'static str, Error> {
    Ok(kernels::instruction_sets().map_err(|error| ConfigError::new(error.to_string()))?)
}

/// Returns the number of CPUs in this process's affinity mask, or fewer if the cgroup's quota
/// grants fewer (`available_parallelism` respects both).
pub fn available_cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Starts `threads` compute threads, each bound to one CPU if `pin` is set.
///
/// # Errors
/// [`Error::Threads`] if the system refuses to start or to bind a thread.
pub fn start_pool(threads: usize, pin: bool) -> Result<ComputePool, Error> {
    let (pool, context) = if pin {
        (ComputePool::pinned(threads), "compute.pin: cannot bind threads to CPUs")
    } else {
        (ComputePool::new(threads), "cannot start the compute threads")
    };
    pool.map_err(|source| Error::Threads { context, source })
}
