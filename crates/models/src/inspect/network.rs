//! ONNX files of a directory, and what their inputs, outputs and metadata say.

use super::files::{Directory, MAX_LISTED};
use crate::family::{Family, Variant, WeightFormat};
use crate::onnx::Graph;

/// Names that exporters give the network, quantized ones first.
pub(super) const NAMES: [&str; 3] = ["model_quant.onnx", "model.int8.onnx", "model.onnx"];

/// An ONNX file of a directory.
pub(super) struct Network {
    pub(super) file: String,
    pub(super) graph: Result<Graph, String>,
}

impl Network {
    /// Reads all ONNX files of a directory.
    pub(super) fn all(directory: &Directory) -> Vec<Self> {
        let names = directory.files().map(|(name, _)| name).filter(|name| name.ends_with(".onnx"));
        let open = |name: &str| {
            let graph = Graph::open(&directory.path(name)).map_err(|error| error.to_string());
            Self { file: name.to_owned(), graph }
        };
        names.take(MAX_LISTED).map(open).collect()
    }

    /// Returns the networks that have usual names, in the order of these. If there are none, returns the first
    /// other one: a speaker model of sherpa-onnx has a long name.
    pub(super) fn usual(networks: &[Self]) -> Vec<&Self> {
        let named = |name: &&str| networks.iter().find(|network| network.file == *name);
        let usual: Vec<_> = NAMES.iter().filter_map(named).collect();
        if !usual.is_empty() {
            return usual;
        }
        let is_own =
            |network: &&Self| !network.file.contains("_eb") && !network.file.starts_with("decoder");
        networks.iter().find(is_own).into_iter().collect()
    }

    pub(super) fn graph(&self) -> Option<&Graph> {
        self.graph.as_ref().ok()
    }
}

/// Returns the format of the weights.
pub(super) fn weight_format(graph: &Graph) -> WeightFormat {
    match (graph.is_quantized, graph.is_half) {
        (true, _) => WeightFormat::Int8,
        (false, true) => WeightFormat::F16,
        (false, false) => WeightFormat::F32,
    }
}

/// Returns whether sherpa-onnx's scripts have stored the model's constants in the network.
pub(super) fn is_sherpa(graph: &Graph) -> bool {
    ["vocab_size", "model_type", "framework"].iter().any(|key| graph.metadata.contains_key(*key))
}

/// Returns family and variant of a network, by its inputs, outputs and metadata.
pub(crate) fn recognize(graph: &Graph) -> Option<(Family, Option<Variant>)> {
    let takes = |names: &[&str]| names.iter().all(|name| graph.input(name).is_some());
    let gives = |names: &[&str]| names.iter().all(|name| graph.output(name).is_some());
    let kind = graph.metadata.get("model_type").map_or("", String::as_str);
    if takes(&["speech", "in_cache0"]) {
        return Some((Family::FsmnVad, None));
    }
    let is_sense_voice = takes(&["language", "textnorm"]) || takes(&["language", "text_norm"]);
    if is_sense_voice || kind.starts_with("sense_voice") {
        return Some((Family::SenseVoice, None));
    }
    if takes(&["speech", "speech_lengths"]) && gives(&["logits", "token_num"]) {
        let variant = match graph {
            _ if takes(&["bias_embed"]) => Variant::Hotwords,
            _ if gives(&["us_cif_peak"]) => Variant::Timestamps,
            _ => Variant::Plain,
        };
        return Some((Family::Paraformer, Some(variant)));
    }
    if takes(&["inputs", "text_lengths"]) || kind == "ct_transformer" {
        let is_realtime = takes(&["vad_masks"]) || takes(&["sub_masks"]);
        let variant = if is_realtime { Variant::Realtime } else { Variant::Plain };
        return Some((Family::CtTransformer, Some(variant)));
    }
    let takes_frames = graph.inputs.len() == 1 && graph.inputs[0].width() == Some(80);
    let is_3d_speaker =
        graph.metadata.get("framework").is_some_and(|framework| framework == "3d-speaker");
    if takes_frames && (is_3d_speaker || gives(&["embedding"]) || gives(&["embs"])) {
        return Some((Family::CamPlusPlus, None));
    }
    // sherpa-onnx's metadata, or the names that exporters for browsers give the ports.
    let is_powerset = graph.metadata.contains_key("powerset_max_classes")
        || (takes(&["input_values"]) && gives(&["logits"]));
    if graph.inputs.len() == 1 && graph.inputs[0].dimensions.len() == 3 && is_powerset {
        return Some((Family::PyannoteSegmentation, None));
    }
    None
}

/// Returns whether the network is pyannote's segmentation.
pub(super) fn is_segmentation(graph: &Graph) -> bool {
    recognize(graph).is_some_and(|(family, _)| family == Family::PyannoteSegmentation)
}

/// Returns whether the network is a Paraformer that takes hotwords and is not SeACo, which also
/// returns times.
pub(super) fn is_contextual(graph: &Graph) -> bool {
    graph.input("bias_embed").is_some() && graph.output("us_cif_peak").is_none()
}

/// Returns the number of values per frame of features.
pub(super) fn features(graph: &Graph) -> Option<u64> {
    let port = ["speech", "x", "feature"].iter().find_map(|name| graph.input(name))?;
    port.width()
}

/// Returns the number of classes: symbols or punctuation marks.
pub(super) fn classes(graph: &Graph) -> Option<u64> {
    let port = ["logits", "ctc_logits"].iter().find_map(|name| graph.output(name))?;
    port.width()
}
