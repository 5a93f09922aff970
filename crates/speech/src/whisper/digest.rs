//! A model's identity, for fingerprints.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use sha2::{Digest, Sha256};

use super::config::broken;
use crate::recognizer::Error;

/// Lower-case hexadecimal SHA-256 over the names, lengths and bytes of `files`, and `settings`.
pub(super) fn digest(directory: &Path, files: &[&str], settings: &str) -> Result<String, Error> {
    let mut hash = Sha256::new();
    for name in files {
        let path = directory.join(name);
        hash.update(name.as_bytes());
        hash_file(&mut hash, &path)
            .map_err(|error| broken(&path, format!("cannot be read: {error}")))?;
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
        let of = |settings| digest(directory.path(), &["a", "b"], settings).unwrap();
        write("a", &vec![1; 200_000]).unwrap();
        write("b", b"two").unwrap();
        let before = of("s");
        assert_eq!(before.len(), 64);
        assert_eq!(before, of("s"));
        assert_ne!(before, of("t"));
        write("b", b"twO").unwrap();
        assert_ne!(before, of("s"));
        assert!(digest(directory.path(), &["c"], "").is_err());
    }
}
