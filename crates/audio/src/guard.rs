//! A wall round third-party decoders.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

use symphonia::core::errors::{Error as SymphoniaError, Result};

/// Runs a demuxer or a decoder. symphonia is safe Rust and meant never to panic, but it parses
/// what anybody has uploaded, and one bad file must not end a worker: a panic (divisions by zero
/// and, in builds that check them, overflows have been met) becomes an error of this recording. The
/// state that it may leave behind is not used again: the caller gives up, or makes a new decoder.
pub(crate) fn guarded<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    keep_quiet_about_guarded_panics();
    let outer = GUARDED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(run));
    GUARDED.set(outer);
    result.unwrap_or(Err(SymphoniaError::DecodeError(PANICKED)))
}

pub(crate) const PANICKED: &str = "the decoder panicked";

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Puts a hook before the process's panic hook, which would print each panic that is caught here,
/// and there may be hundreds in one damaged recording, like an accident of the process.
fn keep_quiet_about_guarded_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = take_hook();
        set_hook(Box::new(move |info| {
            if GUARDED.get() {
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
    fn a_panic_is_an_error_and_is_not_printed() {
        thread_local! {
            static PRINTED: Cell<u32> = const { Cell::new(0) };
        }
        let hook = take_hook();
        set_hook(Box::new(move |info| {
            PRINTED.set(PRINTED.get() + 1);
            hook(info);
        }));
        let result: Result<()> = guarded(|| panic!("of a decoder"));
        assert!(matches!(result, Err(SymphoniaError::DecodeError(PANICKED))));
        assert_eq!(PRINTED.get(), 0);
        assert!(catch_unwind(|| panic!("expected by this test")).is_err());
        assert_eq!(PRINTED.get(), 1, "panics elsewhere are the process's");
        assert!(matches!(guarded(|| Ok(3)), Ok(3)));
    }
}
