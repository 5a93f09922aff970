//! Speaker diarization: finds who speaks when in a channel, from its samples.
//!
//! A segmentation network hears in chunks of 10 s which of three local speakers speak in each frame
//! (`segmentation`, `chunks`). Speech of one voice is cut into windows of 1.5 s (`windows`), of which CAM++ makes
//! embeddings (`encoder`). Average linkage groups these by voice (`cluster`, `linkage`), helped by what the chunks
//! say of pairs of windows (`votes`). Windows then give the chunks' local speakers their names, and the chunks say to
//! the frame who speaks, also two at once (`activity`, `counts`).
//!
//! The method is a hybrid of pyannote.audio's (Bredin, "pyannote.audio 2.1 speaker diarization pipeline", 2023;
//! Plaquet and Bredin, "Powerset multi-class cross entropy loss", 2023) and of windows with embeddings as in
//! 3D-Speaker and FunASR. Without the segmentation network, windows are cut from the speech that the voice
//! activity detector finds; then turns do not overlap, and short ones are lost.
//!
//! [`Stream`] is the analysis of one channel. It makes [`Work`] for the networks, which
//! [`Diarizer::compute`] does on any thread. Of ten hours it holds about 50 MB. Nothing is random.

mod activity;
mod assignment;
mod campplus;
mod chunks;
mod cluster;
mod counts;
mod encoder;
mod frames;
mod held;
mod linkage;
mod options;
pub mod segmentation;
mod stream;
#[cfg(test)]
mod tests;
mod vectors;
pub mod voices;
mod votes;
mod windows;
mod work;

use std::sync::Arc;

pub use encoder::{MAX_WINDOW_SAMPLES, MIN_WINDOW_SAMPLES, SpeakerEncoder};
use half::f16;
pub use options::{MAX_SPEAKERS, SpeakerOptions, SpeakersConfig};
pub use stream::Stream;
pub use work::{Work, WorkKey, WorkResult};

use self::{
    frames::{CHUNK_FRAMES, FRAME_SAMPLES},
    segmentation::SegmentationNetwork,
};
use crate::recognizer::Error;

const SAMPLE_RATE: f64 = 16_000.0;

/// A span in which one speaker talks. Those of different speakers may overlap. Times are seconds from the start of
/// the recording.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turn {
    pub start: f64,
    pub end: f64,
    /// Numbered from 0 by first appearance.
    pub speaker: usize,
}

/// Who speaks when in a channel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Diarization {
    /// In order of start.
    pub turns: Vec<Turn>,
    /// Unit vector of each speaker's voice.
    pub voices: Vec<Vec<f32>>,
}

/// Finds the speakers of recordings; shared by all recordings and threads.
///
/// ```no_run
/// # use std::sync::Arc;
/// # use speech::speakers::{
/// #     Diarizer, SpeakerEncoder, SpeakerOptions, SpeakersConfig, segmentation::SegmentationNetwork,
/// # };
/// # let blocks: Vec<Vec<f32>> = Vec::new();
/// let encoder = SpeakerEncoder::open("models/campplus".as_ref(), "campplus")?;
/// let segmentation =
///     SegmentationNetwork::open("models/pyannote-segmentation-3.0".as_ref(), "pyannote-segmentation-3.0")?;
/// let config = SpeakersConfig::default();
/// let diarizer = Diarizer::new(Arc::new(encoder), Some(Arc::new(segmentation)), &config);
/// let (mut stream, mut work) = (diarizer.stream(), Vec::new());
/// for samples in &blocks {
///     stream.push(samples, &mut work);
/// }
/// stream.finish(&mut work);
/// while let Some(next) = work.pop() {
///     let result = diarizer.compute(&next)?;
///     stream.accept(next.key(), result, &mut work);
/// }
/// for turn in diarizer.diarize(&stream, &SpeakerOptions::default()).turns {
///     println!("{:.2} to {:.2}: speaker {}", turn.start, turn.end, turn.speaker);
/// }
/// # Ok::<(), speech::recognizer::Error>(())
/// ```
pub struct Diarizer {
    encoder: Arc<SpeakerEncoder>,
    segmentation: Option<Arc<SegmentationNetwork>>,
    step: u32,
}

impl Diarizer {
    /// Makes a diarizer of a speaker embedding model and a segmentation network. Chunks begin on the grid of frames.
    pub fn new(
        encoder: Arc<SpeakerEncoder>,
        segmentation: Option<Arc<SegmentationNetwork>>,
        config: &SpeakersConfig,
    ) -> Self {
        let frames = config.step_seconds * SAMPLE_RATE / FRAME_SAMPLES as f64;
        // No chunk may begin after the end of the one before.
        let step = frames.round().clamp(1.0, CHUNK_FRAMES as f64) as u32;
        Self { encoder, segmentation, step }
    }

    /// Returns the name of the speaker embedding model.
    pub fn name(&self) -> &str {
        self.encoder.name()
    }

    /// Returns the speaker embedding model.
    pub fn encoder(&self) -> &SpeakerEncoder {
        &self.encoder
    }

    /// Returns the name of the segmentation network.
    pub fn segmentation_name(&self) -> Option<&str> {
        self.segmentation.as_ref().map(|network| network.name())
    }

    /// Returns what the result depends on besides the recording: digests of the models, and the step.
    pub fn digest(&self) -> String {
        let segmentation = self.segmentation.as_ref().map(|network| network.digest());
        match segmentation {
            Some(segmentation) => format!("{} {segmentation} {}", self.encoder.digest(), self.step),
            None => self.encoder.digest().to_owned(),
        }
    }

    /// Begins the analysis of a channel.
    pub fn stream(&self) -> Stream {
        Stream::new(self.segmentation.as_ref().map(|_| self.step))
    }

    /// Returns whether streams take samples, not the speech that a voice activity detector finds.
    pub fn hears_speech(&self) -> bool {
        self.segmentation.is_some()
    }

    /// Does work of one of this diarizer's streams.
    ///
    /// # Errors
    /// [`Error::Engine`] or [`Error::Network`] if a network fails.
    pub fn compute(&self, work: &Work) -> Result<WorkResult, Error> {
        match work {
            Work::Chunks { key, samples, step } => {
                let Some(network) = &self.segmentation else {
                    return Err(Error::Network("there is no segmentation network".to_owned()));
                };
                let answer = network.run(samples, *step as usize * FRAME_SAMPLES)?;
                Ok(work::chunks_result(key, &answer, *step))
            }
            Work::Windows { windows, .. } => {
                let windows: Vec<&[f32]> = windows.iter().map(Vec::as_slice).collect();
                let vectors = self.encoder.embed(&windows)?;
                let vectors = vectors.into_iter().flatten().map(f16::from_f32).collect();
                Ok(WorkResult::Windows { width: self.encoder.width(), vectors })
            }
        }
    }

    /// Returns who speaks when, once the stream has the results of all its work. The same results always give the same
    /// turns.
    pub fn diarize(&self, stream: &Stream, options: &SpeakerOptions) -> Diarization {
        stream.diarize(options)
    }
}
