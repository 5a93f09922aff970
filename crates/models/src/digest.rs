//! Checks of files against sizes and checksums.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{Error, FileEntry};

/// Checks the size of a file, which is cheap, and then its SHA-256. A file whose checksum is unknown
/// counts as wrong.
///
/// # Errors
/// [`Error::Damaged`] with the expected and the actual value.
pub(crate) fn check_file(path: &Path, expected: &FileEntry) -> Result<(), Error> {
    check_size(path, expected)?;
    let Some(sum) = &expected.sha256 else {
        let message = "its checksum is unknown".into();
        return Err(Error::Damaged { path: path.to_owned(), message });
    };
    let found = sha256(path)?;
    if found != *sum {
        let message = format!("wrong SHA-256: expected {sum}, found {found}");
        return Err(Error::Damaged { path: path.to_owned(), message });
    }
    Ok(())
}

/// Checks that a file exists and has the size that the catalogue states.
///
/// # Errors
/// [`Error::Damaged`] with the expected and the actual value.
pub(crate) fn check_size(path: &Path, expected: &FileEntry) -> Result<(), Error> {
    let damaged = |message: String| Err(Error::Damaged { path: path.to_owned(), message });
    match path.metadata() {
        Ok(found) if found.is_file() => match expected.size {
            Some(size) if size != found.len() => {
                damaged(format!("wrong size: expected {size} bytes, found {}", found.len()))
            }
            _ => Ok(()),
        },
        Ok(_) => damaged("not a file".into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => damaged("missing".into()),
        Err(source) => Err(Error::Io { path: path.to_owned(), source }),
    }
}

/// Computes the SHA-256 of a file, in lower-case hexadecimal.
pub(crate) fn sha256(path: &Path) -> Result<String, Error> {
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
