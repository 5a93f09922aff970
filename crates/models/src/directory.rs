use std::path::{Path, PathBuf};

use crate::{Error, Family};

/// A model on disk whose files are there (and, for models of the catalogue, have the right sizes;
/// [`crate::Library::verify`] compares the checksums).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelDirectory {
    /// Name in the catalogue, or the directory's name.
    pub name: String,
    pub family: Family,
    /// Absolute.
    pub path: PathBuf,
}

/// What tells a family's directories: each row lists the names that one necessary file goes by.
/// The first row is what the family is recognized by.
const SIGNATURES: [(Family, &[&[&str]]); 2] = [
    (Family::Whisper, &[&["model.bin"], &["config.json"], &["tokenizer.json"]]),
    (
        Family::FsmnVad,
        &[
            &["am.mvn", "vad.mvn"],
            &["model.onnx", "model_quant.onnx"],
            &["config.yaml", "vad.yaml"],
        ],
    ),
];

impl ModelDirectory {
    /// Tells a directory's family by the files in it.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the missing file's name where the family is clear but a file that it
    /// needs is not there; [`Error::NotAModel`] where nothing is recognized.
    pub fn recognize(path: &Path) -> Result<Self, Error> {
        let path = path.canonicalize().map_err(Error::io(path))?;
        let not_a_model = |message: &str| {
            Err(Error::NotAModel { path: path.clone(), message: message.to_owned() })
        };
        if !path.is_dir() {
            return not_a_model("it is not a directory");
        }
        let has = |names: &[&str]| names.iter().any(|name| path.join(name).is_file());
        let found = SIGNATURES.iter().find(|(_, needed)| has(needed[0]));
        let Some((family, needed)) = found else {
            return not_a_model(
                "neither model.bin (Whisper as CTranslate2 keeps it) nor am.mvn (FSMN-VAD) is in it",
            );
        };
        if let Some(missing) = needed.iter().find(|names| !has(names)) {
            let message = format!("missing from this {family:?} model");
            return Err(Error::Damaged { path: path.join(missing[0]), message });
        }
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        Ok(Self { name, family: *family, path })
    }
}
