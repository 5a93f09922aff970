//! Delays between attempts to reach the broker.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

const MAX_DELAY: Duration = Duration::from_secs(30);

/// Delays that double from 250 ms up to 30 s, without end. Jitter adds up to 100 % to each, so that
/// a thousand workers do not reconnect at the same moment.
#[derive(Debug)]
pub(super) struct Backoff(ExponentialBackoff);

impl Backoff {
    pub(super) fn new() -> Self {
        let delays = ExponentialBuilder::new()
            .with_factor(2.0)
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(MAX_DELAY)
            .with_jitter()
            .without_max_times();
        Self(delays.build())
    }

    pub(super) fn next_delay(&mut self) -> Duration {
        self.0.next().unwrap_or(MAX_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_limit_and_never_end() {
        let mut backoff = Backoff::new();
        let delays: Vec<_> = std::iter::repeat_with(|| backoff.next_delay()).take(200).collect();
        assert!(delays[0] <= Duration::from_millis(500));
        assert!(delays[199] >= MAX_DELAY);
        assert!(delays.iter().all(|delay| *delay <= 2 * MAX_DELAY));
    }
}
