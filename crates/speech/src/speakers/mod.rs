//! Who spoke when: a voice per window of speech ([`SpeakerEncoder`]), voices to speakers, and
//! labelled windows to turns, as FunASR does it with CAM++.
//!
//! Windows are 1.5 s long and start every 0.75 s of each segment of speech. Their embeddings are
//! kept until the recording ends: 800 bytes per window, 40 MB for ten hours of speech. Clustering
//! then takes at most a few seconds of one core, however long the recording (see `cluster`). What
//! costs is the network: 0.7 G multiplications and additions per window.

mod chunks;
mod cluster;
mod encoder;
mod options;
#[cfg(test)]
mod tests;
mod turns;

use std::sync::Arc;

pub use chunks::WINDOW;
pub use encoder::SpeakerEncoder;
pub use options::{MOST_SPEAKERS, Method, SpeakerOptions};
pub use turns::{Turn, assign};

use crate::recognizer::Error;

const SAMPLE_RATE: f64 = 16_000.0;

/// The voice in a window of a recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// Seconds of the recording, as is `end`.
    pub start: f64,
    pub end: f64,
    /// Its direction tells speakers apart.
    pub vector: Vec<f32>,
}

/// Tells the speakers of recordings apart; shared by all recordings and threads.
pub struct Diarizer {
    encoder: Arc<SpeakerEncoder>,
}

impl Diarizer {
    pub fn new(encoder: Arc<SpeakerEncoder>) -> Self {
        Self { encoder }
    }

    /// Of the model.
    pub fn name(&self) -> &str {
        self.encoder.name()
    }

    /// Of the model's file: SHA-256, hexadecimal.
    pub fn digest(&self) -> &str {
        self.encoder.digest()
    }

    /// The voices in a segment of speech: 16 kHz PCM in [-1, 1) that begins `start` seconds into
    /// the recording. Segments may be embedded in any order, on any thread.
    pub fn embed_segment(&self, start: f64, samples: &[f32]) -> Result<Vec<Embedding>, Error> {
        chunks::windows(samples.len())
            .map(|window| {
                Ok(Embedding {
                    start: start + window.start as f64 / SAMPLE_RATE,
                    end: start + window.end as f64 / SAMPLE_RATE,
                    vector: self.encoder.embed(&samples[window])?,
                })
            })
            .collect()
    }

    /// Who speaks when, given the voices of a whole recording in any order. The turns are in order,
    /// do not overlap, and leave out what is no speech. The same voices give the same turns.
    pub fn diarize(&self, mut embeddings: Vec<Embedding>, options: &SpeakerOptions) -> Vec<Turn> {
        embeddings.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end)));
        let labels = cluster::cluster(&embeddings, options);
        let windows = embeddings.iter().zip(labels);
        turns::turns(windows.map(|(window, label)| (window.start, window.end, label)))
    }
}
