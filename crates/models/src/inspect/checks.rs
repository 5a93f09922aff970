//! Checks that the files of a directory are complete and fit one another.

use super::files::{CONFIGS, Config, Directory, SENTENCEPIECE, STATISTICS, TOKENS};
use super::network::{self, Network};
use super::{Inspection, Problem};
use crate::family::{Family, Layout, Variant, WeightFormat};
use crate::onnx::Graph;

pub(super) const SAME_RELEASE: &str = "take all files from the same release of the model";

/// Constants of pyannote's segmentation in sherpa-onnx's metadata: chunks of ten seconds, and classes for
/// three speakers of whom two speak at a time.
const SEGMENTATION: [(&str, &str); 6] = [
    ("sample_rate", "16000"),
    ("window_size", "160000"),
    ("receptive_field_shift", "270"),
    ("num_speakers", "3"),
    ("powerset_max_classes", "2"),
    ("num_classes", "7"),
];

/// Adds the problems that it finds to an [`Inspection`].
pub(super) struct Checks<'a> {
    directory: &'a Directory,
    inspection: &'a mut Inspection,
}

impl<'a> Checks<'a> {
    pub(super) fn new(directory: &'a Directory, inspection: &'a mut Inspection) -> Self {
        Self { directory, inspection }
    }

