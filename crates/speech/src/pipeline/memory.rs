//! How much memory the transcription of one recording takes, besides models and their activations.

use super::{Pipeline, TranscribeOptions};

/// Bytes per second of samples.
const SAMPLES: f64 = 16_000.0 * 4.0;
/// Decoder, resampler, voice activity detection and their buffers of about a second, per channel of the
/// file.
const PER_CHANNEL: f64 = 3e6;
/// What does not depend on the recording.
const FIXED: f64 = 2e6;
/// Text, words with their times, and segments, per second of speech: copied while the transcript is
/// finished and rendered.
const TEXT: f64 = 2000.0;
/// What is kept to find the speakers, per second: a byte for each frame of four to ten chunks, and one and a half
/// embeddings of some hundred numbers.
const SPEAKERS: f64 = 1500.0;
/// Samples that wait until the speakers' windows are cut, per channel: those of some minutes.
const SPEAKERS_PER_CHANNEL: f64 = 12e6;
/// Seconds of samples in a batch of chunks of the longest step.
const CHUNKS: f64 = 45.0;
/// Similarities of a block of windows; one channel after the other needs them.
const SPEAKERS_FIXED: f64 = 20e6;
/// Duration of recordings that do not declare theirs, in seconds.
const ASSUMED_DURATION: f64 = 3600.0;

/// Returns the bytes that a transcription holds at most, by estimate. `tests/memory.rs` compares it with
/// what is allocated.
pub(super) fn estimate(
    pipeline: &Pipeline,
    decoder: &audio::Decoder,
    options: &TranscribeOptions,
) -> u64 {
    let info = decoder.info();
    let outputs = decoder.output_channels().max(1) as f64;
    let window = pipeline.models.recognizer.max_seconds() * SAMPLES;
    // Each channel collects a segment and packs a window; windows wait for a core, and are recognized.
    let collecting = 3.0 * window * outputs;
    let tasks = (pipeline.compute.width() + 2) as f64;
    let in_flight = tasks * window;
    let (per_second, speakers) = match options.speakers {
        Some(_) => {
            let waiting = SPEAKERS_PER_CHANNEL * outputs + tasks * CHUNKS * SAMPLES;
            (TEXT + SPEAKERS, SPEAKERS_FIXED + waiting)
        }
        None => (TEXT, 0.0),
    };
    let kept = info.declared_duration.unwrap_or(ASSUMED_DURATION) * per_second * outputs;
    let fixed = FIXED + PER_CHANNEL * info.channels.max(1) as f64 + speakers;
    let bytes = fixed + collecting + in_flight + kept;
    bytes as u64
}
