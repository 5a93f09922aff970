//! Segments through a recognizer, one per thread over shared weights.

use std::{
    sync::{Arc, Barrier, mpsc},
    time::Instant,
};

use anyhow::Context;
use serde::Serialize;
use speech::{
    compute::{Compute, thread_cpu_seconds},
    recognizer::{Error, Recognition, RecognizeOptions, Recognizer},
};

use super::process;

/// What segments of one length took on one number of threads.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Measured {
    pub(super) seconds: f64,
    pub(super) threads: usize,
    /// Segments that were measured.
    pub(super) segments: usize,
    /// Tokens that were recognized in each.
    pub(super) tokens: usize,
    /// Wall time of all per audio time of all: with more threads it is less.
    pub(super) real_time_factor: f64,
    /// Audio time per CPU time of the process.
    pub(super) audio_seconds_per_core_second: f64,
    /// Median wall time of a segment.
    pub(super) wall_ms: f64,
    /// The wall time that 95 of 100 segments keep to.
    pub(super) wall_p95_ms: f64,
    /// Median CPU time of a segment.
    pub(super) cpu_ms: f64,
    /// Most memory in use meanwhile.
    pub(super) peak_bytes: Option<u64>,
    /// Pages that the system had to give, per segment.
    pub(super) page_faults: Option<f64>,
    /// How much more is done in a time than on the fewest threads measured, by the medians.
    pub(super) speed_up: Option<f64>,
}

impl Measured {
    pub(super) fn speed_up(&self, base: &Self) -> f64 {
        let per_time = |other: &Self| other.threads as f64 / other.wall_ms;
        per_time(self) / per_time(base)
    }
}

struct Timed {
    wall: f64,
    cpu: f64,
    tokens: usize,
}

/// Recognizes `samples` on each of the pool's `threads`, `runs` times after once to warm up.
pub(super) fn measure(
    recognizer: &Arc<dyn Recognizer>,
    pool: &dyn Compute,
    threads: usize,
    samples: Arc<[f32]>,
    runs: u32,
) -> anyhow::Result<Measured> {
    warm_up(recognizer, pool, threads, &samples)?;
    process::reset_peak();
    let faults = process::page_faults();
    let (start, computed) = (Instant::now(), process::cpu_seconds());
    let count = threads * runs as usize;
    let timed = on_all(pool, count, {
        let (recognizer, samples) = (Arc::clone(recognizer), Arc::clone(&samples));
        move || {
            let (start, computed) = (Instant::now(), thread_cpu_seconds());
            let recognition = recognizer.recognize(&samples, &RecognizeOptions::default())?;
            let wall = start.elapsed().as_secs_f64();
            Ok(Timed { wall, cpu: thread_cpu_seconds() - computed, tokens: tokens(&recognition) })
        }
    })?;
    let (wall, cpu) = (start.elapsed().as_secs_f64(), process::cpu_seconds() - computed);
    let faults = faults.and_then(|before| Some(process::page_faults()?.saturating_sub(before)));

    let seconds = samples.len() as f64 / f64::from(audio::SAMPLE_RATE);
    let audio = seconds * count as f64;
    let milliseconds =
        |of: fn(&Timed) -> f64| timed.iter().map(|timed| 1e3 * of(timed)).collect::<Vec<_>>();
    let walls = milliseconds(|timed| timed.wall);
    Ok(Measured {
        seconds,
        threads,
        segments: count,
        tokens: timed.first().map_or(0, |timed| timed.tokens),
        real_time_factor: wall / audio,
        audio_seconds_per_core_second: audio / cpu.max(1e-9),
        wall_ms: quantile(walls.clone(), 0.5),
        wall_p95_ms: quantile(walls, 0.95),
        cpu_ms: quantile(milliseconds(|timed| timed.cpu), 0.5),
        peak_bytes: process::peak_resident(),
        page_faults: faults.map(|faults| faults as f64 / count as f64),
        speed_up: None,
    })
}

/// Once on each thread, so that each has touched its memory.
pub(super) fn warm_up(
    recognizer: &Arc<dyn Recognizer>,
    pool: &dyn Compute,
    threads: usize,
    samples: &Arc<[f32]>,
) -> anyhow::Result<()> {
    let (recognizer, samples) = (Arc::clone(recognizer), Arc::clone(samples));
    // Nobody begins before all are there, and so nobody takes two.
    let all = Barrier::new(threads);
    on_all(pool, threads, move || {
        all.wait();
        recognizer.recognize(&samples, &RecognizeOptions::default()).map(drop)
    })?;
    Ok(())
}

