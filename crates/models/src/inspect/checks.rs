//! Whether a directory's files are complete and fit one another.

use super::files::{CONFIGS, Config, Directory, SENTENCEPIECE, STATISTICS, TOKENS};
use super::network::{self, Network};
use super::{Inspection, Problem};
use crate::family::{Family, Layout, Precision, Variant};
use crate::onnx::Graph;

const SAME_RELEASE: &str = "take all files from the same release of the model";

/// Writes what it finds into an [`Inspection`].
pub(super) struct Checks<'a> {
    directory: &'a Directory,
    inspection: &'a mut Inspection,
}

impl<'a> Checks<'a> {
    pub(super) fn new(directory: &'a Directory, inspection: &'a mut Inspection) -> Self {
        Self { directory, inspection }
    }

    pub(super) fn run(
        mut self,
        config: Option<&(&'static str, Result<Config, String>)>,
        networks: &[Network],
    ) {
        if networks.is_empty() {
            let file = "model_quant.onnx or model.onnx";
            self.report(file, "missing".into(), "export the model with FunASR, or pull it");
        }
        for network in networks {
            self.check_network(network);
        }
        self.inspection.precisions.sort_unstable();
        self.inspection.precisions.dedup();
        let settings = match config {
            Some((file, Err(cause))) => {
                self.report(file, cause.clone(), SAME_RELEASE);
                None
            }
            Some((file, Ok(config))) => Some((*file, config)),
            None => None,
        };
        // Another family's network would only be found wrong a second time.
        let family = self.inspection.family;
        let own = |graph: &&Graph| network::recognize(graph).is_some_and(|(f, _)| f == family);
        let graph = networks.iter().filter_map(Network::graph).find(own);
        match (self.inspection.layout, graph) {
            (Layout::SherpaOnnx, Some(graph)) => self.check_sherpa(graph, &networks[0].file),
            _ => self.check_funasr(config.is_some(), settings, graph),
        }
        self.tell_languages(settings.map(|(_, config)| config));
    }

    /// Notes a file that is not there under any of its names.
    pub(super) fn need(&mut self, names: &[&'static str], purpose: &str) -> Option<&'static str> {
        let found = self.directory.find(names);
        if found.is_none() {
            let message = format!("missing: {purpose}");
            let other = names.get(1).map_or(String::new(), |name| format!(" (or {name})"));
            let remedy =
                format!("copy it{other} from where the model comes from, or pull the model");
            self.report(names[0], message, &remedy);
        }
        found
    }

    pub(super) fn report(&mut self, file: &str, message: String, remedy: &str) {
        let (file, remedy) = (file.to_owned(), remedy.to_owned());
        self.inspection.problems.push(Problem { file, message, remedy });
    }

    fn check_network(&mut self, network: &Network) {
        let graph = match &network.graph {
            Ok(graph) => graph,
            Err(cause) => {
                let remedy = "fetch it again, whole; `models verify` compares checksums";
                return self.report(&network.file, cause.clone(), remedy);
            }
        };
        self.check_name(&network.file);
        let precision = network::precision(graph);
        self.inspection.precisions.push(precision);
        if precision == Precision::F16 {
            let remedy = "use the export in f32, or the one quantized to int8";
            self.report(&network.file, "its weights are 16-bit floats".into(), remedy);
        }
        // Of an export in hundreds of files, one tells enough.
        if let Some(external) = graph.external.first() {
            let message = format!("its weights lie in another file, {external}");
            let remedy = "save the model as one file, in Python: onnx.save(onnx.load(\"model.onnx\"), \
                          \"single.onnx\")";
            self.report(&network.file, message, remedy);
        }
        let family = self.inspection.family;
        match network::recognize(graph) {
            Some((found, _)) if found == family => {}
            Some((found, _)) => {
                let message = format!("a {found} network, but the other files are a {family}'s");
                self.report(&network.file, message, SAME_RELEASE);
            }
            None => {
                let message = format!("not a {family} network: its inputs and outputs are others");
                self.report(&network.file, message, SAME_RELEASE);
            }
        }
    }

    /// Only speaker models, which are one file, go by any name.
    fn check_name(&mut self, file: &str) {
        if network::NAMES.contains(&file) {
            return;
        }
        let networks = self.directory.files().filter(|(name, _)| name.ends_with(".onnx")).count();
        if self.inspection.family != Family::CamPlusPlus {
            let message = "not a name that is looked for".into();
            self.report(file, message, "rename it to model.onnx (int8: model_quant.onnx)");
        } else if networks > 1 {
            let message = format!("one of {networks} networks, none of which is named model.onnx");
            self.report(file, message, "leave one, or name it model.onnx");
        }
    }

    fn check_funasr(
        &mut self,
        has_config: bool,
        settings: Option<(&'static str, &Config)>,
        graph: Option<&Graph>,
    ) {
        let family = self.inspection.family;
        if !has_config && family != Family::CamPlusPlus {
            self.need(&CONFIGS[..1], "the model's settings");
        }
        let config = settings.map(|(_, config)| config);
        match family {
            Family::FsmnVad | Family::Paraformer | Family::SenseVoice => {
                self.check_statistics(graph.and_then(network::features));
                if let Some((file, Config { frontend_conf: None, .. })) = settings {
                    let message = "`frontend_conf` is missing: how features are made".into();
                    self.report(file, message, SAME_RELEASE);
                }
            }
            _ => {}
        }
        match family {
            Family::FsmnVad => self.check_layers(settings, graph),
            Family::Paraformer => {
                self.check_tokens(&TOKENS, config, graph.and_then(network::classes));
                self.check_hotwords(settings);
            }
            Family::SenseVoice => {
                let names = [TOKENS[0], TOKENS[1], SENTENCEPIECE];
                self.check_tokens(&names, config, graph.and_then(network::classes));
            }
            Family::CtTransformer => {
                self.check_tokens(&TOKENS, config, None);
                self.check_marks(settings, graph);
            }
            Family::Whisper | Family::CamPlusPlus | Family::TextNormalization => {}
        }
    }

    fn check_statistics(&mut self, features: Option<u64>) {
        let Some(file) = self.need(&STATISTICS, "the mean and variance of the features") else {
            return;
        };
        match (self.directory.count_statistics(file), features) {
            (Err(cause), _) => self.report(file, cause, SAME_RELEASE),
            (Ok(found), Some(features)) if found != features => {
                let message =
                    format!("for {found} values a frame, but the network reads {features}");
                self.report(file, message, SAME_RELEASE);
            }
            _ => {}
        }
    }

    /// `classes`: how many symbols the network tells apart, where that is to be compared.
    fn check_tokens(
        &mut self,
        names: &[&'static str],
        config: Option<&Config>,
        classes: Option<u64>,
    ) {
        self.inspection.vocabulary = classes;
        let listed = config.and_then(|config| config.token_list.as_ref());
        let (file, found) = match (self.directory.find(names), listed) {
            (Some(file), _) => (file, self.directory.count_tokens(file)),
            (None, Some(list)) => (CONFIGS[0], Ok(list.len() as u64)),
            (None, None) => {
                self.need(names, "the vocabulary");
                return;
            }
        };
        match (found, classes) {
            (Err(cause), _) => self.report(file, cause, SAME_RELEASE),
            (Ok(0), _) => self.report(file, "it holds no tokens".into(), SAME_RELEASE),
            (Ok(found), None) => self.inspection.vocabulary = Some(found),
            (Ok(found), Some(classes)) if found != classes => {
                let message = format!("{found} tokens, but the network tells {classes} apart");
                self.report(file, message, SAME_RELEASE);
            }
            _ => {}
        }
    }

    fn check_hotwords(&mut self, settings: Option<(&'static str, &Config)>) {
        if self.inspection.variant == Some(Variant::Hotwords) {
            // As the recognizer looks for it: the quantized one is taken with its like only.
            let quantized = self.inspection.precisions.contains(&Precision::Int8);
            let quantized = quantized.then(|| self.directory.find(&["model_eb_quant.onnx"]));
            let found = quantized
                .flatten()
                .or_else(|| self.need(&["model_eb.onnx"], "the network that embeds hotwords"));
            if let Some(file) = found
                && let Err(error) = Graph::open(&self.directory.path(file))
            {
                self.report(file, error.to_string(), SAME_RELEASE);
            }
            return;
        }
        let stated = settings.and_then(|(file, config)| Some((file, config.family()?.1?)));
        if let Some((file, Variant::Hotwords)) = stated {
            let message = "promises hotwords, but the network does not take any".into();
            self.report(file, message, SAME_RELEASE);
        }
    }

    fn check_layers(&mut self, settings: Option<(&'static str, &Config)>, graph: Option<&Graph>) {
        let (Some((file, config)), Some(graph)) = (settings, graph) else { return };
        let caches = graph.inputs.iter().filter(|port| port.name.starts_with("in_cache")).count();
        let layers = config.encoder_conf.as_ref().and_then(|encoder| encoder.fsmn_layers);
        if let Some(layers) = layers
            && layers != caches as u64
        {
            let message = format!("`fsmn_layers` is {layers}, but the network has {caches}");
            self.report(file, message, SAME_RELEASE);
        }
    }

    fn check_marks(&mut self, settings: Option<(&'static str, &Config)>, graph: Option<&Graph>) {
        let Some((file, config)) = settings else { return };
        match (config.marks(), graph.and_then(network::classes)) {
            (None, _) => {
                let message = "`punc_list` is missing: the punctuation marks".into();
                self.report(file, message, SAME_RELEASE);
            }
            (Some(marks), Some(classes)) if marks != classes => {
                let message = format!("{marks} punctuation marks, but the network tells {classes}");
                self.report(file, message, SAME_RELEASE);
            }
            _ => {}
        }
    }

    /// sherpa-onnx's constants are metadata of the network.
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
                        (None, _) => self.report(file, format!("no `{key}` in metadata"), remedy),
                        (Some(found), Some(features)) if found != features => {
                            let message =
                                format!("`{key}` is for {found} values a frame, not {features}");
                            self.report(file, message, remedy);
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
                    self.report(file, message, remedy);
                }
                let marks = count("punctuations", '|');
                if marks.is_none() || network::classes(graph).is_some_and(|n| Some(n) != marks) {
                    let message = "`punctuations` in metadata are not the network's".into();
                    self.report(file, message, remedy);
                }
            }
            _ => {}
        }
    }

    fn tell_languages(&mut self, config: Option<&Config>) {
        let lang = config.and_then(|config| config.lang.as_deref());
        let known: &[&str] = match (self.inspection.family, lang) {
            (Family::SenseVoice, _) => &["zh", "yue", "en", "ja", "ko"],
            (Family::Paraformer, Some(lang)) if lang.starts_with("zh") => &["zh"],
            (Family::Paraformer, Some(lang)) if lang.starts_with("en") => &["en"],
            _ => &[],
        };
        self.inspection.languages = known.iter().map(|&language| language.to_owned()).collect();
    }
}
