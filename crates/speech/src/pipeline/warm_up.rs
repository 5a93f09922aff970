//! Loads and packs what is loaded and packed late, before the first recording needs it.

use std::sync::{Arc, Barrier, mpsc};

use super::Pipeline;
use crate::{compute::Owner, recognizer::RecognizeOptions};

/// Longest noise, in seconds.
const MAX_SECONDS: f64 = 30.0;

/// Recognizes noise once on each core.
pub(super) fn warm_up(pipeline: &Pipeline) {
    let recognizer = &pipeline.models.recognizer;
    let samples: Arc<[f32]> = noise(recognizer.max_seconds().min(MAX_SECONDS)).into();
    let width = pipeline.compute.width();
    let together = Arc::new(Barrier::new(width));
    let (done, all_done) = mpsc::channel::<()>();
    for _ in 0..width {
        let (recognizer, samples) = (Arc::clone(recognizer), Arc::clone(&samples));
        let (together, done) = (Arc::clone(&together), done.clone());
        let task = move || {
            // So that no thread does the work of two.
            together.wait();
            // What it recognizes, or why it does not, does not matter.
            let _ = recognizer.recognize(&samples, &RecognizeOptions::default());
            drop(done);
        };
        pipeline.compute.spawn(Owner::new(0), Box::new(task));
    }
    drop(done);
    // Ends when the last task has dropped its sender.
    let _ = all_done.recv();
}

/// Returns the same noise in every process.
fn noise(seconds: f64) -> Vec<f32> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..(seconds * 16_000.0) as usize).map(|_| (random.f32() - 0.5) * 0.1).collect()
}
