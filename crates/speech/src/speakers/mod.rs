//! Speaker diarization: finds who spoke when, as FunASR does with CAM++.
//!
//! [`SpeakerEncoder`] computes an embedding per window of speech, `cluster` groups the embeddings
//! by speaker, and `turns` joins the labelled windows to turns.
//!
//! Windows are 1.5 s long and start every 0.75 s of each segment of speech. Their embeddings are
//! kept until the recording ends: 800 bytes per window, 40 MB for ten hours of speech. Clustering
//! then takes at most a few seconds of one core, however long the recording is (see `cluster`). The
//! network dominates the cost, with 0.7 G multiplications and additions per window.

mod chunks;
mod cluster;
mod encoder;
mod options;
#[cfg(test)]
mod tests;
mod turns;
pub mod voices;

use std::sync::Arc;

pub use chunks::WINDOW_SAMPLES;
pub use encoder::{MAX_WINDOW_SAMPLES, MIN_WINDOW_SAMPLES, SpeakerEncoder};
pub use options::{ClusteringMethod, MAX_SPEAKERS, SpeakerOptions};
use serde::{Deserialize, Serialize};
pub use turns::{Turn, dominant_speaker};

use crate::{bits, recognizer::Error};

const SAMPLE_RATE: f64 = 16_000.0;

/// Speaker embedding of a window of a recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Embedding {
    /// Seconds from the start of the recording, like `end`.
    #[serde(with = "bits::of_f64")]
    pub start: f64,
    #[serde(with = "bits::of_f64")]
    pub end: f64,
    /// Vector whose direction identifies the speaker.
    #[serde(with = "bits::of_vector")]
    pub vector: Vec<f32>,
}

/// Finds the speakers of recordings; shared by all recordings and threads.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use speech::speakers::{Diarizer, SpeakerEncoder, SpeakerOptions};
/// # let segments: Vec<(f64, Vec<f32>)> = Vec::new();
/// let encoder = SpeakerEncoder::open("models/campplus".as_ref(), "campplus")?;
/// let diarizer = Diarizer::new(Arc::new(encoder));
/// let mut embeddings = Vec::new();
/// for (start, samples) in &segments {
///     embeddings.extend(diarizer.embed_segment(*start, samples)?);
/// }
/// for turn in diarizer.diarize(embeddings, &SpeakerOptions::default()) {
///     println!("{:.2} to {:.2}: speaker {}", turn.start, turn.end, turn.speaker);
/// }
/// # Ok::<(), speech::recognizer::Error>(())
/// ```
pub struct Diarizer {
    encoder: Arc<SpeakerEncoder>,
}

impl Diarizer {
    /// Makes a diarizer of a speaker embedding model.
    pub fn new(encoder: Arc<SpeakerEncoder>) -> Self {
        Self { encoder }
    }

    /// Returns the name of the model.
    pub fn name(&self) -> &str {
        self.encoder.name()
    }

    /// Returns the model that computes embeddings.
    pub fn encoder(&self) -> &SpeakerEncoder {
        &self.encoder
    }

    /// Returns the hexadecimal SHA-256 of the model's file.
    pub fn digest(&self) -> &str {
        self.encoder.digest()
    }

    /// Computes the embeddings of a segment of speech: 16 kHz PCM in [-1, 1) that begins `start`
    /// seconds into the recording. Segments may be embedded in any order, on any thread.
    ///
    /// # Errors
    /// [`Error::Engine`] or [`Error::Network`] if the network fails.
    pub fn embed_segment(&self, start: f64, samples: &[f32]) -> Result<Vec<Embedding>, Error> {
        let ranges: Vec<_> = chunks::windows(samples.len()).collect();
        let mut windows: Vec<&[f32]> = ranges.iter().map(|range| &samples[range.clone()]).collect();
        // Only the only window of a short segment can be too short.
        let padded = [samples, &[0.0; encoder::MIN_WINDOW_SAMPLES]].concat();
        if let Some(window) = windows.first_mut()
            && window.len() < encoder::MIN_WINDOW_SAMPLES
        {
            *window = &padded;
        }
        let vectors = self.encoder.embed(&windows)?;
        let embedding = |(range, vector): (&std::ops::Range<usize>, _)| Embedding {
            start: start + range.start as f64 / SAMPLE_RATE,
            end: start + range.end as f64 / SAMPLE_RATE,
            vector,
        };
        Ok(ranges.iter().zip(vectors).map(embedding).collect())
    }

    /// Returns the turns of a recording, given all its embeddings in any order. Turns are in order,
    /// do not overlap, and cover only speech. The same embeddings always give the same turns.
    pub fn diarize(&self, mut embeddings: Vec<Embedding>, options: &SpeakerOptions) -> Vec<Turn> {
        embeddings.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end)));
        let labels = cluster::cluster(&embeddings, options);
        let windows = embeddings.iter().zip(labels);
        turns::turns(windows.map(|(window, label)| (window.start, window.end, label)))
    }
}
