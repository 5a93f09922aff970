//! Converts PyTorch checkpoints of CAM++ and of pyannote's segmentation to ONNX, once, so that only ONNX files
//! are ever loaded.

mod campplus;
mod checkpoint;
mod message;
pub(crate) mod name;
mod pickle;
mod segmentation;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use checkpoint::{CheckpointError, Parameter};
use name::{ANY_CHECKPOINT, is_checkpoint};

use crate::inspect::recognize_network;
use crate::onnx::{Graph, GraphError};
use crate::{Error, Family, FileEntry};

/// Why a checkpoint cannot be converted. The message follows "cannot be converted to ONNX".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("it is not a {family} model: it has no {name}")]
    Missing { family: Family, name: String },
    #[error(
        "its parameter {name} has the shape {found:?}, not {expected:?}: it is another network"
    )]
    Shape { name: String, found: Vec<usize>, expected: Vec<usize> },
    #[error("its parameter {name} holds a value that is not finite")]
    NotFinite { name: String },
    #[error("the conversion wrote a file that is not an ONNX model of the family {family}")]
    Result { family: Family, source: Option<GraphError> },
    #[error(transparent)]
    Protobuf(#[from] protobuf::Error),
}

/// What a checkpoint converts to.
pub(crate) struct Converted {
    family: Family,
    /// The ONNX file: the same bytes every time.
    pub(crate) onnx: Vec<u8>,
}

/// Returns the name of the file that a pull makes of a file of the catalogue, if it converts it.
pub(crate) fn converted_name(family: Family, file: &FileEntry) -> Option<&'static str> {
    name::converted(family).filter(|_| is_checkpoint(&file.path))
}

/// Returns the family of a file whose name [`is_checkpoint`]: by its name or, where that says nothing, by
/// the names of its tensors. `None`: it is no checkpoint of a family that is converted.
pub(crate) fn family_of(checkpoint: &Path) -> Option<Family> {
    if checkpoint.file_name().is_none_or(|name| name != ANY_CHECKPOINT) {
        return Some(Family::CamPlusPlus);
    }
    let names = checkpoint::names(checkpoint).ok()?;
    names.iter().any(|name| &**name == segmentation::MARK).then_some(Family::PyannoteSegmentation)
}

/// Converts the PyTorch checkpoint in a model directory (`campplus*.bin`, `campplus*.pt` or
/// `pytorch_model.bin`) to `campplus.onnx` or, for pyannote's segmentation, `model.onnx`, which replaces
/// an earlier one in one rename. Returns the path of that file.
///
/// # Errors
/// [`Error::NotAModel`] if the directory does not hold exactly one checkpoint; [`Error::Convert`] if
/// the checkpoint is damaged or of another network; [`Error::Io`].
pub fn convert(directory: &Path) -> Result<PathBuf, Error> {
    let mut checkpoints = Vec::new();
    for item in fs::read_dir(directory).map_err(Error::io(directory))? {
        let item = item.map_err(Error::io(directory))?;
        let is_named = item.file_name().to_str().is_some_and(is_checkpoint);
        if is_named && item.path().is_file() {
            checkpoints.push(item.path());
        }
    }
    let [checkpoint] = checkpoints.as_slice() else {
        let message = format!(
            "{} PyTorch checkpoints (campplus*.bin, campplus*.pt or {ANY_CHECKPOINT}) are in it, where one \
             is needed",
            checkpoints.len()
        );
        return Err(Error::NotAModel { path: directory.to_owned(), message });
    };
    let converted = to_onnx(checkpoint)?;
    let name = name::converted(converted.family).unwrap_or("model.onnx");
    let path = directory.join(name);
    write(&converted, &path)?;
    Ok(path)
}

/// Converts a checkpoint. Its parameters, not its name, say which network it is of.
pub(crate) fn to_onnx(checkpoint: &Path) -> Result<Converted, Error> {
    let convert = |parameters: Vec<Parameter>| {
        if parameters.iter().any(|parameter| parameter.name == segmentation::MARK) {
            let onnx = segmentation::to_onnx(parameters)?;
            Ok(Converted { family: Family::PyannoteSegmentation, onnx })
        } else {
            Ok(Converted { family: Family::CamPlusPlus, onnx: campplus::to_onnx(parameters)? })
        }
    };
    checkpoint::read(checkpoint)
        .map_err(ConvertError::from)
        .and_then(convert)
        .map_err(|source| Error::Convert { path: checkpoint.to_owned(), source })
}

/// Writes a converted model to `path`, atomically, after checking that the file can be read back as a
/// model of its family.
pub(crate) fn write(converted: &Converted, path: &Path) -> Result<(), Error> {
    let Converted { family, onnx } = converted;
    let directory = path.parent().unwrap_or(path);
    let write = || {
        // By default, only the owner could read a temporary file.
        let permissions = fs::Permissions::from_mode(0o666);
        let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(directory)?;
        file.write_all(onnx)?;
        file.as_file().sync_all()?;
        io::Result::Ok(file)
    };
    let file = write().map_err(Error::writing(path, onnx.len() as u64))?;
    let refused = |source| Error::Convert {
        path: path.to_owned(),
        source: ConvertError::Result { family: *family, source },
    };
    let graph = Graph::open(file.path()).map_err(|error| refused(Some(error)))?;
    let found = recognize_network(&graph).map(|(family, _)| family);
    let has_width = matches!(graph.outputs.as_slice(), [port] if port.width().is_some());
    if found != Some(*family) || !has_width {
        return Err(refused(None));
    }
    file.persist(path).map_err(|error| Error::io(path)(error.error))?;
    // The rename is durable once the directory is synced, which not every file system supports.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}