/// Does `work` `count` times in the pool.
pub(super) fn on_all<T: Send + 'static>(
    pool: &dyn Compute,
    count: usize,
    work: impl Fn() -> Result<T, Error> + Send + Sync + 'static,
) -> anyhow::Result<Vec<T>> {
    let work = Arc::new(work);
    let (sender, receiver) = mpsc::channel();
    for _ in 0..count {
        let (work, sender) = (Arc::clone(&work), sender.clone());
        // Nobody listens any more if another failed.
        pool.spawn(0.0, Box::new(move || drop(sender.send(work()))));
    }
    drop(sender);
    let done = receiver.into_iter().collect::<Result<Vec<T>, Error>>()?;
    (done.len() == count).then_some(done).context("the recognizer panicked")
}

fn tokens(recognition: &Recognition) -> usize {
    recognition.hypotheses.iter().map(|hypothesis| hypothesis.tokens.len()).sum()
}

/// The least value that this part of all values does not exceed; for a half, the mean of the middle.
pub(super) fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = |rank: usize| values.get(rank.saturating_sub(1)).copied().unwrap_or(0.0);
    let rank = part * values.len() as f64;
    if rank.fract() == 0.0 && part == 0.5 {
        return (at(rank as usize) + at(rank as usize + 1)) / 2.0;
    }
    at(rank.ceil() as usize)
}

#[cfg(test)]
mod tests {
    use speech::recognizer::Description;
    use worker::ComputePool;

    use super::*;

    /// Hears a token per thousand samples, and fails or panics on demand.
    struct Fake(Description);

    impl Recognizer for Fake {
        fn description(&self) -> &Description {
            &self.0
        }

        fn max_seconds(&self) -> f64 {
            60.0
        }

        fn fixed_window(&self) -> bool {
            false
        }

        fn punctuates(&self, _: bool) -> bool {
            false
        }

        fn recognize(&self, samples: &[f32], _: &RecognizeOptions) -> Result<Recognition, Error> {
            match samples.len() {
                0 => return Err(Error::Network("on purpose".to_owned())),
                1 => panic!("on purpose"),
                _ => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
            let tokens = vec![0; samples.len() / 1000];
            let hypothesis = speech::recognizer::Hypothesis { tokens, ..Default::default() };
            Ok(Recognition { hypotheses: vec![hypothesis], detected_language: None })
        }
    }

    fn fake() -> Arc<dyn Recognizer> {
        Arc::new(Fake(Description {
            name: "fake".to_owned(),
            family: "fake",
            precision: "none",
            digest: String::new(),
            languages: Vec::new(),
        }))
    }

    #[test]
    fn threads_share_the_work() {
        let samples: Arc<[f32]> = vec![0.0; 16_000].into();
        let pool = ComputePool::new(2).unwrap();
        let two = measure(&fake(), &pool, 2, Arc::clone(&samples), 4).unwrap();
        assert_eq!((two.seconds, two.segments, two.tokens), (1.0, 8, 16));
        assert!(two.wall_ms >= 5.0 && two.wall_p95_ms >= two.wall_ms && two.cpu_ms < two.wall_ms);
        // Eight sleeps on two threads are four in a row.
        assert!(two.real_time_factor >= 4.0 * 0.005 / 8.0, "{two:?}");
        let one = measure(&fake(), &ComputePool::new(1).unwrap(), 1, samples, 4).unwrap();
        assert!(one.real_time_factor >= 0.005 && two.speed_up(&one) > 1.0, "{one:?} {two:?}");
    }

    #[test]
    fn failures_and_panics_are_errors() {
        let pool = ComputePool::new(2).unwrap();
        let error = |samples: Vec<f32>| {
            measure(&fake(), &pool, 2, samples.into(), 1).unwrap_err().to_string()
        };
        assert!(error(vec![]).contains("on purpose"));
        assert!(error(vec![0.0]).contains("panicked"));
    }

    #[test]
    fn quantiles() {
        assert_eq!(quantile(vec![3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(vec![4.0, 1.0, 2.0, 3.0], 0.5), 2.5);
        assert_eq!(quantile((1..=100).map(f64::from).collect(), 0.95), 95.0);
        assert_eq!(quantile(vec![1.0, 2.0], 0.95), 2.0);
        assert_eq!(quantile(vec![], 0.5), 0.0);
    }
}
