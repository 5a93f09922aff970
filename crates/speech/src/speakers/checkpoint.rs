//! Files of `torch.save`: a zip archive with one pickle that names tensors, and one file of raw
//! values per tensor.
//!
//! Only what a state dict of plain tensors needs is read: nothing in the file can make this run
//! code, as Python's own `pickle` would.

use std::{
    borrow::Cow,
    fs::File,
    io::{BufReader, Read, Seek},
    path::Path,
    rc::Rc,
};

use zip::ZipArchive;

use super::pickle::{Value, state_dict};

/// More would not be a speaker model.
const LARGEST_PICKLE: u64 = 4 << 20;
const MOST_VALUES: usize = 1 << 28;
const MOST_BYTES: u64 = 4 * MOST_VALUES as u64;

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
    let mut storages =
        Storages { archive, root: format!("{root}data/"), last: None, room: MOST_BYTES };
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
        let bytes = storages
            .read(&tensor.storage.key)?
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
        parameters.push(Parameter { name: name.to_string(), shape: tensor.shape, values });
    }
    Ok(parameters)
}

/// The raw values of tensors. Any number of tensors may lie in one storage, which is unpacked once
/// for those that follow one another; in all, not more is unpacked than a model may have.
struct Storages<R> {
    archive: ZipArchive<R>,
    root: String,
    last: Option<(Rc<str>, Vec<u8>)>,
    /// Bytes.
    room: u64,
}

impl<R: Read + Seek> Storages<R> {
    fn read(&mut self, key: &Rc<str>) -> Result<&[u8], String> {
        let bytes = match self.last.take() {
            Some((last, bytes)) if last == *key => bytes,
            _ => {
                let name = format!("{}{key}", self.root);
                let bytes = member(&mut self.archive, &name, self.room)?;
                self.room -= bytes.len() as u64;
                bytes
            }
        };
        Ok(&self.last.insert((Rc::clone(key), bytes)).1)
    }
}

fn member<R: Read + Seek>(
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
        let mut storages = Storages { archive, root: "a/data/".to_owned(), last: None, room: 3000 };
        let [first, second] = ["0", "1"].map(Rc::<str>::from);
        for key in [&first, &first, &first, &second, &second, &first, &first] {
            assert_eq!(storages.read(key).unwrap(), [1; 1000]);
        }
        assert_eq!(storages.room, 0);
        assert!(storages.read(&second).unwrap_err().contains("too large"));
    }
}
