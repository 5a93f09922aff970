//! Inspects a model directory without loading the model.

mod checks;
mod files;
mod network;
mod parakeet;
mod report;
#[cfg(test)]
mod tests;
mod whisper;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Error;
use crate::convert::{family_of, name::is_checkpoint};
use crate::family::{Family, Layout, Variant, WeightFormat};
use checks::Checks;
use files::{Config, Directory};
use network::Network;
pub(crate) use network::recognize as recognize_network;
use parakeet::Parakeet;

/// Result of [`inspect()`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The directory's name.
    pub name: String,
    /// Absolute.
    pub path: PathBuf,
    pub family: Family,
    pub variant: Option<Variant>,
    pub layout: Layout,
    /// Formats of the weights, smallest first: a directory may hold two exports.
    #[serde(rename = "precisions")]
    pub weight_formats: Vec<WeightFormat>,
    /// Codes of the languages, as far as the files name them.
    pub languages: Vec<String>,
    /// Number of classes of the network.
    pub vocabulary: Option<u64>,
    /// Sorted by name.
    pub files: Vec<ModelFile>,
    /// Problems that keep the model from working. If there are none, it can be opened.
    pub problems: Vec<Problem>,
}

/// A file in a model directory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelFile {
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// Purpose of the file; `None` if nothing reads it.
    pub purpose: Option<&'static str>,
}

/// A problem that keeps a model from working.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    /// Name in the directory; if there are several possible names, the usual one.
    pub file: String,
    pub message: String,
    pub remedy: String,
}

impl Inspection {
    /// Returns whether the model can be opened.
    pub fn is_usable(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Inspects a directory and recognizes the model in it: by FunASR's `config.yaml` if there is one, by
/// the names of its files, or by the inputs, outputs and metadata of its ONNX files. Reads
/// configurations and vocabularies, and of networks only the structure between the weights.
///
/// # Errors
/// [`Error::Io`] if the path does not exist; [`Error::NotAModel`] if no model is recognized. A model
/// that is recognized but broken is not an error: see [`Inspection::problems`].
pub fn inspect(path: &Path) -> Result<Inspection, Error> {
    let path = path.canonicalize().map_err(Error::io(path))?;
    if !path.is_dir() {
        let message = "it is not a directory".into();
        return Err(Error::NotAModel { path, message });
    }
    let directory = Directory::read(&path)?;
    let mut inspection = Inspection {
        name: path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
        path: path.clone(),
        family: Family::Whisper,
        variant: None,
        layout: Layout::Ctranslate2,
        weight_formats: Vec::new(),
        languages: Vec::new(),
        vocabulary: None,
        files: directory.list(),
        problems: Vec::new(),
    };
    if directory.has("model.bin") {
        whisper::inspect(&directory, &mut inspection);
        return Ok(inspection);
    }
    if directory.files().any(|(name, _)| name.ends_with("tagger.fst")) {
        inspection.family = Family::TextNormalization;
        inspection.layout = Layout::Wetext;
        let mut checks = Checks::new(&directory, &mut inspection);
        checks.require(
            &["verbalizer.fst", "zh_itn_verbalizer.fst"],
            "the grammar that writes digits",
        );
        return Ok(inspection);
    }

    let networks = Network::all(&directory);
    if let Some(parakeet) = Parakeet::find(&directory, &networks) {
        parakeet.inspect(&mut inspection);
        return Ok(inspection);
    }
    let networks = Network::usual(&networks);
    let checkpoint = directory.files().map(|(name, _)| name).find(|n| is_checkpoint(n));
    if let Some(checkpoint) = checkpoint.filter(|_| networks.is_empty())
        && let Some(family) = family_of(&directory.path(checkpoint))
    {
        inspection.family = family;
        inspection.layout = Layout::Pytorch;
        inspection.weight_formats = vec![WeightFormat::F32];
        let remedy = format!("`scriptorium models convert {}` converts it once", path.display());
        let message = "a PyTorch checkpoint, which must be converted to ONNX".into();
        Checks::new(&directory, &mut inspection).add_problem(checkpoint, message, &remedy);
        return Ok(inspection);
    }
    let graphs = || networks.iter().filter_map(|network| network.graph());
    let is_segmentation = graphs().any(network::is_segmentation);
    // The configuration beside pyannote's checkpoint is not one of FunASR's.
    let config = directory.config().filter(|_| !is_segmentation);
    let parsed = config.as_ref().and_then(|(_, config)| config.as_ref().ok());
    if parsed.is_some_and(Config::is_contextual) || graphs().any(network::is_contextual) {
        let message =
            "it is a contextual Paraformer, which is not supported; for hotwords, only SeACo \
                       (`SeacoParaformer`) is"
                .into();
        return Err(Error::NotAModel { path, message });
    }
    let Some((family, variant)) = recognize(&directory, parsed, &networks) else {
        return Err(Error::NotAModel { path, message: unrecognized(parsed, &networks) });
    };
    inspection.family = family;
    inspection.variant = variant;
    inspection.layout = match graphs().next() {
        Some(_) if is_segmentation => Layout::SherpaOnnx,
        Some(graph) if config.is_none() && network::is_sherpa(graph) => Layout::SherpaOnnx,
        _ => Layout::Funasr,
    };
    Checks::new(&directory, &mut inspection).run(config.as_ref(), &networks);
    Ok(inspection)
}

/// Returns family and variant. If the configuration and the network disagree, the configuration
/// decides, and [`Checks`] reports it.
fn recognize(
    directory: &Directory,
    config: Option<&Config>,
    networks: &[&Network],
) -> Option<(Family, Option<Variant>)> {
    let by_graph = networks.iter().find_map(|network| network::recognize(network.graph()?));
    let stated = config.and_then(Config::family).or_else(|| directory.family_by_names());
    match (stated, by_graph) {
        // The network determines the variant.
        (Some((family, _)), Some((found, variant))) if family == found => Some((found, variant)),
        (Some(stated), _) => Some(stated),
        (None, by_graph) => by_graph,
    }
}

/// Explains why no model is recognized.
fn unrecognized(config: Option<&Config>, networks: &[&Network]) -> String {
    if let Some(model) = config.and_then(|config| config.model.as_deref()) {
        return format!(
            "its configuration names the model `{model}`, which Scriptorium does not support; it \
             supports Paraformer (except streaming), SenseVoiceSmall, CTTransformer, \
             FsmnVADStreaming and CAMPPlus"
        );
    }
    let failure = |network: &&Network| {
        network.graph.as_ref().err().map(|cause| format!("{}: {cause}", network.file))
    };
    if let Some(failure) = networks.iter().find_map(failure) {
        return failure;
    }
    if let Some(network) = networks.first() {
        return format!(
            "{} is a network of an unknown family: neither its inputs and outputs nor a config.yaml \
             next to it identify it",
            network.file
        );
    }
    "it has neither model.bin (Whisper in CTranslate2's format) nor an ONNX file (FunASR, \
     sherpa-onnx)"
        .into()
}
