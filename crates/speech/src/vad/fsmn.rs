//! Voice activity detection with FSMN-VAD, as FunASR's `Fsmn_vad` does it.
//!
//! Three stages: front end (log-mel, LFR 5/1, CMVN), network (probability of silence for each 10 ms
//! frame), and the end-point state machine that turns probabilities into segments.

use std::{ops::Range, path::Path, sync::Arc};

use super::{
    Boundary, Frame, VadOptions, VadStream, VoiceActivityDetector,
    config::{EndpointOptions, ModelConfig},
    endpoint::Endpointer,
    network::{CHUNK, Network, NetworkState},
};
use crate::{
    features::{Cmvn, FRAME_SHIFT, Frontend, FrontendStream},
    files,
    recognizer::Error,
};

/// An FSMN-VAD model, shared by all streams and threads.
pub struct FsmnVad {
    frontend: Frontend,
    network: Arc<Network>,
    config: ModelConfig,
    digest: String,
}

impl FsmnVad {
    /// Opens a FunASR model directory: `model.onnx` (or `model_quant.onnx` where there is no other),
    /// `config.yaml` (or `vad.yaml`) and `am.mvn` (or `vad.mvn`).
    ///
    /// # Errors
    /// [`Error::Model`] if a file is missing or broken, does not fit the other files, or needs a
    /// feature that is not supported.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let model_path = files::need(directory, &["model.onnx", "model_quant.onnx"])?;
        let config_path = files::need(directory, &["config.yaml", "vad.yaml"])?;
        let cmvn_path = files::need(directory, &["am.mvn", "vad.mvn"])?;
        let config = ModelConfig::open(&config_path)?;
        let frontend = Frontend::new(&config.frontend_conf, Some(Cmvn::open(&cmvn_path)?))
            .map_err(|message| files::broken(&config_path, message))?;
        if config.frontend_conf.lfr_n != 1 {
            let message = format!("lfr_n is {}, not 1", config.frontend_conf.lfr_n);
            return Err(files::broken(&config_path, message));
        }
        Ok(Self {
            network: Arc::new(Network::open(&model_path, &config, frontend.width())?),
            frontend,
            config,
            digest: files::digest(&[model_path, config_path, cmvn_path], "")?,
        })
    }

    /// Returns the model's front end.
    pub fn frontend(&self) -> &Frontend {
        &self.frontend
    }

    /// Finds the segments of speech in a recording held in memory, as ranges of samples.
    ///
    /// # Errors
    /// Returns an error if the network fails.
    pub fn segments(
        &self,
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

impl VoiceActivityDetector for FsmnVad {
    fn name(&self) -> &str {
        "fsmn-vad"
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn stream(&self, options: &VadOptions) -> Box<dyn VadStream> {
        Box::new(FsmnStream {
            frontend: self.frontend.stream(),
            chunk: CHUNK * self.frontend.width(),
            network: Arc::clone(&self.network),
            state: self.network.start(),
            endpointer: Endpointer::new(EndpointOptions::new(&self.config.model_conf, options)),
            rows: Vec::new(),
            silence: Vec::new(),
        })
    }
}

/// FSMN-VAD over one stream of PCM.
struct FsmnStream {
    frontend: FrontendStream,
    network: Arc<Network>,
    state: NetworkState,
    endpointer: Endpointer,
    /// Number of values in one full chunk of feature rows.
    chunk: usize,
    /// Feature rows that do not fill a chunk yet.
    rows: Vec<f32>,
    /// Scratch buffer for the probabilities of one chunk.
    silence: Vec<f32>,
}

impl VadStream for FsmnStream {
    fn push(&mut self, samples: &[f32], frames: &mut Vec<Frame>) -> Result<(), Error> {
        for samples in samples.chunks(CHUNK * FRAME_SHIFT) {
            self.frontend.push(samples, &mut self.rows);
            while self.rows.len() >= self.chunk {
                self.decide(self.chunk, frames)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, frames: &mut Vec<Frame>) -> Result<Option<Boundary>, Error> {
        self.frontend.finish(&mut self.rows);
        while !self.rows.is_empty() {
            self.decide(self.chunk.min(self.rows.len()), frames)?;
        }
        Ok(self.endpointer.finish())
    }

    fn earliest_start(&self) -> u64 {
        self.endpointer.earliest_start()
    }

    fn end_lag(&self) -> u64 {
        self.endpointer.end_lag()
    }
}

impl FsmnStream {
    /// Runs the network over the first `length` values of `rows`.
    fn decide(&mut self, length: usize, frames: &mut Vec<Frame>) -> Result<(), Error> {
        self.silence.clear();
        self.network.run(&mut self.state, &self.rows[..length], &mut self.silence)?;
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
