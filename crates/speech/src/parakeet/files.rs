//! Finds the files of a model in a directory by what they hold: conversions name them as they like.

use std::path::{Path, PathBuf};

use engine::{ElementType, OnnxFile, Precision};

use super::{decoder::DecoderFiles, vocabulary::Vocabulary};
use crate::{
    files::{broken, broken_by, not_loaded},
    recognizer::Error,
};

/// What an ONNX file of a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Encoder,
    /// Prediction network and joint network, as onnx-asr has them.
    Decoder,
    /// sherpa-onnx's decoder.
    Prediction,
    /// sherpa-onnx's joiner.
    Joint,
}

/// The ONNX files of a directory that are part of a model.
pub(super) struct Files {
    directory: PathBuf,
    found: Vec<(Role, OnnxFile)>,
    /// Why a file could not be read, which may be the one that is missing.
    unread: Option<Error>,
}

impl Files {
    /// Reads the graphs of all ONNX files of a directory.
    pub(super) fn list(directory: &Path) -> Result<Self, Error> {
        let (mut found, mut unread) = (Vec::new(), None);
        for path in paths(directory, "onnx")? {
            match OnnxFile::read_with_external_data(&path) {
                Ok(file) => found.extend(role(&file).map(|role| (role, file))),
                Err(error) => unread = unread.or(Some(not_loaded(&path, error))),
            }
        }
        Ok(Self { directory: directory.to_owned(), found, unread })
    }

    /// Takes the file of the encoder for a precision.
    pub(super) fn encoder(&mut self, precision: Precision) -> Result<OnnxFile, Error> {
        self.take(Role::Encoder, precision)
    }

    /// Takes the files of the decoder for a precision.
    pub(super) fn decoder(&mut self, precision: Precision) -> Result<DecoderFiles, Error> {
        let has = |files: &Self, role| files.found.iter().any(|(found, _)| *found == role);
        if has(self, Role::Prediction) && has(self, Role::Joint) && !has(self, Role::Decoder) {
            let prediction = self.take(Role::Prediction, precision)?;
            let joint = self.take(Role::Joint, precision)?;
            return Ok(DecoderFiles { prediction, joint: Some(joint) });
        }
        Ok(DecoderFiles { prediction: self.take(Role::Decoder, precision)?, joint: None })
    }

    /// Takes a file: one of floats, or for int8 also a quantized one where there are no floats.
    fn take(&mut self, role: Role, precision: Precision) -> Result<OnnxFile, Error> {
        let index = self.choose(role, precision)?;
        Ok(self.found.swap_remove(index).1)
    }

    fn choose(&mut self, role: Role, precision: Precision) -> Result<usize, Error> {
        let of = |quantized: bool| {
            let found = self.found.iter().enumerate();
            let found =
                found.filter(|(_, (of, file))| *of == role && is_quantized(file) == quantized);
            found.map(|(index, _)| index).collect::<Vec<_>>()
        };
        let (floats, quantized) = (of(false), of(true));
        match (&floats[..], &quantized[..]) {
            (&[index], _) => Ok(index),
            (&[], &[index]) if precision == Precision::Int8 => Ok(index),
            (&[], &[]) => Err(self.missing(role)),
            (&[], &[index]) => {
                let message = format!(
                    "is quantized, but {precision} needs a file of floats, which the directory lacks: \
                     set the precision to auto or int8"
                );
                Err(broken(self.found[index].1.path(), message))
            }
            (several @ [_, _, ..], _) | (&[], several) => {
                let name = |&index: &usize| self.found[index].1.path().display().to_string();
                let names = several.iter().map(name).collect::<Vec<_>>().join(" and ");
                let message = format!("holds several {}: {names}; keep one", role.name());
                Err(broken(&self.directory, message))
            }
        }
    }

    fn missing(&mut self, role: Role) -> Error {
        let message = format!("the directory holds no {} of Parakeet-TDT in ONNX", role.name());
        match self.unread.take() {
            Some(unread) => broken_by(&self.directory, message, unread),
            None => broken(&self.directory, message),
        }
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Encoder => "encoder",
            Self::Decoder => "decoder",
            Self::Prediction => "prediction network",
            Self::Joint => "joint network",
        }
    }
}

/// Returns the paths of a file and of those that its weights are in.
pub(super) fn all(file: &OnnxFile) -> Vec<PathBuf> {
    let mut paths = vec![file.path().to_owned()];
    paths.extend_from_slice(file.external_files());
    paths
}

/// Tells what a file is by its inputs and its first output.
fn role(file: &OnnxFile) -> Option<Role> {
    let count = |elements: &[ElementType], rank: usize| {
        let ports = file.inputs().iter();
        ports.filter(|port| elements.contains(&port.element) && port.shape.len() == rank).count()
    };
    let integers = [ElementType::I32, ElementType::I64];
    let arrays = count(&[ElementType::F32], 3);
    let (tokens, lengths) = (count(&integers, 2), count(&integers, 1));
    if arrays + tokens + lengths != file.inputs().len() {
        return None;
    }
    let outputs = file.outputs();
    match (arrays, tokens, lengths, outputs.first()?.shape.len()) {
        (1, 0, 1, 3) if outputs.len() == 2 => Some(Role::Encoder),
        (3, 1, 0..=1, 4) => Some(Role::Decoder),
        (2, 1, 0..=1, 3) => Some(Role::Prediction),
        (2, 0, 0, 4) => Some(Role::Joint),
        _ => None,
    }
}

fn is_quantized(file: &OnnxFile) -> bool {
    let ops = ["MatMulInteger", "ConvInteger", "DynamicQuantizeLSTM"];
    file.nodes().iter().any(|node| ops.contains(&node.op()))
}

/// Reads the vocabulary of a directory: the text file with as many pieces as the network has `tokens`
/// besides the blank.
pub(super) fn vocabulary(directory: &Path, tokens: usize) -> Result<Vocabulary, Error> {
    let mut refused = None;
    for path in paths(directory, "txt")? {
        match Vocabulary::read(&path) {
            Ok(vocabulary) if vocabulary.pieces().len() == tokens => return Ok(vocabulary),
            Ok(vocabulary) => {
                let message = format!(
                    "holds {} pieces, but the network has {tokens}: the files are from different models, \
                     or this one is truncated; take both from the same release",
                    vocabulary.pieces().len()
                );
                // Says more than that another file is no vocabulary.
                refused = Some(broken(&path, message));
            }
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    Err(refused.unwrap_or_else(|| {
        broken(directory, "the directory holds no vocabulary: a text file of lines of `piece id`")
    }))
}

/// Returns the paths of the files with an extension, in the order of their names.
fn paths(directory: &Path, extension: &str) -> Result<Vec<PathBuf>, Error> {
    let fail = |error| broken_by(directory, "cannot be read", error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|found| found == extension) && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
