//! The files of a model directory: by which name they go, and what they amount to.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::recognizer::Error;

/// Old settings of a punctuation model hold its vocabulary of up to 471,067 words; by itself the
/// parser gives up at 250,000 nodes.
const MOST_YAML_NODES: usize = 2_000_000;

/// The first of `names` that is in `directory`: exporters and releases differ.
pub(crate) fn find(directory: &Path, names: &[&str]) -> Option<PathBuf> {
    names.iter().map(|name| directory.join(name)).find(|path| path.is_file())
}

/// As [`find`], for a file that the model cannot do without.
pub(crate) fn need(directory: &Path, names: &[&str]) -> Result<PathBuf, Error> {
    find(directory, names)
        .ok_or_else(|| broken(directory, format!("the directory holds no {}", names.join(" or "))))
}

/// A file of a model is not as it should be.
pub(crate) fn broken(path: &Path, message: impl ToString) -> Error {
    Error::Model { path: path.to_owned(), message: message.to_string() }
}

/// A model's settings, in YAML.
pub(crate) fn settings<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| broken(path, format!("cannot be read: {error}")))?;
    let budget =
        serde_saphyr::budget! { max_nodes: MOST_YAML_NODES, max_events: 2 * MOST_YAML_NODES };
    serde_saphyr::from_str_with_options(&text, serde_saphyr::options! { budget: budget })
        .map_err(|error| broken(path, format!("is not a model's configuration: {error}")))
}

/// What looks up keys of `model`'s metadata that must be there, because no config.yaml says `what`.
pub(crate) fn needed<'a>(
    model: &Path,
    metadata: impl Fn(&str) -> Option<&'a str>,
    what: &str,
) -> impl Fn(&str) -> Result<&'a str, Error> {
    move |key| {
        metadata(key).ok_or_else(|| {
            let message = format!(
                "has no `{key}` in its metadata, and no config.yaml lies beside it: one of the two \
                 must say {what}"
            );
            broken(model, message)
        })
    }
}

/// A model's identity, for fingerprints: lower-case hexadecimal SHA-256 over the lengths and bytes of
/// `files`, and `settings`. Their names differ between releases of the same model.
pub(crate) fn digest(files: &[PathBuf], settings: &str) -> Result<String, Error> {
    let mut hash = Sha256::new();
    for path in files {
        // The length keeps bytes from wandering from one file into the next unseen.
        hash_file(&mut hash, path)
            .map_err(|error| broken(path, format!("cannot be read: {error}")))?;
    }
    hash.update(settings.as_bytes());
    Ok(hex::encode(hash.finalize()))
}

fn hash_file(hash: &mut Sha256, path: &Path) -> io::Result<()> {
    let mut file = File::open(path)?;
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
    fn every_byte_and_setting_counts() {
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
