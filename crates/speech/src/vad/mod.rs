//! Voice activity detection (VAD): finds where speech starts and ends in a stream of PCM.
//!
//! The segmenter and the pipeline use the trait [`VoiceActivityDetector`]. [`FsmnVad`] implements it
//! with FunASR's FSMN-VAD model.

mod config;
mod endpoint;
#[cfg(any(test, feature = "test-util"))]
mod energy;
mod fsmn;
mod network;

pub use config::{SilenceSchedule, VadOptions};
pub use endpoint::Boundary;
#[cfg(any(test, feature = "test-util"))]
pub use energy::EnergyVad;
pub use fsmn::FsmnVad;

use crate::recognizer::Error;

/// A model or rule that detects speech. One instance serves all threads and streams.
pub trait VoiceActivityDetector: Send + Sync {
    /// Name of the detector in transcripts, e.g. `fsmn-vad`.
    fn name(&self) -> &str;

    /// Identity of the detector in fingerprints: hexadecimal SHA-256 over the files in use.
    fn digest(&self) -> &str;

    /// Starts a stream of 16 kHz PCM.
    fn stream(&self, options: &VadOptions) -> Box<dyn VadStream>;
}

/// Voice activity detection over one stream of PCM. Memory use does not grow with the length of the
/// stream, and the result does not depend on how the stream is cut into pushes.
pub trait VadStream: Send {
    /// Takes samples (16 kHz, full scale 1.0), and appends the frames decided so far to `frames`.
    /// Frames are decided in batches of up to a few seconds.
    ///
    /// # Errors
    /// Returns an error if the detector's network fails.
    fn push(&mut self, samples: &[f32], frames: &mut Vec<Frame>) -> Result<(), Error>;

    /// Ends the stream: appends the remaining frames, and returns the end of the open segment.
    ///
    /// # Errors
    /// Returns an error if the detector's network fails.
    fn finish(&mut self, frames: &mut Vec<Frame>) -> Result<Option<Boundary>, Error>;

    /// Returns the earliest frame at which the open segment, or the next one, can start.
    fn earliest_start(&self) -> u64;

    /// Returns the largest number of frames by which the end of a segment can lie before the frame
    /// that reports it.
    fn end_lag(&self) -> u64;
}

/// Result of voice activity detection for 10 ms of audio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Probability of silence.
    pub silence: f32,
    /// Start or end of a segment that this frame reports. It may lie some frames earlier.
    pub boundary: Option<Boundary>,
}

/// Reads the configuration of an untrusted directory, for the fuzzers.
#[cfg(feature = "test-util")]
pub(crate) fn read_untrusted(directory: &std::path::Path) {
    for name in ["config.yaml", "vad.yaml"] {
        let Ok(config) = config::ModelConfig::open(&directory.join(name)) else { continue };
        let options = config::EndpointOptions::new(&config.model_conf, &VadOptions::default());
        let mut endpointer = endpoint::Endpointer::new(options);
        for frame in 0..300_u16 {
            let silence = if frame % 100 < 50 { 0.1 } else { 0.9 };
            let _ = endpointer.push(silence);
        }
        let _ = endpointer.finish();
    }
}
