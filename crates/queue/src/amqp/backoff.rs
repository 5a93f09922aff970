use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

const LONGEST: Duration = Duration::from_secs(30);

/// Doubling delays from a quarter of a second up to 30 s, each with up to as much again added at
/// random: a thousand workers must not come back at the same moment.
#[derive(Debug)]
pub(super) struct Backoff(ExponentialBackoff);

impl Backoff {
    pub(super) fn new() -> Self {
        let delays = ExponentialBuilder::new()
            .with_factor(2.0)
            .with_min_delay(Duration::from_millis(250))
            .with_max_delay(LONGEST)
            .with_jitter()
            .without_max_times();
        Self(delays.build())
    }

    pub(super) fn delay(&mut self) -> Duration {
        self.0.next().unwrap_or(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_bound_and_have_no_end() {
        let mut backoff = Backoff::new();
        let delays: Vec<_> = std::iter::repeat_with(|| backoff.delay()).take(200).collect();
        assert!(delays[0] <= Duration::from_millis(500));
        assert!(delays[199] >= LONGEST);
        assert!(delays.iter().all(|delay| *delay <= 2 * LONGEST));
    }
}
