//! The file of voice prints on this machine.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use speech::speakers::voices::{MAX_FILE_BYTES, VoicePrints};
use tempfile::NamedTempFile;

use crate::UsageError;

/// Reads a file of voice prints.
///
/// # Errors
/// [`UsageError`] if there is none, or if it cannot be read as one.
pub(super) fn read(path: &Path) -> anyhow::Result<VoicePrints> {
    let missing = || UsageError(format!("{}: there is no such file", path.display()));
    Ok(read_if_there(path)?.ok_or_else(missing)?)
}

/// Reads a file of voice prints; `None` if there is no file.
///
/// # Errors
/// [`UsageError`] if it cannot be read as one.
pub(super) fn read_if_there(path: &Path) -> anyhow::Result<Option<VoicePrints>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let mut bytes = Vec::new();
    // One byte more shows that there are too many.
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let prints = VoicePrints::from_json(&bytes);
    let refused = |error| UsageError(format!("{}: {}", path.display(), errors::Chain(&error)));
    Ok(Some(prints.map_err(refused)?))
}

/// Writes a file of voice prints, completely or not at all. Only its owner can read it.
pub(super) fn write(path: &Path, prints: &VoicePrints) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    // A link stays, and what it leads to is replaced.
    let path =
        if path.is_symlink() { path.canonicalize().with_context(cannot)? } else { path.into() };
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    // Temporary files have mode 0600.
    let mut file = NamedTempFile::new_in(&folder).with_context(cannot)?;
    file.write_all(&prints.to_json()).with_context(cannot)?;
    file.as_file().sync_all().with_context(cannot)?;
    file.persist(&path).with_context(cannot)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use speech::speakers::voices::Encoder;

    use super::*;

    #[test]
    fn only_the_owner_can_read_what_is_written_also_through_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("voices.json"), folder.path().join("link.json"));
        let encoder = Encoder { name: "campplus".to_owned(), digest: "d1".to_owned() };
        let prints = VoicePrints::new(encoder);
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write(&link, &prints).unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap(), prints);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_is_none_is_a_mistake_and_a_missing_one_is_new() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("voices.json");
        assert!(read_if_there(&path).unwrap().is_none());
        assert!(read(&path).unwrap_err().is::<UsageError>());
        fs::write(&path, "{}").unwrap();
        let error = read_if_there(&path).unwrap_err();
        assert!(error.is::<UsageError>());
        assert!(
            error.to_string().contains("voices.json: it is not a file of voice prints"),
            "{error}"
        );
    }
}
