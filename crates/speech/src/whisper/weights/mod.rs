//! Reads CTranslate2's `model.bin`.
//!
//! The file is a list of named arrays, laid out as in `ModelSpec._serialize` of CTranslate2's
//! `python/ctranslate2/specs/model_spec.py`. Only the list is kept in memory. Arrays are read on
//! demand, so that a model is never in memory twice. Every length is checked against the size of the
//! file before memory is allocated.

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read, Seek},
    ops::RangeInclusive,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use half::{bf16, f16};

use crate::{
    files::{broken, broken_by},
    recognizer::Error,
};

/// Version 4 introduced type ids. Versions 5 and 6 changed the meaning of numbers elsewhere, not the
/// layout.
const BINARY_VERSIONS: RangeInclusive<u32> = 4..=6;
const SPEC: &str = "WhisperSpec";
const SPEC_REVISIONS: RangeInclusive<u32> = 1..=3;
/// Scale of 16-bit integers in files that do not give it.
const DEFAULT_INT16_SCALE: f32 = 1000.0;

/// The arrays of an open `model.bin`.
pub struct Weights {
    path: PathBuf,
    file: File,
    arrays: HashMap<String, Array>,
}

#[derive(Debug, Clone)]
struct Array {
    shape: Vec<usize>,
    kind: Kind,
    offset: u64,
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    F32,
    I8,
    I16,
    I32,
    F16,
    Bf16,
}

/// A matrix in the format of the file.
#[derive(Debug, Clone, PartialEq)]
pub enum Matrix {
    Float(Vec<f32>),
    /// A weight is `values[row, column] / scales[row]`.
    Int8 {
        values: Vec<i8>,
        scales: Vec<f32>,
    },
}

impl Matrix {
    /// Returns the weights as floats.
    pub fn into_floats(self) -> Vec<f32> {
        match self {
            Self::Float(values) => values,
            Self::Int8 { values, scales } => {
                let mut values: Vec<f32> = values.into_iter().map(f32::from).collect();
                divide_rows(&mut values, &scales);
                values
            }
        }
    }
}

