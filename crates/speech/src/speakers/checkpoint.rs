//! Files of `torch.save`: a zip archive with one pickle that names tensors, and one file of raw
//! values per tensor.
//!
//! Only what a state dict of plain tensors needs is read: nothing in the file can make this run
//! code, as Python's own `pickle` would.

use std::{
    borrow::Cow,
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use zip::ZipArchive;

use super::pickle::{Value, state_dict};

/// More would not be a speaker model.
const LARGEST_PICKLE: u64 = 16 << 20;
const MOST_VALUES: usize = 1 << 28;

/// A parameter of a network.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    /// Row-major.
    pub(super) values: Vec<f32>,
}

/// The floating point tensors of a state dict; counters and the like are passed over.
///
/// # Errors
/// Says what is wrong with the file.
pub(super) fn read(path: &Path) -> Result<Vec<Parameter>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut archive = ZipArchive::new(BufReader::new(file))
        .map_err(|error| format!("is not a file of torch.save (1.6 or later): {error}"))?;
    let pickle = archive
        .file_names()
        .flatten()
        .find(|name| name.ends_with("/data.pkl"))
        .map(Cow::into_owned)
        .ok_or("is not a file of torch.save: there is no data.pkl in it")?;
    let program = member(&mut archive, &pickle, LARGEST_PICKLE)?;
    let root = pickle.trim_end_matches("data.pkl");
    let mut room = MOST_VALUES;
    let mut parameters = Vec::new();
    for (name, value) in state_dict(&program)? {
        let Value::Tensor(tensor) = value else { continue };
        let Some(width) = width(&tensor.storage.kind) else { continue };
        let count = tensor
            .contiguous()
            .filter(|&count| count <= MOST_VALUES)
            .ok_or_else(|| format!("{name} is not contiguous"))?;
        room = room.checked_sub(count).ok_or("is too large for a speaker model")?;
        let end = tensor.offset.checked_add(count).filter(|&end| end <= MOST_VALUES);
        let end = end.ok_or_else(|| format!("{name} reaches beyond its storage"))?;
        let storage = format!("{root}data/{}", tensor.storage.key);
        let bytes = member(&mut archive, &storage, (MOST_VALUES * 4) as u64)?;
        let bytes = bytes
            .get(tensor.offset * width..end * width)
            .ok_or_else(|| format!("{name} reaches beyond its storage"))?;
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
        parameters.push(Parameter { name, shape: tensor.shape, values });
    }
    Ok(parameters)
}

fn member<R: Read + std::io::Seek>(
    archive: &mut ZipArchive<R>,
    name: &str,
    most: u64,
) -> Result<Vec<u8>, String> {
    let damaged = |error: &dyn std::fmt::Display| format!("{name} in it cannot be read: {error}");
    let entry = archive.by_name(name).map_err(|e| damaged(&e))?;
    if entry.size() > most {
        return Err(damaged(&"it is too large"));
    }
    let mut bytes = Vec::new();
    entry.take(most).read_to_end(&mut bytes).map_err(|e| damaged(&e))?;
    Ok(bytes)
}

/// Bytes per value of a kind of storage; `None` if these are not floating point numbers.
fn width(kind: &str) -> Option<usize> {
    match kind {
        "torch FloatStorage" => Some(4),
        "torch HalfStorage" => Some(2),
        _ => None,
    }
}
