//! Parakeet-TDT: an encoder, and a decoder in one file (onnx-asr's layout) or in two (sherpa-onnx's). The networks are
//! found by their inputs and outputs, the vocabulary by its lines, because every export has other names.

mod part;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::collections::BTreeMap;

use super::Inspection;
use super::checks::{Checks, SAME_RELEASE};
use super::files::Directory;
use super::network::Network;
use crate::family::{Family, Layout, WeightFormat};
use crate::licence;
use part::{Part, Role, Sizes};
use vocabulary::Vocabulary;

/// Values per frame of the features of these models.
const FEATURES: u64 = 128;
/// Durations that a token may have: 0 to 4 frames.
const DURATIONS: u64 = 5;
/// Bytes that alignment may add to a file of weights.
const MAX_PADDING: u64 = 1 << 16;

const SUPPORTED: &str = "use an export of Parakeet-TDT 0.6b v2 or v3";
const REMEDY: &str = "copy it from the publisher of the model, or pull the model";

/// The files of a Parakeet-TDT in a directory.
pub(super) struct Parakeet<'a> {
    directory: &'a Directory,
    parts: Vec<Part<'a>>,
    /// Files that are no ONNX models, and why.
    unreadable: Vec<(&'a str, &'a str)>,
}

impl<'a> Parakeet<'a> {
    /// Returns the files of a Parakeet-TDT, if one of the networks of a directory belongs to a transducer.
    pub(super) fn find(directory: &'a Directory, networks: &'a [Network]) -> Option<Self> {
        let parts: Vec<Part> = networks.iter().filter_map(Part::of).collect();
        let unreadable = |network: &'a Network| {
            Some((network.file.as_str(), network.graph.as_ref().err()?.as_str()))
        };
        let unreadable = networks.iter().filter_map(unreadable).collect();
        (!parts.is_empty()).then_some(Self { directory, parts, unreadable })
    }

    /// Describes the model and its problems.
    pub(super) fn inspect(&self, inspection: &mut Inspection) {
        inspection.family = Family::Parakeet;
        inspection.layout = self.layout();
        inspection.weight_formats = self.formats();
        let mut checks = Checks::new(self.directory, inspection);
        self.check_networks(&mut checks);
        self.check_sizes(&mut checks);
        self.check_weights(&mut checks);
        let vocabulary = self.check_vocabulary(&mut checks);

        inspection.vocabulary = vocabulary.as_ref().map(|vocabulary| vocabulary.symbols);
        let languages = vocabulary.as_ref().map_or(&[][..], Vocabulary::languages);
        inspection.languages = languages.iter().map(|&language| language.to_owned()).collect();
        let mut purposes = BTreeMap::from([(licence::FILE, "licence")]);
        purposes.extend(self.parts.iter().map(|part| (part.file, part.role.purpose())));
        purposes.extend(self.external().keys().map(|&file| (file, "weights")));
        purposes.extend(vocabulary.iter().map(|vocabulary| (vocabulary.file, "vocabulary")));
        for file in &mut inspection.files {
            file.purpose = purposes.get(file.name.as_str()).copied();
        }
    }

    fn layout(&self) -> Layout {
        let is_split = self.has(Role::Decoder) || self.has(Role::Joiner);
        let is_sherpa = self.parts.iter().any(|part| part.is_sherpa);
        match self.has(Role::DecoderJoint) {
            false if is_split || is_sherpa => Layout::SherpaOnnx,
            _ => Layout::OnnxAsr,
        }
    }

    /// Returns the roles of the layout's networks, and the usual names of their files.
    fn roles(&self) -> &'static [(Role, &'static str)] {
        match self.layout() {
            Layout::OnnxAsr => {
                &[(Role::Encoder, "encoder-model"), (Role::DecoderJoint, "decoder_joint-model")]
            }
            _ => {
                &[(Role::Encoder, "encoder"), (Role::Decoder, "decoder"), (Role::Joiner, "joiner")]
            }
        }
    }

    fn has(&self, role: Role) -> bool {
        self.parts.iter().any(|part| part.role == role)
    }

    /// Returns the formats that every network of the layout has, smallest first. If there are none, returns the
    /// formats of those that are there.
    fn formats(&self) -> Vec<WeightFormat> {
        let mut formats: Vec<_> = self.parts.iter().map(|part| part.format).collect();
        formats.sort_unstable();
        formats.dedup();
        let is_complete = |format: &WeightFormat| {
            let has = |role| self.parts.iter().any(|p| p.role == role && p.format == *format);
            self.roles().iter().all(|&(role, _)| has(role))
        };
        let complete: Vec<_> = formats.iter().copied().filter(is_complete).collect();
        if complete.is_empty() { formats } else { complete }
    }

    /// Checks that each network is there, once, and in a format that is supported.
    fn check_networks(&self, checks: &mut Checks) {
        let is_quantized = self.formats().first() == Some(&WeightFormat::Int8);
        let suffix = if is_quantized { ".int8.onnx" } else { ".onnx" };
        for &(role, name) in self.roles() {
            if !self.has(role) {
                match self.unreadable.first() {
                    Some((file, cause)) => {
                        checks.add_problem(
                            file,
                            (*cause).to_owned(),
                            "download it again completely",
                        );
                    }
                    None => {
                        let message = format!("missing: the {}", role.purpose());
                        checks.add_problem(&format!("{name}{suffix}"), message, REMEDY);
                    }
                }
            }
        }
        for (index, part) in self.parts.iter().enumerate() {
            if part.format == WeightFormat::F16 {
                let message = "its weights are 16-bit floats".to_owned();
                let remedy = "use the export in f32, or the one quantized to int8";
                checks.add_problem(part.file, message, remedy);
            }
            let twin = |other: &&Part| (other.role, other.format) == (part.role, part.format);
            if let Some(other) = self.parts[..index].iter().find(twin) {
                let (purpose, format) = (part.role.purpose(), part.format.as_str());
                let message = format!("a second {purpose} in {format}, beside {}", other.file);
                checks.add_problem(part.file, message, "leave the one of the model that you want");
            }
            let is_split = matches!(part.role, Role::Decoder | Role::Joiner);
            if is_split && self.has(Role::DecoderJoint) {
                let message = format!(
                    "a {} in sherpa-onnx's layout, beside a decoder in onnx-asr's, which contains one",
                    part.role.purpose()
                );
                checks.add_problem(part.file, message, "leave the files of one layout");
            }
        }
    }

    /// Checks that the networks are of the same model, and of a supported one.
    fn check_sizes(&self, checks: &mut Checks) {
        for what in 0..Sizes::default().shared().len() {
            let shared = |part: &Part| part.sizes.shared()[what];
            let mut found = self.parts.iter().filter_map(|part| Some((part, shared(part).1?)));
            let Some((first, expected)) = found.next() else { continue };
            if let Some((other, size)) = found.find(|&(_, size)| size != expected) {
                let (name, _) = shared(other);
                let message = format!("{size} {name}, but {} has {expected}", first.file);
                checks.add_problem(other.file, message, SAME_RELEASE);
            }
        }
        for part in &self.parts {
            if let Some(features) = part.sizes.features.filter(|&features| features != FEATURES) {
                let message = format!(
                    "it takes {features} values per frame; Parakeet-TDT 0.6b takes {FEATURES}"
                );
                checks.add_problem(part.file, message, SUPPORTED);
            }
        }
    }

    /// Returns the files that hold weights of networks, with the bytes that the networks have in them.
    fn external(&self) -> BTreeMap<&'a str, u64> {
        let mut files = BTreeMap::new();
        for (file, &end) in self.parts.iter().flat_map(|part| part.external) {
            let longest: &mut u64 = files.entry(file.as_str()).or_default();
            *longest = end.max(*longest);
        }
        files
    }

    /// Checks the files that hold weights.
    fn check_weights(&self, checks: &mut Checks) {
        let network = |file: &str| {
            let part = self.parts.iter().find(|part| part.external.contains_key(file));
            part.map_or("", |part| part.file)
        };
        // An export may have hundreds of such files: one problem is enough.
        for (file, end) in self.external() {
            let network = network(file);
            // Not a path: nothing outside the directory is read because a model says so.
            let is_plain = !file.is_empty() && !file.contains(['/', '\\']) && file != "..";
            if !is_plain {
                let message = format!("its weights are in {file:?}, which is not a file beside it");
                let remedy =
                    "save it with onnx.save(..., save_as_external_data=True, location=\"weights\")";
                return checks.add_problem(network, message, remedy);
            }
            match self.directory.size(file) {
                None => {
                    let message = format!("missing: the weights of {network}");
                    return checks.add_problem(file, message, REMEDY);
                }
                Some(size) if size < end || size - end > MAX_PADDING => {
                    let message = format!("it has {size} bytes, but {network} has {end} in it");
                    let remedy = "download both again: one is of another export, or not complete";
                    return checks.add_problem(file, message, remedy);
                }
                Some(_) => {}
            }
        }
    }

    /// Finds the vocabulary, and checks its size against the number of scores.
    fn check_vocabulary(&self, checks: &mut Checks) -> Option<Vocabulary<'a>> {
        let scores: Vec<u64> = self.parts.iter().filter_map(|part| part.sizes.scores).collect();
        let fits = |found: &Vocabulary| scores.contains(&(found.symbols + DURATIONS));
        // A directory may have other texts that look like one.
        let (fitting, others): (Vec<_>, Vec<_>) =
            Vocabulary::all(self.directory).into_iter().partition(fits);
        let vocabulary = fitting.first().or(others.first()).cloned();
        let Some(vocabulary) = vocabulary else {
            let file = if self.layout() == Layout::OnnxAsr { "vocab.txt" } else { "tokens.txt" };
            checks.add_problem(file, "missing: the vocabulary".into(), REMEDY);
            return None;
        };
        let Vocabulary { file, symbols, .. } = vocabulary;
        if let Some(other) = fitting.iter().find(|other| other.digest != vocabulary.digest) {
            let message = format!("a vocabulary beside another one, {}", other.file);
            checks.add_problem(file, message, "leave the one of the model that you want");
        } else if !vocabulary.ends_with_blank {
            checks.add_problem(
                file,
                "its last symbol is not the blank, `<blk>`".into(),
                SAME_RELEASE,
            );
        } else if scores.contains(&symbols) {
            let message = "the network gives no durations: a plain transducer (RNN-T)".into();
            checks.add_problem(file, message, SUPPORTED);
        } else if let Some(scores) = scores.first().filter(|_| !fits(&vocabulary)) {
            let message = format!(
                "{symbols} symbols, but the network gives {scores} scores: {} of symbols and {DURATIONS} of \
                 durations",
                scores.saturating_sub(DURATIONS)
            );
            checks.add_problem(file, message, SAME_RELEASE);
        }
        Some(vocabulary)
    }
}
