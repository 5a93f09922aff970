//! Converts PyTorch checkpoints of CAM++ to ONNX, once, so that only ONNX files are ever loaded.

mod campplus;
mod checkpoint;
pub(crate) mod name;
mod pickle;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use checkpoint::CheckpointError;
use name::{CONVERTED, is_checkpoint};

use crate::inspect::recognize_network;
use crate::onnx::{Graph, GraphError};
use crate::{Error, Family, FileEntry};

/// Why a checkpoint cannot be converted. The message follows "cannot be converted to ONNX".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("it is not a CAM++ model: it has no {missing}")]
    NotCamPlusPlus { missing: String },
    #[error("its parameter {name} holds a value that is not finite")]
    NotFinite { name: String },
    #[error("the conversion wrote a file that is not an ONNX model of CAM++")]
    Result(#[source] Option<GraphError>),
    #[error(transparent)]
    Protobuf(#[from] protobuf::Error),
}

/// Returns the name of the file that a pull makes of a file of the catalogue, if it converts it.
pub(crate) fn converted_name(family: Family, file: &FileEntry) -> Option<&'static str> {
    (family == Family::CamPlusPlus && is_checkpoint(&file.path)).then_some(CONVERTED)
}

/// Converts the PyTorch checkpoint in a model directory (`campplus*.bin` or `campplus*.pt`) to
/// `campplus.onnx`, which replaces an earlier one in one rename. Returns the path of that file.
///
/// # Errors
/// [`Error::NotAModel`] if the directory does not hold exactly one checkpoint; [`Error::Convert`] if
/// the checkpoint is damaged or not CAM++; [`Error::Io`].
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
            "{} PyTorch checkpoints (campplus*.bin or campplus*.pt) are in it, where one is needed",
            checkpoints.len()
        );
        return Err(Error::NotAModel { path: directory.to_owned(), message });
    };
    let converted = directory.join(CONVERTED);
    write(&to_onnx(checkpoint)?, &converted)?;
    Ok(converted)
}

/// Returns the ONNX file that the checkpoint converts to: the same bytes every time.
pub(crate) fn to_onnx(checkpoint: &Path) -> Result<Vec<u8>, Error> {
    checkpoint::read(checkpoint)
        .map_err(ConvertError::from)
        .and_then(campplus::to_onnx)
        .map_err(|source| Error::Convert { path: checkpoint.to_owned(), source })
}

/// Writes a converted model to `path`, atomically, after checking that the file can be read back as a
/// model of CAM++.
pub(crate) fn write(model: &[u8], path: &Path) -> Result<(), Error> {
    let directory = path.parent().unwrap_or(path);
    let write = || {
        // By default, only the owner could read a temporary file.
        let permissions = fs::Permissions::from_mode(0o666);
        let mut file = tempfile::Builder::new().permissions(permissions).tempfile_in(directory)?;
        file.write_all(model)?;
        file.as_file().sync_all()?;
        io::Result::Ok(file)
    };
    let file = write().map_err(Error::writing(path, model.len() as u64))?;
    let refused =
        |cause| Error::Convert { path: path.to_owned(), source: ConvertError::Result(cause) };
    let graph = Graph::open(file.path()).map_err(|error| refused(Some(error)))?;
    let family = recognize_network(&graph).map(|(family, _)| family);
    let has_embedding = matches!(graph.outputs.as_slice(), [port] if port.width().is_some());
    if family != Some(Family::CamPlusPlus) || !has_embedding {
        return Err(refused(None));
    }
    file.persist(path).map_err(|error| Error::io(path)(error.error))?;
    // The rename is durable once the directory is synced, which not every file system supports.
    let _ = File::open(directory).and_then(|directory| directory.sync_all());
    Ok(())
}
