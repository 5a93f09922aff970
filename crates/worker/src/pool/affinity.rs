//! The CPUs that threads run on.

use std::io;

/// Returns the CPUs that the calling thread may run on: those of the process, unless it is bound.
#[cfg(target_os = "linux")]
pub(super) fn cpus() -> io::Result<Vec<usize>> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Binds the calling thread to `cpu`.
#[cfg(target_os = "linux")]
pub(super) fn pin(cpu: usize) -> io::Result<()> {
    use rustix::thread::{CpuSet, sched_setaffinity};
    let mut set = CpuSet::new();
    if cpu < CpuSet::MAX_CPU {
        set.set(cpu);
    }
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn cpus() -> io::Result<Vec<usize>> {
    Err(unsupported())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn pin(_cpu: usize) -> io::Result<()> {
    Err(unsupported())
}

#[cfg(not(target_os = "linux"))]
fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "threads can be bound to CPUs on Linux only")
}
