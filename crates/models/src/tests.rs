//! Fixtures that tests of several modules share.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use protobuf::write_bytes;

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/funasr")
}

/// Reads a file of `tests/fixtures/parakeet`.
pub(crate) fn parakeet(name: &str) -> Vec<u8> {
    fs::read(fixtures().join("../parakeet").join(name)).unwrap()
}

/// Unpacks an ONNX file of `tests/fixtures/funasr`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let compressed = fs::File::open(fixtures().join(format!("{name}.gz"))).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(compressed).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Adds metadata to a model: fields of a protobuf message may be appended.
pub(crate) fn with_metadata(mut model: Vec<u8>, pairs: &[(&str, &str)]) -> Vec<u8> {
    for (key, value) in pairs {
        let mut pair = Vec::new();
        write_bytes(&mut pair, 1, key.as_bytes());
        write_bytes(&mut pair, 2, value.as_bytes());
        write_bytes(&mut model, 14, &pair);
    }
    model
}
