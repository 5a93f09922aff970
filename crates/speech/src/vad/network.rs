//! The FSMN itself: feature rows to silence probabilities, in chunks that carry its memory along.

use std::{fmt::Display, path::Path};

use engine::{ComputeType, OnnxFile, OnnxNetwork, Tensor};

use super::config::ModelConfig;
use crate::recognizer::Error;

/// Rows per run. More cost memory and latency, fewer cost speed: the graph's fixed costs are shared
/// by the rows of a run, until their activations no longer fit the cache.
pub(super) const CHUNK: usize = 300;

/// Weights and graph, shared by all streams.
///
/// Deep-FSMN (<https://arxiv.org/abs/1803.05030>) without look-ahead: a row's result depends only
/// on the rows before it, some of which each layer keeps in a cache.
pub(super) struct Network {
    graph: OnnxNetwork,
    width: usize,
    classes: usize,
    silence_classes: Vec<usize>,
    empty_cache: Tensor,
    layers: usize,
}

/// The caches of one stream.
pub(super) struct NetworkState {
    caches: Vec<Tensor>,
}

impl Network {
    /// `width`: values per row.
    pub(super) fn open(path: &Path, config: &ModelConfig, width: usize) -> Result<Self, Error> {
        let encoder = &config.encoder_conf;
        let cache_shape = [1, encoder.proj_dim, encoder.lorder - 1, 1];
        let mut inputs = vec![[1, CHUNK, width].map(Into::into).to_vec()];
        inputs.resize(1 + encoder.fsmn_layers, cache_shape.map(Into::into).to_vec());
        let model =
            |e: &dyn Display| Error::Model { path: path.to_owned(), message: e.to_string() };
        let zeros = vec![0f32; cache_shape.iter().product()];
        // Its thresholds should mean the same on all machines, also where it is quantized.
        let file =
            OnnxFile::read(path).map_err(|e| model(&e))?.with_compute_type(ComputeType::Float);
        let network = Self {
            graph: file.full_network(&inputs).map_err(|e| model(&e))?,
            width,
            classes: encoder.output_dim,
            silence_classes: config.model_conf.sil_pdf_ids.clone(),
            empty_cache: engine::tensor(&cache_shape, &zeros).map_err(|e| model(&e))?,
            layers: encoder.fsmn_layers,
        };
        // A model that does not fit its configuration should fail here, not at the first recording.
        let rows = vec![0.0; CHUNK * width];
        // And one with weights that are no numbers would find silence everywhere.
        network
            .run(&mut network.start(), &rows, &mut Vec::new())
            .map_err(|e| model(&format!("does not run, or is damaged ({e}): fetch it anew")))?;
        Ok(network)
    }

    /// A state with empty caches.
    pub(super) fn start(&self) -> NetworkState {
        NetworkState { caches: vec![self.empty_cache.clone(); self.layers] }
    }

    /// Appends the silence probability of every row to `silence`. `rows`: row-major
    /// `[n, width]`, `n` at most [`CHUNK`]; fewer only at the end of a stream.
    pub(super) fn run(
        &self,
        state: &mut NetworkState,
        rows: &[f32],
        silence: &mut Vec<f32>,
    ) -> Result<(), Error> {
        let count = rows.len() / self.width;
        let shape = [1, CHUNK, self.width];
        let speech = if count == CHUNK {
            engine::tensor(&shape, rows)
        } else {
            // What follows a row has no effect on it.
            let mut padded = rows.to_vec();
            padded.resize(CHUNK * self.width, 0.0);
            engine::tensor(&shape, &padded)
        };
        let mut inputs = vec![speech.map_err(network)?];
        inputs.append(&mut state.caches);
        let mut outputs = self.graph.run(inputs).map_err(network)?;
        if outputs.len() != 1 + self.layers
            || outputs[0].shape() != [1, CHUNK, self.classes]
            || outputs[1..].iter().any(|cache| cache.shape() != self.empty_cache.shape())
        {
            return Err(Error::Network("the outputs of the VAD have unexpected shapes".to_owned()));
        }
        state.caches = outputs.split_off(1);
        let posteriors = engine::values::<f32>(&outputs[0]).map_err(network)?;
        for row in posteriors.chunks_exact(self.classes).take(count) {
            let sum = self.silence_classes.iter().map(|&class| row[class]).sum::<f32>();
            // Everything else would take it for silence, and the recording for one without words.
            if !sum.is_finite() {
                let message = "what the VAD computes are no finite numbers".to_owned();
                return Err(Error::Network(message));
            }
            silence.push(sum);
        }
        Ok(())
    }
}

fn network(error: engine::Error) -> Error {
    Error::Network(error.to_string())
}
