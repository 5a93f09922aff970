//! Files of a model directory: finding, reading and hashing them.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::recognizer::{Cause, Error};

/// The configuration of old punctuation models holds a vocabulary of up to 471,067 words; the
/// parser's default limit is 250,000 nodes.
const MAX_YAML_NODES: usize = 2_000_000;

/// Returns the first of `names` that exists in `directory`: file names differ between exporters and
/// releases.
pub(crate) fn find(directory: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| directory.join(name)).find(|path| path.is_file())
}

/// Returns the first of `names` that exists in `directory`, or an error if there is none.
pub(crate) fn need(directory: &Path, names: &[&str]) -> Result<PathBuf, Error> {
    find(directory, names)
        .ok_or_else(|| broken(directory, format!("the directory holds no {}", names.join(" or "))))
}

/// Returns the error of a file that is missing, broken or not supported.
pub(crate) fn broken(path: &Path, message: impl ToString) -> Error {
    Error::Model { path: path.to_owned(), message: message.to_string(), cause: None }
}

/// Returns the error of a file that is missing, broken or not supported, with its cause.
pub(crate) fn broken_by(path: &Path, message: impl ToString, cause: impl Into<Cause>) -> Error {
    Error::Model { path: path.to_owned(), message: message.to_string(), cause: Some(cause.into()) }
}

/// Returns the error of a network that the engine does not load from `path`. Errors that name the
/// file themselves give up that name, so that it is printed once.
pub(crate) fn not_loaded(path: &Path, error: engine::Error) -> Error {
    match error {
        engine::Error::Read { path, source } => broken_by(&path, "cannot be read", source),
        engine::Error::Model { path, source } => {
            broken_by(&path, "is not a usable ONNX model", source)
        }
        error => broken_by(path, "cannot be loaded", error),
    }
}

/// Reads a whole file of a model.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| broken_by(path, "cannot be read", error))
}

/// Reads a whole text file of a model.
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| broken_by(path, "cannot be read", error))
}

/// Reads a model's configuration, in YAML.
pub(crate) fn read_yaml<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = read_text(path)?;
    let budget =
        serde_saphyr::budget! { max_nodes: MAX_YAML_NODES, max_events: 2 * MAX_YAML_NODES };
    serde_saphyr::from_str_with_options(&text, serde_saphyr::options! { budget: budget })
        .map_err(|error| broken_by(path, "is not a model's configuration", error))
}

/// Returns a function that looks up required keys in the metadata of `model`, for directories
/// without a config.yaml. `what`: the meaning of the keys, for the error message.
pub(crate) fn needed<'a>(
    model: &Path,
    metadata: impl Fn(&str) -> Option<&'a str>,
    what: &str,
) -> impl Fn(&str) -> Result<&'a str, Error> {
    move |key| {
        metadata(key).ok_or_else(|| {
            let message = format!(
                "has no `{key}` in its metadata, and no config.yaml is next to it: one of the two \
                 must say {what}"
            );
            broken(model, message)
        })
    }
}

/// Returns a model's identity for fingerprints: lower-case hexadecimal SHA-256 over the lengths and
/// bytes of `files`, and `settings`. File names are left out, because they differ between releases
/// of the same model.
pub(crate) fn digest(files: &[PathBuf], settings: &str) -> Result<String, Error> {
    let mut hash = Sha256::new();
    for path in files {
        hash_file(&mut hash, path).map_err(|error| broken_by(path, "cannot be read", error))?;
    }
    hash.update(settings.as_bytes());
    Ok(hex::encode(hash.finalize()))
}

fn hash_file(hash: &mut Sha256, path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
    // Without the length, bytes could move from one file to the next unnoticed.
    hash.update(file.metadata()?.len().to_le_bytes());
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => hash.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_byte_and_setting_changes_the_digest() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes);
        let files = ["a", "b"].map(|name| directory.path().join(name));
        let of = |settings| digest(&files, settings).unwrap();
        write("a", &vec![1; 200_000]).unwrap();
        write("b", b"two").unwrap();
        let before = of("s");
        assert_eq!(before.len(), 64);
        assert_eq!(before, of("s"));
        assert_ne!(before, of("t"));
        write("b", b"twO").unwrap();
        assert_ne!(before, of("s"));
        assert!(digest(&[directory.path().join("c")], "").is_err());
    }
}
