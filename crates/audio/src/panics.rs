//! Turns panics of third-party demuxers and decoders into errors.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use symphonia::core::errors::{Error as SymphoniaError, Result};

/// Runs a demuxer or a decoder and returns a panic in it as an error.
///
/// symphonia is safe Rust and is meant never to panic, but it parses files from any source, and one
/// bad file must not end a worker. Panics that have occurred are divisions by zero and, in builds
/// that check them, overflows. The caller must not use the state that a panic may have left
/// inconsistent: it gives up or creates a new decoder.
pub(crate) fn catch_panic<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    silence_caught_panics();
    let outer = CATCHING.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    CATCHING.set(outer);
    result.unwrap_or(Err(SymphoniaError::DecodeError(PANICKED)))
}

/// Message of the error that [`catch_panic`] returns.
pub(crate) const PANICKED: &str = "the decoder panicked";

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// Installs a panic hook that logs caught panics at debug level and passes all others to the
/// previous hook. Without it, each of the hundreds of panics that one damaged recording may cause is
/// printed like a crash of the process.
fn silence_caught_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = take_hook();
        set_hook(Box::new(move |info| {
            if CATCHING.get() {
                tracing::debug!(panic = %info, "a decoder panicked");
            } else {
                hook(info);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caught_panic_is_an_error_and_is_not_printed() {
        thread_local! {
            static PRINTED: Cell<u32> = const { Cell::new(0) };
        }
        let hook = take_hook();
        set_hook(Box::new(move |info| {
            PRINTED.set(PRINTED.get() + 1);
            hook(info);
        }));
        let result: Result<()> = catch_panic(|| panic!("of a decoder"));
        assert!(matches!(result, Err(SymphoniaError::DecodeError(PANICKED))));
        assert_eq!(PRINTED.get(), 0);
        assert!(catch_unwind(|| panic!("expected by this test")).is_err());
        assert_eq!(PRINTED.get(), 1, "other panics are printed");
        assert!(matches!(catch_panic(|| Ok(3)), Ok(3)));
    }
}
