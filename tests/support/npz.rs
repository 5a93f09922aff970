//! Reads NumPy's `.npz` archives, in which `tests/fixtures/*/make.py` writes references, and computes
//! the inputs of those references.
//!
//! Include it with `#[path = "../../../tests/support/npz.rs"] mod npz;` and `zip` among the
//! dev-dependencies. (The crate `npyz` would add a second `zip` with bzip2 and zstd.)

#![allow(dead_code, unreachable_pub)] // Each test uses only some of it.

use std::{collections::HashMap, fs::File, io::Read, path::Path};

/// Returns features `[frames, 560]`, the same as `features` in `tests/fixtures/funasr/make.py`.
pub fn features(frames: usize) -> Vec<f32> {
    let scale = 3f32.sqrt();
    (1..=frames as u64 * 560)
        .map(|i| {
            let mut z = i.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(frames as u64);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            scale * (2.0 * ((z >> 40) as f32 * 2f32.powi(-24)) - 1.0)
        })
        .collect()
}

/// Arrays of an archive by name.
pub struct Npz(HashMap<String, Array>);

/// A row-major array of little-endian numbers.
#[derive(Clone)]
pub struct Array {
    pub shape: Vec<usize>,
    /// NumPy's name of the element type, e.g. `<f4`.
    dtype: String,
    bytes: Vec<u8>,
}

impl Npz {
    pub fn open(path: &Path) -> Self {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut archive = zip::ZipArchive::new(file).expect("a zip archive");
        let mut arrays = HashMap::new();
        for index in 0..archive.len() {
            let mut entry = archive.by_index(index).expect("an entry");
            let name = entry.name().expect("a name").trim_end_matches(".npy").to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).expect("readable");
            arrays.insert(name, Array::parse(&bytes));
        }
        Self(arrays)
    }

    pub fn get(&self, name: &str) -> Option<&Array> {
        self.0.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl std::ops::Index<&str> for Npz {
    type Output = Array;
    fn index(&self, name: &str) -> &Array {
        self.get(name).unwrap_or_else(|| panic!("no array {name}"))
    }
}

impl Array {
    /// Parses NumPy's format, versions 1 to 3: `\x93NUMPY`, version, length of the header, a Python
    /// dictionary, the numbers.
    fn parse(bytes: &[u8]) -> Self {
        assert_eq!(&bytes[..6], b"\x93NUMPY");
        let (start, length) = match bytes[6] {
            1 => (10, usize::from(u16::from_le_bytes([bytes[8], bytes[9]]))),
            _ => (12, u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]) as usize),
        };
        let header = std::str::from_utf8(&bytes[start..start + length]).expect("text");
        let after = |key: &str| header.split_once(key).expect("a key of the header").1;
        let dtype = after("'descr': '").split('\'').next().expect("a type").to_owned();
        let shape = after("'shape': (").split(')').next().expect("a shape");
        let shape = shape.split(',').map(str::trim).filter(|dim| !dim.is_empty());
        let shape: Vec<usize> = shape.map(|dim| dim.parse().expect("a number")).collect();
        let mut bytes = bytes[start + length..].to_vec();
        if header.contains("'fortran_order': True") {
            let &[rows, columns] = &shape[..] else { panic!("column-major {shape:?}") };
            let size = bytes.len() / (rows * columns);
            let indices = (0..rows * columns).map(|index| index % columns * rows + index / columns);
            bytes = indices.flat_map(|index| bytes[index * size..][..size].to_vec()).collect();
        }
        Self { shape, dtype, bytes }
    }

    pub fn f32(&self) -> Vec<f32> {
        self.numbers("<f4", f32::from_le_bytes)
    }

    pub fn i32(&self) -> Vec<i32> {
        self.numbers("<i4", i32::from_le_bytes)
    }

    pub fn i16(&self) -> Vec<i16> {
        self.numbers("<i2", i16::from_le_bytes)
    }

    pub fn i64(&self) -> Vec<i64> {
        self.numbers("<i8", i64::from_le_bytes)
    }

    pub fn u8(&self) -> Vec<u8> {
        self.numbers("|u1", u8::from_le_bytes)
    }

    fn numbers<const N: usize, T>(&self, dtype: &str, from_bytes: fn([u8; N]) -> T) -> Vec<T> {
        assert_eq!(self.dtype, dtype);
        self.bytes.as_chunks::<N>().0.iter().map(|&bytes| from_bytes(bytes)).collect()
    }
}