impl Weights {
    /// Opens the file and reads the list of arrays.
    ///
    /// # Errors
    /// [`Error::Model`] names the file and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let unreadable = |error: io::Error| broken_by(path, "cannot be read", error);
        let file = File::open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        let arrays = List { input: BufReader::new(&file), position: 0, size }
            .read()
            .map_err(|error| broken_by(path, "is not a Whisper model of CTranslate2", error))?;
        Ok(Self { path: path.to_owned(), file, arrays })
    }

    /// Returns whether the file has an array called `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.arrays.contains_key(name)
    }

    /// Returns whether two names refer to the same array.
    pub fn same(&self, one: &str, other: &str) -> Result<bool, Error> {
        Ok(self.array(one)?.offset == self.array(other)?.offset)
    }

    /// Returns the shape of an array.
    pub fn shape(&self, name: &str) -> Result<&[usize], Error> {
        Ok(&self.array(name)?.shape)
    }

    /// Reads an integer such as `encoder/num_heads`. Returns `None` if the file does not have it.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Error> {
        let Some(array) = self.arrays.get(name) else { return Ok(None) };
        if array.bytes > size_of::<i32>() {
            return Err(self.fail(format!("`{name}` is not a single number")));
        }
        let bytes = self.bytes(array)?;
        match (array.kind, bytes.as_slice()) {
            (Kind::I8, &[a]) => Ok(Some(i8::from_le_bytes([a]).into())),
            (Kind::I16, &[a, b]) => Ok(Some(i16::from_le_bytes([a, b]).into())),
            (Kind::I32, &[a, b, c, d]) => Ok(Some(i32::from_le_bytes([a, b, c, d]).into())),
            _ => Err(self.fail(format!("`{name}` is not an integer"))),
        }
    }

    /// Reads an array as floats, whatever its format in the file. It must have `shape`.
    pub fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Error> {
        let array = self.array_of_shape(name, shape)?;
        let bytes = self.bytes(array)?;
        Ok(match array.kind {
            Kind::F32 => decode(&bytes, f32::from_le_bytes),
            Kind::F16 => decode(&bytes, |value| f16::from_le_bytes(value).to_f32()),
            Kind::Bf16 => decode(&bytes, |value| bf16::from_le_bytes(value).to_f32()),
            Kind::I8 | Kind::I16 => {
                let mut values = match array.kind {
                    Kind::I8 => decode(&bytes, |value| f32::from(i8::from_le_bytes(value))),
                    _ => decode(&bytes, |value| f32::from(i16::from_le_bytes(value))),
                };
                divide_rows(&mut values, &self.scales(name, array)?);
                values
            }
            Kind::I32 => return Err(self.fail(format!("`{name}` holds indices, not weights"))),
        })
    }

    /// Reads the weights of a linear layer. `shape`: `[outputs, inputs]`.
    pub fn matrix(&self, name: &str, shape: [usize; 2]) -> Result<Matrix, Error> {
        let array = self.array_of_shape(name, &shape)?;
        if array.kind != Kind::I8 {
            return Ok(Matrix::Float(self.floats(name, &shape)?));
        }
        let mut scales = self.scales(name, array)?;
        if scales.len() == 1 {
            scales = vec![scales[0]; shape[0]];
        }
        Ok(Matrix::Int8 { values: decode(&self.bytes(array)?, i8::from_le_bytes), scales })
    }

    /// Reads the scales of an array: one per row, or a single one.
    fn scales(&self, name: &str, array: &Array) -> Result<Vec<f32>, Error> {
        let name = format!("{name}_scale");
        if array.kind == Kind::I16 && !self.contains(&name) {
            return Ok(vec![DEFAULT_INT16_SCALE]);
        }
        let found = self.array(&name)?;
        let count = found.shape.iter().product::<usize>();
        if found.kind == Kind::I8 || found.kind == Kind::I16 {
            return Err(self.fail(format!("`{name}` does not hold floats")));
        }
        if count != 1 && Some(&count) != array.shape.first() {
            return Err(self.fail(format!("`{name}` has {count} values")));
        }
        let scales = self.floats(&name, &found.shape)?;
        if scales.iter().any(|scale| !scale.is_normal()) {
            return Err(self.fail(format!("`{name}` has a scale that is not a normal number")));
        }
        Ok(scales)
    }

    fn array(&self, name: &str) -> Result<&Array, Error> {
        self.arrays.get(name).ok_or_else(|| self.fail(format!("has no `{name}`")))
    }

    fn array_of_shape(&self, name: &str, shape: &[usize]) -> Result<&Array, Error> {
        let array = self.array(name)?;
        if array.shape != shape {
            let message = format!("`{name}` has shape {:?}, expected {shape:?}", array.shape);
            return Err(self.fail(message));
        }
        Ok(array)
    }

    fn bytes(&self, array: &Array) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; array.bytes];
        self.file
            .read_exact_at(&mut bytes, array.offset)
            .map_err(|error| broken_by(&self.path, "cannot be read", error))?;
        Ok(bytes)
    }

    /// Reads all arrays as floats and as matrices, for the fuzzers.
    #[cfg(feature = "test-util")]
    pub(crate) fn read_all(&self) {
        for (name, array) in &self.arrays {
            let count = array.shape.iter().product::<usize>();
            let _ = self.integer(name);
            if let Ok(values) = self.floats(name, &array.shape) {
                assert_eq!(values.len(), count);
            }
            let [rows, columns] = *array.shape.as_slice() else { continue };
            if let Ok(matrix) = self.matrix(name, [rows, columns]) {
                assert_eq!(matrix.into_floats().len(), count);
            }
        }
    }

    /// Returns an error about this file.
    pub fn fail(&self, message: impl Into<String>) -> Error {
        broken(&self.path, message.into())
    }
}

/// Divides row `i` by `scales[i]`. There are as many rows as scales.
fn divide_rows(values: &mut [f32], scales: &[f32]) {
    let row = values.len().checked_div(scales.len()).unwrap_or(0).max(1);
    for (row, scale) in values.chunks_exact_mut(row).zip(scales) {
        row.iter_mut().for_each(|value| *value /= scale);
    }
}

fn decode<const N: usize, T>(bytes: &[u8], from: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&chunk| from(chunk)).collect()
}

