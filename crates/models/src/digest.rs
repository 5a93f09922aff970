use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{Error, FileEntry};

/// Whether the file is the catalogue's: its size first (which is cheap), then its SHA-256.
///
/// # Errors
/// [`Error::Damaged`] that says what was expected and what was found.
pub(crate) fn check_file(path: &Path, expected: &FileEntry) -> Result<(), Error> {
    check_size(path, expected)?;
    let found = sha256(path)?;
    if found != expected.sha256 {
        let message = format!("wrong SHA-256: expected {}, found {found}", expected.sha256);
        return Err(Error::Damaged { path: path.to_owned(), message });
    }
    Ok(())
}

/// Whether the file is there and as long as the catalogue says.
pub(crate) fn check_size(path: &Path, expected: &FileEntry) -> Result<(), Error> {
    let damaged = |message: String| Err(Error::Damaged { path: path.to_owned(), message });
    match path.metadata() {
        Ok(found) if found.is_file() && found.len() == expected.size => Ok(()),
        Ok(found) if found.is_file() => {
            damaged(format!("wrong size: expected {} bytes, found {}", expected.size, found.len()))
        }
        Ok(_) => damaged("not a file".into()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => damaged("missing".into()),
        Err(source) => Err(Error::Io { path: path.to_owned(), source }),
    }
}

fn sha256(path: &Path) -> Result<String, Error> {
    let mut file = File::open(path).map_err(Error::io(path))?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 18];
    loop {
        match file.read(&mut block).map_err(Error::io(path))? {
            0 => return Ok(hex::encode(hash.finalize())),
            n => hash.update(&block[..n]),
        }
    }
}
