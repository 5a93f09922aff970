//! How the C library hands out memory, in the one way that matters to networks.

#![allow(unsafe_code)]

/// Has all threads take memory from one heap, where the C library is glibc. Call it before there are
/// threads.
///
/// By default threads have heaps of their own, and what one allocates and another frees leaves holes
/// in all of them: a recording of three hours was at 340 MB after a minute, and with one heap at 256.
/// Threads share its lock instead, which small allocations do not take.
pub fn share() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` may be called at any time; it changes a number. It fails for unknown
    // parameters only, and then nothing is lost.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