    /// Checks a directory in the layout of FunASR or sherpa-onnx.
    pub(super) fn run(
        mut self,
        config: Option<&(&'static str, Result<Config, String>)>,
        networks: &[&Network],
    ) {
        if networks.is_empty() {
            let file = "model_quant.onnx or model.onnx";
            self.add_problem(file, "missing".into(), "export the model with FunASR, or pull it");
        }
        for network in networks {
            self.check_network(network);
        }
        self.inspection.weight_formats.sort_unstable();
        self.inspection.weight_formats.dedup();
        let parsed = match config {
            Some((file, Err(cause))) => {
                self.add_problem(file, cause.clone(), SAME_RELEASE);
                None
            }
            Some((file, Ok(config))) => Some((*file, config)),
            None => None,
        };
        // The checks below would report a network of another family a second time.
        let family = self.inspection.family;
        let is_own = |graph: &&Graph| network::recognize(graph).is_some_and(|(f, _)| f == family);
        let graph = networks.iter().filter_map(|network| network.graph()).find(is_own);
        match (self.inspection.layout, graph) {
            (Layout::SherpaOnnx, Some(graph)) => self.check_sherpa(graph, &networks[0].file),
            _ => self.check_funasr(config.is_some(), parsed, graph),
        }
        self.set_languages(parsed.map(|(_, config)| config));
    }

    /// Returns the first of `names` that exists; reports the file as missing if there is none.
    pub(super) fn require(
        &mut self,
        names: &[&'static str],
        purpose: &str,
    ) -> Option<&'static str> {
        let found = self.directory.first_of(names);
        if found.is_none() {
            let message = format!("missing: {purpose}");
            let other = names.get(1).map_or(String::new(), |name| format!(" (or {name})"));
            let remedy =
                format!("copy it{other} from the publisher of the model, or pull the model");
            self.add_problem(names[0], message, &remedy);
        }
        found
    }

    pub(super) fn add_problem(&mut self, file: &str, message: String, remedy: &str) {
        let (file, remedy) = (file.to_owned(), remedy.to_owned());
        self.inspection.problems.push(Problem { file, message, remedy });
    }

    fn check_network(&mut self, network: &Network) {
        let graph = match &network.graph {
            Ok(graph) => graph,
            Err(cause) => {
                let remedy = "download it again completely; `models verify` compares checksums";
                return self.add_problem(&network.file, cause.clone(), remedy);
            }
        };
        self.check_name(&network.file);
        let format = network::weight_format(graph);
        self.inspection.weight_formats.push(format);
        // The segmentation's weights are widened when it is opened.
        let is_segmentation = self.inspection.family == Family::PyannoteSegmentation;
        if format == WeightFormat::F16 && !is_segmentation {
            let remedy = "use the export in f32, or the one quantized to int8";
            self.add_problem(&network.file, "its weights are 16-bit floats".into(), remedy);
        }
        // An export may have hundreds of such files: one is enough for the message.
        if let Some(external) = graph.external.keys().next() {
            let message = format!("its weights are in another file, {external}");
            let remedy = "save the model as one file, in Python: onnx.save(onnx.load(\"model.onnx\"), \
                          \"single.onnx\")";
            self.add_problem(&network.file, message, remedy);
        }
        let family = self.inspection.family;
        match network::recognize(graph) {
            Some((found, _)) if found == family => {}
            Some((found, _)) => {
                let message =
                    format!("a {found} network, but the other files belong to a {family} model");
                self.add_problem(&network.file, message, SAME_RELEASE);
            }
            None => {
                let message = format!("not a {family} network: it has other inputs and outputs");
                self.add_problem(&network.file, message, SAME_RELEASE);
            }
        }
    }

    /// Checks the name of a network. Only speaker models, which are one file, may have any name.
    fn check_name(&mut self, file: &str) {
        if network::NAMES.contains(&file) {
            return;
        }
        let networks = self.directory.files().filter(|(name, _)| name.ends_with(".onnx")).count();
        let family = self.inspection.family;
        if !matches!(family, Family::CamPlusPlus | Family::PyannoteSegmentation) {
            let message = "not one of the names that a network must have".into();
            self.add_problem(file, message, "rename it to model.onnx (int8: model_quant.onnx)");
        } else if networks > 1 {
            let message = format!("one of {networks} networks, none of which is named model.onnx");
            self.add_problem(file, message, "leave one, or name it model.onnx");
        }
    }

    fn check_funasr(
        &mut self,
        has_config: bool,
        config: Option<(&'static str, &Config)>,
        graph: Option<&Graph>,
    ) {
        let family = self.inspection.family;
        if !has_config && !matches!(family, Family::CamPlusPlus | Family::PyannoteSegmentation) {
            self.require(&CONFIGS[..1], "the model's configuration");
        }
        match family {
            Family::FsmnVad => {
                self.check_features(config, graph);
                self.check_layers(config, graph);
            }
            Family::Paraformer => {
                self.check_features(config, graph);
                self.check_tokens(&TOKENS, config, graph.and_then(network::classes));
                self.check_hotwords(config);
            }
            Family::SenseVoice => {
                self.check_features(config, graph);
                let names = [TOKENS[0], TOKENS[1], SENTENCEPIECE];
                self.check_tokens(&names, config, graph.and_then(network::classes));
            }
            Family::CtTransformer => {
                self.check_tokens(&TOKENS, config, None);
                self.check_punctuation(config, graph);
            }
            Family::Whisper
            | Family::Parakeet
            | Family::CamPlusPlus
            | Family::PyannoteSegmentation
            | Family::TextNormalization => {}
        }
    }

    /// Checks the statistics that normalize features, and the configuration of features.
    fn check_features(&mut self, config: Option<(&'static str, &Config)>, graph: Option<&Graph>) {
        self.check_statistics(graph.and_then(network::features));
        if let Some((file, Config { frontend_conf: None, .. })) = config {
            let message = "`frontend_conf` is missing: the parameters of the features".into();
            self.add_problem(file, message, SAME_RELEASE);
        }
    }

    fn check_statistics(&mut self, features: Option<u64>) {
        let Some(file) = self.require(&STATISTICS, "the mean and variance of the features") else {
            return;
        };
        match (self.directory.count_statistics(file), features) {
            (Err(cause), _) => self.add_problem(file, cause, SAME_RELEASE),
            (Ok(found), Some(features)) if found != features => {
                let message =
                    format!("for {found} values per frame, but the network takes {features}");
                self.add_problem(file, message, SAME_RELEASE);
            }
            _ => {}
        }
    }

    /// Checks the size of the vocabulary against the number of classes of the network, if given.
    fn check_tokens(
        &mut self,
        names: &[&'static str],
        config: Option<(&'static str, &Config)>,
        classes: Option<u64>,
    ) {
        self.inspection.vocabulary = classes;
        let listed = config.and_then(|(_, config)| config.token_list.as_ref());
        let (file, found) = match (self.directory.first_of(names), listed) {
            (Some(file), _) => (file, self.directory.count_tokens(file)),
            (None, Some(list)) => (CONFIGS[0], Ok(list.len() as u64)),
            (None, None) => {
                self.require(names, "the vocabulary");
                return;
            }
        };
        match (found, classes) {
            (Err(cause), _) => self.add_problem(file, cause, SAME_RELEASE),
            (Ok(0), _) => self.add_problem(file, "it holds no tokens".into(), SAME_RELEASE),
            (Ok(found), None) => self.inspection.vocabulary = Some(found),
            (Ok(found), Some(classes)) if found != classes => {
                let message = format!("{found} tokens, but the network has {classes} classes");
                self.add_problem(file, message, SAME_RELEASE);
            }
            _ => {}
        }
    }

    fn check_hotwords(&mut self, config: Option<(&'static str, &Config)>) {
        if self.inspection.variant == Some(Variant::Hotwords) {
            // The same rule as the recognizer's: a quantized embedder only with a quantized network.
            let is_quantized = self.inspection.weight_formats.contains(&WeightFormat::Int8);
            let quantized = is_quantized.then(|| self.directory.first_of(&["model_eb_quant.onnx"]));
            let found = quantized
                .flatten()
                .or_else(|| self.require(&["model_eb.onnx"], "the network that embeds hotwords"));
            if let Some(file) = found
                && let Err(error) = Graph::open(&self.directory.path(file))
            {
                self.add_problem(file, error.to_string(), SAME_RELEASE);
            }
            return;
        }
        let stated = config.and_then(|(file, config)| Some((file, config.family()?.1?)));
        if let Some((file, Variant::Hotwords)) = stated {
            let message = "states a model with hotwords, but the network has no input for them";
            self.add_problem(file, message.into(), SAME_RELEASE);
        }
    }

    fn check_layers(&mut self, config: Option<(&'static str, &Config)>, graph: Option<&Graph>) {
        let (Some((file, config)), Some(graph)) = (config, graph) else { return };
        let caches = graph.inputs.iter().filter(|port| port.name.starts_with("in_cache")).count();
        let layers = config.encoder_conf.as_ref().and_then(|encoder| encoder.fsmn_layers);
        if let Some(layers) = layers
            && layers != caches as u64
        {
            let message = format!("`fsmn_layers` is {layers}, but the network has {caches}");
            self.add_problem(file, message, SAME_RELEASE);
        }
    }

    fn check_punctuation(
        &mut self,
        config: Option<(&'static str, &Config)>,
        graph: Option<&Graph>,
    ) {
        let Some((file, config)) = config else { return };
        match (config.punctuation_marks(), graph.and_then(network::classes)) {
            (None, _) => {
                let message = "`punc_list` is missing: the punctuation marks".into();
                self.add_problem(file, message, SAME_RELEASE);
            }
            (Some(marks), Some(classes)) if marks != classes => {
                let message =
                    format!("{marks} punctuation marks, but the network has {classes} classes");
                self.add_problem(file, message, SAME_RELEASE);
            }
            _ => {}
        }
    }

    /// Checks a directory of sherpa-onnx, whose constants are metadata of the network.
    fn check_sherpa(&mut self, graph: &Graph, file: &str) {
        let remedy = "take the model from sherpa-onnx's releases, or add config.yaml and am.mvn";
        let number = |key: &str| graph.metadata.get(key)?.trim().parse::<u64>().ok();
        let count = |key: &str, separator: char| {
            Some(graph.metadata.get(key)?.split(separator).count() as u64)
        };
        match self.inspection.family {
            Family::Paraformer | Family::SenseVoice => {
                let features = network::features(graph);
                for key in ["neg_mean", "inv_stddev"] {
                    match (count(key, ','), features) {
                        (None, _) => {
                            let message = format!("its metadata has no `{key}`");
                            self.add_problem(file, message, remedy);
                        }
                        (Some(found), Some(features)) if found != features => {
                            let message =
                                format!("`{key}` is for {found} values per frame, not {features}");
                            self.add_problem(file, message, remedy);
                        }
                        _ => {}
                    }
                }
                let classes = network::classes(graph).or_else(|| number("vocab_size"));
                self.check_tokens(&[TOKENS[1], TOKENS[0]], None, classes);
            }
            Family::CtTransformer => {
                let tokens = count("tokens", '|');
                self.inspection.vocabulary = tokens;
                if tokens.is_none() || tokens != number("vocab_size") {
                    let message = "`tokens` and `vocab_size` in metadata do not agree".into();
                    self.add_problem(file, message, remedy);
                }
                let marks = count("punctuations", '|');
                if marks.is_none() || network::classes(graph).is_some_and(|n| Some(n) != marks) {
                    let message = "`punctuations` in metadata do not match the network's classes";
                    self.add_problem(file, message.into(), remedy);
                }
            }
            Family::PyannoteSegmentation => {
                if self.inspection.weight_formats == [WeightFormat::Int8] {
                    let message =
                        "it is quantized for each tensor, which makes it less accurate".into();
                    self.add_problem(file, message, "use model.onnx of the same release");
                }
                for (key, expected) in SEGMENTATION {
                    let found = graph.metadata.get(key).map(|value| value.trim());
                    if let Some(found) = found.filter(|&found| found != expected) {
                        let message = format!(
                            "`{key}` is {found} in its metadata, and only {expected} is supported"
                        );
                        self.add_problem(file, message, remedy);
                    }
                }
            }
            Family::Whisper
            | Family::Parakeet
            | Family::FsmnVad
            | Family::CamPlusPlus
            | Family::TextNormalization => {}
        }
    }

    fn set_languages(&mut self, config: Option<&Config>) {
        let lang = config.and_then(|config| config.lang.as_deref()).unwrap_or_default();
        let known: &[&str] = match self.inspection.family {
            Family::SenseVoice => &["zh", "yue", "en", "ja", "ko"],
            Family::Paraformer if lang.starts_with("zh") => &["zh"],
            Family::Paraformer if lang.starts_with("en") => &["en"],
            Family::Paraformer
            | Family::FsmnVad
            | Family::CtTransformer
            | Family::CamPlusPlus
            | Family::PyannoteSegmentation
            | Family::Whisper
            | Family::Parakeet
            | Family::TextNormalization => &[],
        };
        self.inspection.languages = known.iter().map(|&language| language.to_owned()).collect();
    }
}
