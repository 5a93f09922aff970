//! Measures a recognizer on segments, one segment per thread at a time over shared weights.

use std::{
    sync::{Arc, Barrier, mpsc},
    time::Instant,
};

use anyhow::Context;
use serde::Serialize;
use speech::{
    compute::{Compute, Owner, thread_cpu_seconds},
    recognizer::{Error, Recognition, RecognizeOptions, Recognizer},
};

use crate::{process, units::quantile};

/// Times and memory of segments of one duration on one number of threads.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SegmentMeasurement {
    pub(crate) seconds: f64,
    pub(crate) threads: usize,
    /// Number of measured segments.
    pub(crate) segments: usize,
    /// Number of tokens recognized in each.
    pub(crate) tokens: usize,
    /// Wall time of all segments together per audio time: more threads lower it.
    pub(crate) real_time_factor: f64,
    /// Audio time per CPU time of the process.
    pub(crate) audio_seconds_per_core_second: f64,
    /// Median wall time of a segment.
    pub(crate) wall_ms: f64,
    /// 95th percentile of the wall time of a segment.
    pub(crate) wall_p95_ms: f64,
    /// Median CPU time of a segment.
    pub(crate) cpu_ms: f64,
    /// Peak of resident memory during the measurement.
    pub(crate) peak_bytes: Option<u64>,
    /// Minor page faults per segment.
    pub(crate) page_faults: Option<f64>,
    /// Throughput relative to the fewest threads measured, by the medians.
    pub(crate) speed_up: Option<f64>,
}

impl SegmentMeasurement {
    /// Returns the throughput relative to `base`, by the median wall times.
    pub(crate) fn speed_up(&self, base: &Self) -> f64 {
        let per_time = |other: &Self| other.threads as f64 / other.wall_ms;
        per_time(self) / per_time(base)
    }
}

struct Timed {
    wall: f64,
    cpu: f64,
    tokens: usize,
}

/// Recognizes `samples` on each of the pool's `threads`, `runs` times after a warm-up run.
pub(crate) fn measure(
    recognizer: &Arc<dyn Recognizer>,
    pool: &dyn Compute,
    threads: usize,
    samples: Arc<[f32]>,
    runs: u32,
) -> anyhow::Result<SegmentMeasurement> {
    warm_up(recognizer, pool, threads, &samples)?;
    process::reset_peak();
    let faults = process::page_faults();
    let (start, cpu_start) = (Instant::now(), process::cpu_seconds());
    let count = threads * runs as usize;
    let timed = run_on_pool(pool, count, {
        let (recognizer, samples) = (Arc::clone(recognizer), Arc::clone(&samples));
        move || {
            let (start, cpu_start) = (Instant::now(), thread_cpu_seconds());
            let recognition = recognizer.recognize(&samples, &RecognizeOptions::default())?;
            let wall = start.elapsed().as_secs_f64();
            Ok(Timed { wall, cpu: thread_cpu_seconds() - cpu_start, tokens: tokens(&recognition) })
        }
    })?;
    let (wall, cpu) = (start.elapsed().as_secs_f64(), process::cpu_seconds() - cpu_start);
    let faults = faults.and_then(|before| Some(process::page_faults()?.saturating_sub(before)));

    let seconds = samples.len() as f64 / f64::from(audio::SAMPLE_RATE);
    let audio = seconds * count as f64;
    let milliseconds =
        |of: fn(&Timed) -> f64| timed.iter().map(|timed| 1e3 * of(timed)).collect::<Vec<_>>();
    let walls = milliseconds(|timed| timed.wall);
    Ok(SegmentMeasurement {
        seconds,
        threads,
        segments: count,
        tokens: timed.first().map_or(0, |timed| timed.tokens),
        real_time_factor: wall / audio,
        audio_seconds_per_core_second: audio / cpu.max(1e-9),
        wall_ms: quantile(walls.clone(), 0.5),
        wall_p95_ms: quantile(walls, 0.95),
        cpu_ms: quantile(milliseconds(|timed| timed.cpu), 0.5),
        peak_bytes: process::peak_resident_bytes(),
        page_faults: faults.map(|faults| faults as f64 / count as f64),
        speed_up: None,
    })
}

/// Recognizes once on each thread, so that each has allocated its memory.
pub(crate) fn warm_up(
    recognizer: &Arc<dyn Recognizer>,
    pool: &dyn Compute,
    threads: usize,
    samples: &Arc<[f32]>,
) -> anyhow::Result<()> {
    let (recognizer, samples) = (Arc::clone(recognizer), Arc::clone(samples));
    // No thread begins before all have a task, so that none takes two.
    let all = Barrier::new(threads);
    run_on_pool(pool, threads, move || {
        all.wait();
        recognizer.recognize(&samples, &RecognizeOptions::default()).map(drop)
    })?;
    Ok(())
}

/// Runs `work` `count` times in the pool, and waits for the results.
pub(crate) fn run_on_pool<T: Send + 'static>(
    pool: &dyn Compute,
    count: usize,
    work: impl Fn() -> Result<T, Error> + Send + Sync + 'static,
) -> anyhow::Result<Vec<T>> {
    let work = Arc::new(work);
    let (sender, receiver) = mpsc::channel();
    for _ in 0..count {
        let (work, sender) = (Arc::clone(&work), sender.clone());
        // Sending fails if another task failed and the receiver is gone.
        pool.spawn(Owner::new(0), Box::new(move || drop(sender.send(work()))));
    }
    drop(sender);
    let done = receiver.into_iter().collect::<Result<Vec<T>, Error>>()?;
    (done.len() == count).then_some(done).context("the recognizer panicked")
}

fn tokens(recognition: &Recognition) -> usize {
    recognition.hypotheses.iter().map(|hypothesis| hypothesis.tokens.len()).sum()
}

#[cfg(test)]
mod tests {
    use speech::recognizer::Description;
    use worker::ComputePool;

    use super::*;

    /// Recognizes one token per thousand samples; fails or panics on demand.
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
        // Eight sleeps on two threads take the time of four.
        assert!(two.real_time_factor >= 4.0 * 0.005 / 8.0, "{two:?}");
        let one = measure(&fake(), &ComputePool::new(1).unwrap(), 1, samples, 4).unwrap();
        assert!(one.real_time_factor >= 0.005 && two.speed_up(&one) > 1.0, "{one:?} {two:?}");
    }

    #[test]
    fn reports_failures_and_panics() {
        let pool = ComputePool::new(2).unwrap();
        let error = |samples: Vec<f32>| {
            measure(&fake(), &pool, 2, samples.into(), 1).unwrap_err().to_string()
        };
        assert!(error(vec![]).contains("on purpose"));
        assert!(error(vec![0.0]).contains("panicked"));
    }
}