#[derive(Debug, thiserror::Error)]
enum ListError {
    #[error("ends too early: {wanted} bytes expected at {position}, but the file has {size}")]
    Truncated { wanted: u64, position: u64, size: u64 },
    #[error("{0} bytes after the end of the model")]
    TrailingBytes(u64),
    #[error("binary version {0} is not supported, only 4 to 6")]
    Version(u32),
    #[error("holds a `{0}` of revision {1}, not a WhisperSpec of revision 1 to 3")]
    Spec(String, u32),
    #[error("a name is not UTF-8 with a closing NUL")]
    Name,
    #[error("`{0}` has the unknown type {1}")]
    Type(String, u8),
    #[error("`{name}` of shape {shape:?} cannot have {bytes} bytes")]
    Size { name: String, shape: Vec<usize>, bytes: usize },
    #[error("`{0}` occurs twice")]
    Duplicate(String),
    #[error("`{0}` is an alias of `{1}`, which does not exist")]
    Alias(String, String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Reader of the list of arrays. It reads the file from the first to the last byte, and skips the
/// values.
struct List<R> {
    input: R,
    position: u64,
    size: u64,
}

impl<R: Read + Seek> List<R> {
    fn read(mut self) -> Result<HashMap<String, Array>, ListError> {
        let version = self.u32()?;
        if !BINARY_VERSIONS.contains(&version) {
            return Err(ListError::Version(version));
        }
        let (spec, revision) = (self.string()?, self.u32()?);
        if spec != SPEC || !SPEC_REVISIONS.contains(&revision) {
            return Err(ListError::Spec(spec, revision));
        }
        let mut arrays = HashMap::new();
        for _ in 0..self.u32()? {
            let name = self.string()?;
            let array = self.array(&name)?;
            if arrays.insert(name.clone(), array).is_some() {
                return Err(ListError::Duplicate(name));
            }
        }
        for _ in 0..self.u32()? {
            let (alias, name) = (self.string()?, self.string()?);
            let Some(array) = arrays.get(&name).cloned() else {
                return Err(ListError::Alias(alias, name));
            };
            if let Some(scale) = arrays.get(&format!("{name}_scale")).cloned() {
                arrays.insert(format!("{alias}_scale"), scale);
            }
            arrays.insert(alias, array);
        }
        match self.size - self.position {
            0 => Ok(arrays),
            rest => Err(ListError::TrailingBytes(rest)),
        }
    }

    fn array(&mut self, name: &str) -> Result<Array, ListError> {
        let rank = self.bytes::<1>()?[0];
        let shape =
            (0..rank).map(|_| self.u32().map(|dim| dim as usize)).collect::<Result<Vec<_>, _>>()?;
        let [id] = self.bytes()?;
        let (kind, width) = match id {
            0 => (Kind::F32, 4),
            1 => (Kind::I8, 1),
            2 => (Kind::I16, 2),
            3 => (Kind::I32, 4),
            4 => (Kind::F16, 2),
            5 => (Kind::Bf16, 2),
            _ => return Err(ListError::Type(name.to_owned(), id)),
        };
        let bytes = self.u32()? as usize;
        let expected = shape.iter().try_fold(width, |size: usize, &dim| size.checked_mul(dim));
        if expected != Some(bytes) {
            return Err(ListError::Size { name: name.to_owned(), shape, bytes });
        }
        let offset = self.position;
        self.expect(bytes as u64)?;
        self.input.seek_relative(bytes as i64)?;
        Ok(Array { shape, kind, offset, bytes })
    }

    fn string(&mut self) -> Result<String, ListError> {
        let length = u16::from_le_bytes(self.bytes()?);
        self.expect(length.into())?;
        let mut bytes = vec![0; length.into()];
        self.input.read_exact(&mut bytes)?;
        if bytes.pop() != Some(0) {
            return Err(ListError::Name);
        }
        String::from_utf8(bytes).map_err(|_| ListError::Name)
    }

    fn u32(&mut self) -> Result<u32, ListError> {
        Ok(u32::from_le_bytes(self.bytes()?))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], ListError> {
        self.expect(N as u64)?;
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Advances by `wanted` bytes, which the file must have.
    fn expect(&mut self, wanted: u64) -> Result<(), ListError> {
        let (position, size) = (self.position, self.size);
        if wanted > size - position {
            return Err(ListError::Truncated { wanted, position, size });
        }
        self.position += wanted;
        Ok(())
    }
}
