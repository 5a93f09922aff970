//! Test support: the files of `tests/fixtures`, and model directories made of them.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

/// Returns the path of a fixture.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name)
}

/// Reads a fixture that is compressed with gzip.
pub(crate) fn gunzip(name: &str) -> Vec<u8> {
    let file = File::open(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let mut bytes = Vec::new();
    GzDecoder::new(file).read_to_end(&mut bytes).expect(name);
    bytes
}

/// Reads a fixture in JSON.
pub(crate) fn json<T: DeserializeOwned>(name: &str) -> T {
    let bytes = fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_slice(&bytes).expect(name)
}

/// Makes a directory with these files.
pub(crate) fn directory<T: AsRef<[u8]>>(files: &[(&str, T)]) -> TempDir {
    let directory = tempfile::tempdir().expect("directory");
    for (name, content) in files {
        fs::write(directory.path().join(name), content).expect(name);
    }
    directory
}

/// Encodes an entry of `metadata_props` (field 14 of ONNX's `ModelProto`), for appending to an ONNX
/// file: fields appended to a protobuf message become a part of it.
pub(crate) fn onnx_metadata(key: &str, value: &str) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let mut field = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length > 0x7F {
            field.push(length as u8 | 0x80);
            length >>= 7;
        }
        field.push(length as u8);
        field.extend_from_slice(bytes);
        field
    };
    field(14, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat())
}
