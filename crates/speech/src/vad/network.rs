//! The FSMN network: maps feature rows to probabilities of silence, in chunks that pass on its memory.

use std::path::Path;

use engine::{ComputeType, OnnxFile, OnnxNetwork, Tensor};

use super::config::ModelConfig;
use crate::{
    files::{broken_by, not_loaded},
    recognizer::Error,
};

/// Number of rows per run. Larger chunks cost memory and latency. Smaller chunks cost speed, because
/// the rows of a run share the fixed costs of the graph, as long as their activations fit the cache.
pub(super) const CHUNK: usize = 300;

/// Weights and graph, shared by all streams.
///
/// This is a Deep-FSMN (<https://arxiv.org/abs/1803.05030>) without look-ahead: the result of a row
/// depends only on the row and those before it, some of which each layer keeps in a cache.
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
    /// Opens the ONNX file. `width`: number of values per row.
    pub(super) fn open(path: &Path, config: &ModelConfig, width: usize) -> Result<Self, Error> {
        let encoder = &config.encoder_conf;
        let cache_shape = [1, encoder.proj_dim, encoder.lorder - 1, 1];
        let mut inputs = vec![[1, CHUNK, width].map(Into::into).to_vec()];
        inputs.resize(1 + encoder.fsmn_layers, cache_shape.map(Into::into).to_vec());
        let unusable = |error: engine::Error| not_loaded(path, error);
        let zeros = vec![0f32; cache_shape.iter().product()];
        // Compute in f32 on every machine, even if the model is quantized, so that thresholds mean
        // the same everywhere.
        let file = OnnxFile::read(path).map_err(unusable)?.with_compute_type(ComputeType::F32);
        let network = Self {
            graph: file.full_network(&inputs).map_err(unusable)?,
            width,
            classes: encoder.output_dim,
            silence_classes: config.model_conf.sil_pdf_ids.clone(),
            empty_cache: engine::tensor(&cache_shape, &zeros)?,
            layers: encoder.fsmn_layers,
        };
        // A model that does not fit its configuration fails here and not at the first recording. One
        // with NaN weights would find silence everywhere.
        let rows = vec![0.0; CHUNK * width];
        network.run(&mut network.start(), &rows, &mut Vec::new()).map_err(|error| {
            broken_by(path, "does not run or is damaged (download it again)", error)
        })?;
        Ok(network)
    }

    /// Returns a state with empty caches.
    pub(super) fn start(&self) -> NetworkState {
        NetworkState { caches: vec![self.empty_cache.clone(); self.layers] }
    }

    /// Appends the silence probability of every row to `silence`. `rows`: row-major `[n, width]`,
    /// where `n` is [`CHUNK`], or less at the end of a stream.
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
            // Rows have no effect on earlier rows.
            let mut padded = rows.to_vec();
            padded.resize(CHUNK * self.width, 0.0);
            engine::tensor(&shape, &padded)
        };
        let mut inputs = vec![speech?];
        inputs.append(&mut state.caches);
        let mut outputs = self.graph.run(inputs)?;
        if outputs.len() != 1 + self.layers
            || outputs[0].shape() != [1, CHUNK, self.classes]
            || outputs[1..].iter().any(|cache| cache.shape() != self.empty_cache.shape())
        {
            let message = "the outputs of the voice activity detector have unexpected shapes";
            return Err(Error::Network(message.to_owned()));
        }
        state.caches = outputs.split_off(1);
        let posteriors = engine::values::<f32>(&outputs[0])?;
        for row in posteriors.chunks_exact(self.classes).take(count) {
            let sum = self.silence_classes.iter().map(|&class| row[class]).sum::<f32>();
            // NaN would count as silence, and the recording as one without words.
            if !sum.is_finite() {
                let message = "the outputs of the voice activity detector are not finite";
                return Err(Error::Network(message.to_owned()));
            }
            silence.push(sum);
        }
        Ok(())
    }
}
