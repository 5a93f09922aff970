//! The decisions of KEDA and of the horizontal pod autoscaler (HPA), on the two triggers of the chart.
//! `scripts/simulate_scaling.py` computes the same, and docs/scaling.md names the sources.

use std::time::Duration;

/// Part by which the load of a worker may differ from the value without a change.
const TOLERANCE: f64 = 0.1;

pub(super) struct Settings {
    /// The trigger's value.
    pub(super) messages_per_worker: u32,
    pub(super) max_workers: usize,
    /// The HPA scales down to the largest number that it has wanted for so long.
    pub(super) stabilization: Duration,
    /// KEDA scales to zero after so long without messages.
    pub(super) cooldown: Duration,
}

pub(super) struct Autoscaler {
    settings: Settings,
    /// When the HPA wanted how many workers.
    wanted: Vec<(Duration, usize)>,
    last_active: Duration,
}

impl Autoscaler {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, wanted: Vec::new(), last_active: Duration::ZERO }
    }

    /// Returns the number of workers that there should be. `now` is the time since some moment. For `others` one
    /// worker is enough, however many there are.
    pub(super) fn decide(
        &mut self,
        now: Duration,
        workers: usize,
        jobs: u32,
        others: u32,
    ) -> usize {
        let is_active = jobs + others > 0;
        if is_active {
            self.last_active = now;
        }
        match workers {
            // KEDA decides between none and some, the HPA how many.
            0 => usize::from(is_active),
            _ if now - self.last_active > self.settings.cooldown => 0,
            _ => self.between_one_and_max(now, workers, jobs),
        }
    }

    /// What the HPA decides. Its default policy allows four more workers at a time, as many as this test has.
    fn between_one_and_max(&mut self, now: Duration, workers: usize, jobs: u32) -> usize {
        let load = f64::from(jobs) / f64::from(self.settings.messages_per_worker);
        let wanted = if (load / workers as f64 - 1.0).abs() <= TOLERANCE {
            workers
        } else {
            load.ceil() as usize
        };
        self.wanted.push((now, wanted));
        self.wanted.retain(|(when, _)| now - *when < self.settings.stabilization);
        let highest = self.wanted.iter().map(|(_, wanted)| *wanted).max().unwrap_or(wanted);
        let stable = if wanted > workers { wanted } else { highest.min(workers) };
        stable.clamp(1, self.settings.max_workers)
    }
}

#[test]
fn decisions_are_those_of_keda_and_the_hpa() {
    let seconds = Duration::from_secs;
    let mut autoscaler = Autoscaler::new(Settings {
        messages_per_worker: 3,
        max_workers: 4,
        stabilization: seconds(30),
        cooldown: seconds(60),
    });
    for (now, workers, jobs, expected, why) in [
        (0, 0, 0, 0, "there is nothing to do"),
        (10, 0, 100, 1, "KEDA activates one"),
        (20, 1, 100, 4, "34 are wanted, and 4 allowed"),
        (30, 4, 13, 4, "4.33 is within the tolerance of 4"),
        (40, 4, 7, 4, "4 were wanted 10 s ago"),
        (60, 4, 5, 3, "3 were wanted 20 s ago"),
        (75, 3, 4, 2, "2 were wanted 15 s ago"),
        (80, 2, 9, 3, "there is no waiting for more"),
        (140, 3, 1, 1, "nothing else was wanted for 30 s"),
        (150, 1, 0, 1, "the last one stays"),
        (200, 1, 0, 1, "for 60 s"),
        (201, 1, 0, 0, "KEDA ends it"),
    ] {
        let found = autoscaler.decide(seconds(now), workers, jobs, 0);
        assert_eq!(found, expected, "at {now} s: {why}");
    }
    for now in [300, 361, 500] {
        assert_eq!(autoscaler.decide(seconds(now), 1, 0, 9), 1, "one is enough for watches");
    }
}
