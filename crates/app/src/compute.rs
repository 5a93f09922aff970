//! Cores, compute threads and instruction sets.

use std::thread;

use worker::ComputePool;

use crate::{ConfigError, Error, environment};

/// Selects the instruction sets of the kernels and returns their names, as in "avx512 and bf16":
/// those that `SCRIPTORIUM_KERNELS` asks for, or the best that this CPU supports.
///
/// # Errors
/// [`Error::Config`] if the variable names a set that is unknown or that this CPU does not support.
pub fn instruction_sets() -> Result<&'static str, Error> {
    let requested = environment::requested_kernels();
    kernels::select_instruction_sets(requested.as_deref())
        .map_err(|error| ConfigError::caused(environment::KERNELS, error).into())
}

/// Returns the names of the instruction sets that this CPU supports, the best one last. Selects none.
pub fn supported_instruction_sets() -> Vec<&'static str> {
    // No set has this name, and the error lists those that there are.
    kernels::select_instruction_sets(Some(""))
        .err()
        .map(|error| error.supported)
        .unwrap_or_default()
}

/// Returns the number of CPUs in this process's affinity mask, or fewer if the cgroup's quota
/// grants fewer (`available_parallelism` respects both).
pub fn available_cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Starts `threads` compute threads, each bound to one CPU if `pin` is set, with these `shares` of the
/// cores by class of work.
///
/// # Errors
/// [`Error::Threads`] if the system refuses to start or to bind a thread.
pub fn start_pool(threads: usize, pin: bool, shares: &[f64]) -> Result<ComputePool, Error> {
    let (pool, context) = if pin {
        (ComputePool::pinned(threads, shares), "compute.pin: cannot bind threads to CPUs")
    } else {
        (ComputePool::with_shares(threads, shares), "cannot start the compute threads")
    };
    pool.map_err(|source| Error::Threads { context, source })
}
