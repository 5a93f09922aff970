use super::files::Directory;
use crate::family::{Family, Precision, Variant};
use crate::onnx::Graph;

/// Names that exporters give the network, the one with integers first.
pub(super) const NAMES: [&str; 3] = ["model_quant.onnx", "model.int8.onnx", "model.onnx"];

/// An ONNX file of a directory.
pub(super) struct Network {
    pub(super) file: String,
    pub(super) graph: Result<Graph, String>,
}

impl Network {
    /// The networks of a directory under their usual names; where there is none, the only one (a
    /// speaker model of sherpa-onnx keeps its long name).
    pub(super) fn all(directory: &Directory) -> Vec<Self> {
        let usual = NAMES.iter().filter(|name| directory.has(name)).map(|&name| name.to_owned());
        let mut names: Vec<String> = usual.collect();
        if names.is_empty() {
            let own = |name: &str| {
                name.ends_with(".onnx") && !name.contains("_eb") && !name.starts_with("decoder")
            };
            names = directory.files().map(|(name, _)| name.to_owned()).filter(|n| own(n)).collect();
            names.truncate(1);
        }
        let open = |file: String| {
            let graph = Graph::open(&directory.path(&file)).map_err(|error| error.to_string());
            Self { file, graph }
        };
        names.into_iter().map(open).collect()
    }

    pub(super) fn graph(&self) -> Option<&Graph> {
        self.graph.as_ref().ok()
    }
}

pub(super) fn precision(graph: &Graph) -> Precision {
    match (graph.is_quantized, graph.is_half) {
        (true, _) => Precision::Int8,
        (false, true) => Precision::F16,
        (false, false) => Precision::F32,
    }
}

/// Whether sherpa-onnx's scripts have put the model's constants into it.
pub(super) fn is_sherpa(graph: &Graph) -> bool {
    ["vocab_size", "model_type", "framework"].iter().any(|key| graph.metadata.contains_key(*key))
}

/// What a network is by its inputs, outputs and metadata.
pub(super) fn recognize(graph: &Graph) -> Option<(Family, Option<Variant>)> {
    let takes = |names: &[&str]| names.iter().all(|name| graph.input(name).is_some());
    let gives = |names: &[&str]| names.iter().all(|name| graph.output(name).is_some());
    let kind = graph.metadata.get("model_type").map_or("", String::as_str);
    if takes(&["speech", "in_cache0"]) {
        return Some((Family::FsmnVad, None));
    }
    let sense_voice = takes(&["language", "textnorm"]) || takes(&["language", "text_norm"]);
    if sense_voice || kind.starts_with("sense_voice") {
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
        let realtime = takes(&["vad_masks"]) || takes(&["sub_masks"]);
        let variant = if realtime { Variant::Realtime } else { Variant::Plain };
        return Some((Family::CtTransformer, Some(variant)));
    }
    let frames = graph.inputs.len() == 1 && graph.inputs[0].width() == Some(80);
    let speakers =
        graph.metadata.get("framework").is_some_and(|framework| framework == "3d-speaker");
    if frames && (speakers || gives(&["embedding"]) || gives(&["embs"])) {
        return Some((Family::CamPlusPlus, None));
    }
    None
}

/// A Paraformer that takes hotwords, but not as SeACo does: that one gives times besides.
pub(super) fn is_contextual(graph: &Graph) -> bool {
    graph.input("bias_embed").is_some() && graph.output("us_cif_peak").is_none()
}

/// The width of what the network reads: values per frame of features.
pub(super) fn features(graph: &Graph) -> Option<u64> {
    let port = ["speech", "x", "feature"].iter().find_map(|name| graph.input(name))?;
    port.width()
}

/// How many classes the network tells apart: symbols, or punctuation marks.
pub(super) fn classes(graph: &Graph) -> Option<u64> {
    let port = ["logits", "ctc_logits"].iter().find_map(|name| graph.output(name))?;
    port.width()
}
