//! Files of `torch.save`: a zip archive with one pickle that names tensors, and one file of raw
//! values per tensor.
//!
//! Only state dicts of plain tensors are read, also in checkpoints of PyTorch Lightning, where other things
//! are around them. Unlike Python's own `pickle`, this reader runs no code that a file names.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;
use std::rc::Rc;

use zip::ZipArchive;
use zip::result::ZipError;

use super::ConvertError;
use super::pickle::{PickleError, Value, state_dict};

/// Bytes: a speaker model's pickle is smaller.
const MAX_PICKLE: u64 = 4 << 20;
/// Number of values in all tensors.
const MAX_VALUES: usize = 1 << 28;
/// Bytes of all storages.
const MAX_BYTES: u64 = 4 * MAX_VALUES as u64;

/// A parameter of a network.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// Row-major.
    pub(super) values: Vec<f32>,
}

impl Parameter {
    /// # Errors
    /// [`ConvertError::NotFinite`] if one of its values is not finite.
    pub(super) fn check_finite(&self) -> Result<(), ConvertError> {
        match self.values.iter().all(|value| value.is_finite()) {
            true => Ok(()),
            false => Err(ConvertError::NotFinite { name: self.name.clone() }),
        }
    }
}

/// Why a checkpoint cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("it cannot be opened")]
    Open(#[from] io::Error),
    #[error("it is not a file of torch.save (1.6 or later)")]
    NotAnArchive(#[source] ZipError),
    #[error("it is not a file of torch.save: it has no data.pkl")]
    NoPickle,
    #[error(transparent)]
    Pickle(#[from] PickleError),
    #[error("its member {name} cannot be read")]
    Member { name: String, source: ZipError },
    #[error("its member {name} is too large")]
    LargeMember { name: String },
    #[error("its tensor {name} is not contiguous")]
    NotContiguous { name: String },
    #[error("its tensor {name} reaches beyond its storage")]
    OutOfBounds { name: String },
    #[error("it is too large for a speaker model")]
    TooLarge,
}

/// Reads the floating-point tensors of a state dict and ignores others, such as counters.
///
/// # Errors
/// The file is not a state dict of plain tensors, is damaged, or is too large.
pub(super) fn read(path: &Path) -> Result<Vec<Parameter>, CheckpointError> {
    let (archive, root, items) = open(path)?;
    let mut storages =
        Storages { archive, root: format!("{root}data/"), last: None, budget: MAX_BYTES };
    let mut budget = MAX_VALUES;
    let mut parameters = Vec::new();
    for (name, value) in items {
        let Value::Tensor(tensor) = value else { continue };
        let Some(width) = float_width(&tensor.storage.kind) else { continue };
        let count = tensor
            .contiguous()
            .filter(|&count| count <= MAX_VALUES)
            .ok_or_else(|| CheckpointError::NotContiguous { name: name.to_string() })?;
        budget = budget.checked_sub(count).ok_or(CheckpointError::TooLarge)?;
        let out_of_bounds = || CheckpointError::OutOfBounds { name: name.to_string() };
        let end = tensor.offset.checked_add(count).filter(|&end| end <= MAX_VALUES);
        let end = end.ok_or_else(out_of_bounds)?;
        let bytes = storages
            .read(&tensor.storage.key)?
            .get(tensor.offset * width..end * width)
            .ok_or_else(out_of_bounds)?;
        let values = match width {
            2 => bytes
                .chunks_exact(2)
                .map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32())
                .collect(),
            _ => bytes
                .chunks_exact(4)
                .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
                .collect(),
        };
        parameters.push(Parameter { name: name.to_string(), shape: tensor.shape, values });
    }
    Ok(parameters)
}

/// Returns the names of the tensors of a state dict, without reading them.
///
/// # Errors
/// As [`read`], as far as that does not depend on the tensors.
pub(super) fn names(path: &Path) -> Result<Vec<Rc<str>>, CheckpointError> {
    let (_, _, items) = open(path)?;
    let tensors = items.into_iter().filter(|(_, value)| matches!(value, Value::Tensor(_)));
    Ok(tensors.map(|(name, _)| name).collect())
}

/// The items of a state dict.
type Items = Vec<(Rc<str>, Value)>;

/// Opens a checkpoint. Returns its archive, the directory in it, and the items of its state dict.
fn open(path: &Path) -> Result<(ZipArchive<BufReader<File>>, String, Items), CheckpointError> {
    let mut archive = ZipArchive::new(BufReader::new(File::open(path)?))
        .map_err(CheckpointError::NotAnArchive)?;
    let pickle = archive
        .file_names()
        .flatten()
        .find(|name| name.ends_with("/data.pkl"))
        .map(Cow::into_owned)
        .ok_or(CheckpointError::NoPickle)?;
    let program = read_member(&mut archive, &pickle, MAX_PICKLE)?;
    let root = pickle.trim_end_matches("data.pkl").to_owned();
    Ok((archive, root, state_dict(&program)?))
}

/// Raw values of tensors. Any number of tensors can be views of one storage. A storage is unpacked
/// once for consecutive tensors, and all unpacking together is limited to the size of a model.
struct Storages<R> {
    archive: ZipArchive<R>,
    root: String,
    /// Key and bytes of the storage that was read last.
    last: Option<(Rc<str>, Vec<u8>)>,
    /// Bytes that may still be unpacked.
    budget: u64,
}

impl<R: Read + Seek> Storages<R> {
    fn read(&mut self, key: &Rc<str>) -> Result<&[u8], CheckpointError> {
        let bytes = match self.last.take() {
            Some((last, bytes)) if last == *key => bytes,
            _ => {
                let name = format!("{}{key}", self.root);
                let bytes = read_member(&mut self.archive, &name, self.budget)?;
                self.budget -= bytes.len() as u64;
                bytes
            }
        };
        Ok(&self.last.insert((Rc::clone(key), bytes)).1)
    }
}

/// Unpacks a member of the archive of at most `limit` bytes.
fn read_member<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    name: &str,
    limit: u64,
) -> Result<Vec<u8>, CheckpointError> {
    let failed = |source| CheckpointError::Member { name: name.to_owned(), source };
    let entry = archive.by_name(name).map_err(failed)?;
    if entry.size() > limit {
        return Err(CheckpointError::LargeMember { name: name.to_owned() });
    }
    let mut bytes = Vec::new();
    entry.take(limit).read_to_end(&mut bytes).map_err(|error| failed(error.into()))?;
    Ok(bytes)
}

/// Returns the number of bytes per value of a kind of storage, or `None` if the values are not
/// floating-point numbers.
fn float_width(kind: &str) -> Option<usize> {
    match kind {
        "torch FloatStorage" => Some(4),
        "torch HalfStorage" => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::{ZipWriter, write::SimpleFileOptions};

    use super::*;

    #[test]
    fn storages_are_not_unpacked_for_every_view() {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for name in ["a/data/0", "a/data/1"] {
            writer.start_file(name, SimpleFileOptions::default()).unwrap();
            writer.write_all(&[1; 1000]).unwrap();
        }
        let archive = ZipArchive::new(writer.finish().unwrap()).unwrap();
        let mut storages =
            Storages { archive, root: "a/data/".to_owned(), last: None, budget: 3000 };
        let [first, second] = ["0", "1"].map(Rc::<str>::from);
        for key in [&first, &first, &first, &second, &second, &first, &first] {
            assert_eq!(storages.read(key).unwrap(), [1; 1000]);
        }
        assert_eq!(storages.budget, 0);
        assert!(storages.read(&second).unwrap_err().to_string().contains("too large"));
    }
}
