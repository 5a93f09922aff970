//! How the C library hands out memory, in the one way that matters to networks.

#![allow(unsafe_code)]

/// Has all threads take memory from one heap, where the C library is glibc. Call it before there are
/// threads.
///
/// By default threads have heaps of their own, and what one allocates and another frees (a window's
/// keys and values, which go from thread to thread) leaves holes in all of them: 600 MB after hours
/// that need 200. The lock that threads share instead is held for microseconds per network.
pub fn share() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` may be called at any time; it changes a number. It fails for unknown
    // parameters only, and then nothing is lost.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
