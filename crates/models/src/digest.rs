use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::{Error, FileEntry};

/// Whether the file is the catalogue's: its size first (which is cheap), then its SHA-256. A file
/// whose checksum is not known is taken for wrong.
///
/// # Errors
/// [`Error::Damaged`] that says what was expected and what was found.
pub(crate) fn check_file(path: &Path, expected: &FileEntry) -> Result<(), Error> {
    check_size(path, expected)?;
    let Some(sum) = &expected.sha256 else {
        let message = "its checksum is not known".into();
        return Err(Error::Damaged { path: path.to_owned(), message });
    };
    let found = sha256(path)?;
    if found != *sum {
        let message = format!("wrong SHA-256: expected {sum}, found {found}");
        return Err(Error::Damaged { path: path.to_owned(), message });
    }
    Ok(())
}

/// Whether the file is there (unless the model does without it) and as long as the catalogue says.
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
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => damaged("missing".into()),
        Err(source) => Err(Error::Io { path: path.to_owned(), source }),
    }
}

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
