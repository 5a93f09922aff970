//! How the C library hands out memory, in the two ways that matter to networks. Their tensors are
//! large and as many as windows are long: what threads take and give back leaves holes that the next
//! window does not fit, and a process grows for hours.

#![allow(unsafe_code)]

/// Keeps the memory of this process small where the C library is glibc. Call it before there are
/// threads; it starts one.
///
/// All threads take memory from one heap, as each having its own leaves holes in all of them; its
/// lock is not for small allocations. And as long as the process computes, pages that nobody uses go
/// back to the system. A recording of three hours then peaks at 250 MB, and with neither at 350.
///
/// # Errors
/// If the thread does not start.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_small() -> std::io::Result<()> {
    use std::{thread, time::Duration};
    /// Pages that are needed again cost a hundredth of the time at once a second.
    const EVERY: Duration = Duration::from_secs(2);
    /// Less CPU time leaves nothing to give back.
    const COMPUTED: Duration = Duration::from_millis(100);

    // SAFETY: `mallopt` may be called at any time; it changes a number. It fails for unknown
    // parameters only, and then nothing is lost.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
    let tidy = || {
        let mut last = Duration::ZERO;
        loop {
            thread::sleep(EVERY);
            let now = cpu_time();
            if now.saturating_sub(last) > COMPUTED {
                // SAFETY: it may be called at any time, by any thread.
                unsafe { libc::malloc_trim(0) };
                last = now;
            }
        }
    };
    thread::Builder::new().name("heap".to_owned()).spawn(tidy).map(drop)
}

/// Of all threads of this process.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn cpu_time() -> std::time::Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to `time` and nothing else. Without that clock, time stands still.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    std::time::Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Other C libraries need no help, or know none.
///
/// # Errors
/// Never.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_small() -> std::io::Result<()> {
    Ok(())
}
