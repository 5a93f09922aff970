//! What a model directory is, and what is wrong with it, without loading it.

mod checks;
mod files;
mod network;
mod report;
#[cfg(test)]
mod tests;
mod whisper;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Error;
use crate::family::{Family, Layout, Precision, Variant};
use checks::Checks;
use files::{Config, Directory};
use network::Network;

/// What [`inspect`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The directory's name.
    pub name: String,
    /// Absolute.
    pub path: PathBuf,
    pub family: Family,
    pub variant: Option<Variant>,
    pub layout: Layout,
    /// How the weights there are kept, smallest first: a directory may hold two exports.
    pub precisions: Vec<Precision>,
    /// Codes, as far as the files say; empty where they do not.
    pub languages: Vec<String>,
    /// How many symbols the network tells apart.
    pub vocabulary: Option<u64>,
    /// By name.
    pub files: Vec<ModelFile>,
    /// What keeps the model from working; none: it can be opened.
    pub problems: Vec<Problem>,
}

/// A file in a model directory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelFile {
    pub name: String,
    /// In bytes.
    pub size: u64,
    /// What it is for; `None`: nothing here reads it.
    pub purpose: Option<&'static str>,
}

/// Something that keeps a model from working.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    /// Name in the directory; of several possible ones, the usual.
    pub file: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl Inspection {
    /// Whether nothing was found that keeps the model from working.
    pub fn is_usable(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Tells what a directory holds: by FunASR's `config.yaml` where there is one, by the names of its
/// files, or by the ports and metadata of its ONNX file. It reads configurations and vocabularies,
/// and of the networks only what lies between the weights.
///
/// # Errors
/// [`Error::Io`] where there is no such path; [`Error::NotAModel`] where nothing is recognized. A
/// model that is recognized but broken is no error: see [`Inspection::problems`].
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
        precisions: Vec::new(),
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
        checks.need(&["verbalizer.fst", "zh_itn_verbalizer.fst"], "the grammar that writes");
        return Ok(inspection);
    }

    let networks = Network::all(&directory);
    // What ModelScope has of it is no ONNX file; a checkpoint is only read by loading it.
    if networks.is_empty() && directory.files().any(|(name, _)| files::is_checkpoint(name)) {
        inspection.family = Family::CamPlusPlus;
        inspection.layout = Layout::Funasr;
        inspection.precisions = vec![Precision::F32];
        return Ok(inspection);
    }
    let config = directory.config();
    let parsed = config.as_ref().and_then(|(_, config)| config.as_ref().ok());
    let graphs = || networks.iter().filter_map(Network::graph);
    if parsed.is_some_and(Config::is_contextual) || graphs().any(network::is_contextual) {
        let message = "it is a contextual Paraformer, which is not supported: of those that take \
                       hotwords, only SeACo (`SeacoParaformer`) is"
            .into();
        return Err(Error::NotAModel { path, message });
    }
    let Some((family, variant)) = recognize(&directory, parsed, &networks) else {
        return Err(Error::NotAModel { path, message: unrecognized(parsed, &networks) });
    };
    inspection.family = family;
    inspection.variant = variant;
    inspection.layout = match graphs().next() {
        Some(graph) if config.is_none() && network::is_sherpa(graph) => Layout::SherpaOnnx,
        _ => Layout::Funasr,
    };
    Checks::new(&directory, &mut inspection).run(config.as_ref(), &networks);
    Ok(inspection)
}

/// Family and variant, from the best witness there is. Where the configuration and the network
/// disagree the configuration is believed, and [`Checks`] says so.
fn recognize(
    directory: &Directory,
    config: Option<&Config>,
    networks: &[Network],
) -> Option<(Family, Option<Variant>)> {
    let by_graph = networks.iter().find_map(|network| network::recognize(network.graph()?));
    let stated = config.and_then(Config::family).or_else(|| directory.family_by_names());
    match (stated, by_graph) {
        // The network knows better which of the family it is.
        (Some((family, _)), Some((found, variant))) if family == found => Some((found, variant)),
        (Some(stated), _) => Some(stated),
        (None, by_graph) => by_graph,
    }
}

fn unrecognized(config: Option<&Config>, networks: &[Network]) -> String {
    if let Some(model) = config.and_then(|config| config.model.as_deref()) {
        return format!(
            "its configuration says that it is a `{model}`, which Scriptorium cannot run; it runs \
             Paraformer (not the streaming one), SenseVoiceSmall, CTTransformer, FsmnVADStreaming \
             and CAMPPlus"
        );
    }
    let broken = |network: &Network| {
        network.graph.as_ref().err().map(|cause| format!("{}: {cause}", network.file))
    };
    if let Some(broken) = networks.iter().find_map(broken) {
        return broken;
    }
    if let Some(network) = networks.first() {
        return format!(
            "{} is a network of no family that Scriptorium knows: neither its inputs and outputs nor \
             a config.yaml beside it say what it is",
            network.file
        );
    }
    "neither model.bin (Whisper as CTranslate2 keeps it) nor an ONNX file (FunASR, sherpa-onnx) is in \
     it"
    .into()
}
