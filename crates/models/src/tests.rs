//! What the tests of several modules share.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/funasr")
}

/// An ONNX file of `tests/fixtures/funasr`.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let compressed = fs::File::open(fixtures().join(format!("{name}.gz"))).unwrap();
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(compressed).read_to_end(&mut bytes).unwrap();
    bytes
}

/// A model with more metadata: protobuf messages may be added to at their end.
pub(crate) fn with_metadata(mut model: Vec<u8>, pairs: &[(&str, &str)]) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let mut field = vec![number << 3 | 2];
        let mut length = bytes.len();
        while length > 0x7f {
            field.push(length as u8 | 0x80);
            length >>= 7;
        }
        field.push(length as u8);
        field.extend(bytes);
        field
    };
    for (key, value) in pairs {
        let pair = [field(1, key.as_bytes()), field(2, value.as_bytes())].concat();
        model.extend(field(14, &pair));
    }
    model
}
