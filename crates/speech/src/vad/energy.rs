//! A detector for tests: speech is every frame that is loud enough. It needs no model files.

use super::{
    Boundary, Frame, VadOptions, VadStream, VoiceActivityDetector,
    config::{EndpointConfig, EndpointOptions},
    endpoint::Endpointer,
};
use crate::{
    features::{FRAME_SHIFT, sane},
    recognizer::Error,
};

/// Mean power above which a frame is speech: -50 dB.
const SPEECH_POWER: f32 = 1e-5;

/// Detects speech by the power of each frame, and segments with the same end-point state machine
/// and defaults as [`FsmnVad`](super::FsmnVad).
#[derive(Debug, Clone, Copy, Default)]
pub struct EnergyVad;

impl VoiceActivityDetector for EnergyVad {
    fn name(&self) -> &str {
        "energy-vad"
    }

    fn digest(&self) -> &str {
        "energy-vad-1"
    }

    fn stream(&self, options: &VadOptions) -> Box<dyn VadStream> {
        let options = EndpointOptions::new(&EndpointConfig::default(), options);
        Box::new(EnergyStream { endpointer: Endpointer::new(options), pending: Vec::new() })
    }
}

/// Detection over one stream of PCM.
struct EnergyStream {
    endpointer: Endpointer,
    /// Samples of the frame that is not complete yet.
    pending: Vec<f32>,
}

impl VadStream for EnergyStream {
    fn push(&mut self, samples: &[f32], frames: &mut Vec<Frame>) -> Result<(), Error> {
        self.pending.extend(samples.iter().map(|&sample| sane(sample)));
        let complete = self.pending.len() / FRAME_SHIFT * FRAME_SHIFT;
        for frame in self.pending[..complete].chunks_exact(FRAME_SHIFT) {
            let power = frame.iter().map(|x| x * x).sum::<f32>() / FRAME_SHIFT as f32;
            let silence = if power > SPEECH_POWER { 0.0 } else { 1.0 };
            frames.push(Frame { silence, boundary: self.endpointer.push(silence) });
        }
        self.pending.drain(..complete);
        Ok(())
    }

    fn finish(&mut self, _frames: &mut Vec<Frame>) -> Result<Option<Boundary>, Error> {
        Ok(self.endpointer.finish())
    }

    fn earliest_start(&self) -> u64 {
        self.endpointer.earliest_start()
    }

    fn end_lag(&self) -> u64 {
        self.endpointer.end_lag()
    }
}
