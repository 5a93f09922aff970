//! The memory policy of the process: how glibc allocates and returns memory.
//!
//! Tensors are large, and their sizes follow the lengths of windows. Memory that threads free
//! fragments, the next window does not fit into the gaps, and the process grows for hours.

#![allow(unsafe_code)]

/// Limits the memory of this process if its C library is glibc. Call it before any thread starts; it
/// starts one.
///
/// All threads allocate from one arena, because with one arena each, all of them fragment; its lock
/// is not needed for small allocations. While the process computes, unused pages are returned to
/// the system. `docs/benchmarks.md` (Memory) has the effect.
///
/// # Errors
///
/// If the thread does not start.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub(crate) fn limit_fragmentation() -> std::io::Result<()> {
    use std::{thread, time::Duration};
    /// Fetching returned pages again costs 1 % of the time at one trim per second.
    const INTERVAL: Duration = Duration::from_secs(2);
    /// A process that used less CPU time than this since the last trim freed too little to matter.
    const MIN_CPU_TIME: Duration = Duration::from_millis(100);

    // SAFETY: `mallopt` only sets a number and may be called at any time. It fails for unknown
    // parameters only, which leaves the default.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    let trim = || {
        let mut last = Duration::ZERO;
        loop {
            thread::sleep(INTERVAL);
            let now = cpu_time();
            if now.saturating_sub(last) > MIN_CPU_TIME {
                // SAFETY: any thread may call it at any time.
                unsafe { libc::malloc_trim(0) };
                last = now;
            }
        }
    };
    thread::Builder::new().name("malloc-trim".to_owned()).spawn(trim).map(drop)
}

/// Returns the CPU time of all threads of this process.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn cpu_time() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    std::time::Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Other C libraries need no policy, or offer none.
///
/// # Errors
///
/// Never.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn limit_fragmentation() -> std::io::Result<()> {
    Ok(())
}
