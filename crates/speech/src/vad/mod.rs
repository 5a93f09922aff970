//! Voice activity detection with FSMN-VAD, as FunASR's `Fsmn_vad` does it.
//!
//! Front end (log-mel, LFR 5/1, CMVN), network (probability of silence per 10 ms frame), and a
//! state machine that turns probabilities into segments.

mod config;
mod endpoint;
mod network;

use std::{ops::Range, path::Path, sync::Arc};

pub use config::{SilenceSchedule, VadOptions};
pub use endpoint::Boundary;

use crate::{
    features::{Cmvn, FRAME_SHIFT, Frontend, FrontendStream},
    files,
    recognizer::Error,
};
use config::{EndpointOptions, ModelConfig};
use endpoint::Endpointer;
use network::{CHUNK, Network, NetworkState};

/// The model, shared by all streams and threads.
pub struct FsmnVad {
    frontend: Frontend,
    network: Network,
    config: ModelConfig,
    digest: String,
}

impl FsmnVad {
    /// Opens a FunASR model directory: `model.onnx` (or, where there is none, `model_quant.onnx`),
    /// `config.yaml` (or `vad.yaml`) and `am.mvn` (or `vad.mvn`).
    ///
    /// # Errors
    /// [`Error::Model`] if a file is missing, broken, does not fit the others, or asks for what is
    /// not supported.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let model_path = files::need(directory, &["model.onnx", "model_quant.onnx"])?;
        let config_path = files::need(directory, &["config.yaml", "vad.yaml"])?;
        let cmvn_path = files::need(directory, &["am.mvn", "vad.mvn"])?;
        let config = ModelConfig::open(&config_path)?;
        let frontend = Frontend::new(&config.frontend_conf, Some(Cmvn::open(&cmvn_path)?))
            .map_err(|message| Error::Model { path: config_path.clone(), message })?;
        if config.frontend_conf.lfr_n != 1 {
            let message = format!("lfr_n is {}, not 1", config.frontend_conf.lfr_n);
            return Err(Error::Model { path: config_path, message });
        }
        Ok(Self {
            network: Network::open(&model_path, &config, frontend.width())?,
            frontend,
            config,
            digest: files::digest(&[model_path, config_path, cmvn_path], "")?,
        })
    }

    pub fn name(&self) -> &str {
        "fsmn-vad"
    }

    /// SHA-256 over the files in use, hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub fn frontend(&self) -> &Frontend {
        &self.frontend
    }

    /// Begins a stream of 16 kHz PCM.
    pub fn stream(self: &Arc<Self>, options: &VadOptions) -> VadStream {
        VadStream {
            frontend: self.frontend.stream(),
            network: self.network.start(),
            endpointer: Endpointer::new(EndpointOptions::new(&self.config.model_conf, options)),
            vad: Arc::clone(self),
            rows: Vec::new(),
            silence: Vec::new(),
        }
    }

    /// The segments of speech in a recording that is whole in memory, in samples.
    pub fn segments(
        self: &Arc<Self>,
        samples: &[f32],
        options: &VadOptions,
    ) -> Result<Vec<Range<u64>>, Error> {
        let mut stream = self.stream(options);
        let mut frames = Vec::new();
        stream.push(samples, &mut frames)?;
        let end = stream.finish(&mut frames)?;
        let mut segments = Vec::new();
        let mut start = 0;
        for boundary in frames.iter().filter_map(|frame| frame.boundary).chain(end) {
            match boundary {
                Boundary::Start(frame) => start = frame * FRAME_SHIFT as u64,
                Boundary::End(frame) => segments.push(start..frame * FRAME_SHIFT as u64),
            }
        }
        Ok(segments)
    }
}

/// What is known of 10 ms of audio.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Probability that nobody speaks.
    pub silence: f32,
    /// What became certain with this frame. It may lie some frames before.
    pub boundary: Option<Boundary>,
}

/// Voice activity over one stream of PCM. Its memory does not grow with the stream, and how the
/// stream was cut into pushes makes no difference.
pub struct VadStream {
    vad: Arc<FsmnVad>,
    frontend: FrontendStream,
    network: NetworkState,
    endpointer: Endpointer,
    /// Feature rows that wait to be a chunk.
    rows: Vec<f32>,
    silence: Vec<f32>,
}

impl VadStream {
    /// Takes samples (16 kHz, full scale 1.0), and appends the frames that are decided to `frames`:
    /// a few seconds' worth at a time.
    pub fn push(&mut self, samples: &[f32], frames: &mut Vec<Frame>) -> Result<(), Error> {
        let chunk = CHUNK * self.vad.frontend.width();
        for samples in samples.chunks(CHUNK * FRAME_SHIFT) {
            self.frontend.push(samples, &mut self.rows);
            while self.rows.len() >= chunk {
                self.decide(chunk, frames)?;
            }
        }
        Ok(())
    }

    /// Ends the stream: appends the remaining frames, and returns the end of the open segment.
    pub fn finish(&mut self, frames: &mut Vec<Frame>) -> Result<Option<Boundary>, Error> {
        self.frontend.finish(&mut self.rows);
        let chunk = CHUNK * self.vad.frontend.width();
        while !self.rows.is_empty() {
            self.decide(chunk.min(self.rows.len()), frames)?;
        }
        Ok(self.endpointer.finish())
    }

    /// No segment that ends after the frames given so far starts before this frame.
    pub fn earliest_start(&self) -> u64 {
        self.endpointer.earliest_start()
    }

    /// How many frames the end of a segment may lie before the frame with which it is known.
    pub fn end_lag(&self) -> u64 {
        self.endpointer.end_lag()
    }

    /// Runs the network over the first `length` values of `rows`.
    fn decide(&mut self, length: usize, frames: &mut Vec<Frame>) -> Result<(), Error> {
        self.silence.clear();
        self.vad.network.run(&mut self.network, &self.rows[..length], &mut self.silence)?;
        self.rows.drain(..length);
        let endpointer = &mut self.endpointer;
        frames.extend(
            self.silence
                .iter()
                .map(|&silence| Frame { silence, boundary: endpointer.push(silence) }),
        );
        Ok(())
    }
}
