//! When a webhook that has not arrived is sent again.

use std::time::Duration;

/// Seconds between the attempts: those of Standard Webhooks, three days in all.
const DELAYS: [u64; 9] =
    [5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600];

/// Returns the time until the next attempt after so many have failed; `None`: there is none. A server that
/// asks for more time gets it.
pub(super) fn next_attempt(failed: u32, retry_after: Option<Duration>) -> Option<Duration> {
    let index = usize::try_from(failed).ok()?.checked_sub(1)?;
    let delay = Duration::from_secs(*DELAYS.get(index)?);
    Some(delay.max(retry_after.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rarer_and_end() {
        let seconds = |failed, after: Option<u64>| {
            next_attempt(failed, after.map(Duration::from_secs)).map(|delay| delay.as_secs())
        };
        assert_eq!((seconds(1, None), seconds(2, None)), (Some(5), Some(300)));
        assert_eq!((seconds(1, Some(90)), seconds(2, Some(90))), (Some(90), Some(300)));
        assert_eq!((seconds(9, None), seconds(10, None)), (Some(86_400), None));
        assert_eq!(seconds(10, Some(90)), None);
        assert_eq!(seconds(u32::MAX, None), None);
    }
}
