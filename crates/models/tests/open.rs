//! Opening models by name and by path.

#![allow(clippy::unwrap_used, reason = "these are tests, though clippy sees helpers")]

mod support;

use std::fs;
use std::path::Path;

use models::{Error, Family};
use support::{library, urls};
use tempfile::{TempDir, tempdir};

fn directory(files: &[&str]) -> TempDir {
    let directory = tempdir().unwrap();
    for file in files {
        fs::write(directory.path().join(file), "x").unwrap();
    }
    directory
}

fn empty_library(root: &Path) -> models::Library {
    library(root, &[("model.bin", b"xy", urls(&["http://localhost"], "model.bin"))])
}

/// Returns a directory with just enough of a Whisper model to be recognized.
fn whisper() -> TempDir {
    let directory = directory(&["config.json", "tokenizer.json"]);
    let header = b"\x06\0\0\0\x0c\0WhisperSpec\0\x03\0\0\0\0\0\0\0";
    fs::write(directory.path().join("model.bin"), header).unwrap();
    directory
}

#[test]
fn opens_a_directory_by_path_and_by_name() {
    let (root, directory) = (tempdir().unwrap(), whisper());
    let path = directory.path().canonicalize().unwrap();
    let library = empty_library(root.path());
    let model = library.open(directory.path().to_str().unwrap()).unwrap();
    assert_eq!(model.family, Family::Whisper);
    assert_eq!(model.path, path);
    assert_eq!(model.name, path.file_name().unwrap().to_str().unwrap());
    let trailing = format!("{}/./", path.display());
    assert_eq!(library.open(&trailing).unwrap(), model);

    fs::create_dir_all(library.root()).unwrap();
    std::os::unix::fs::symlink(&path, library.root().join("mine")).unwrap();
    let mine = library.open("mine").unwrap();
    assert_eq!(mine.family, Family::Whisper, "by name, although the catalogue does not have it");
}

#[test]
fn names_the_missing_file() {
    let root = tempdir().unwrap();
    for missing in ["tokenizer.json", "config.json"] {
        let directory = whisper();
        fs::remove_file(directory.path().join(missing)).unwrap();
        let opened = empty_library(root.path()).open(directory.path().to_str().unwrap());
        let error = opened.unwrap_err();
        assert!(
            matches!(&error, Error::Damaged { path, .. } if path.ends_with(missing)),
            "{error}"
        );
        assert!(error.to_string().contains("a whisper model"), "{error}");
    }
}

#[test]
fn explains_why_a_path_is_not_a_model() {
    let root = tempdir().unwrap();
    let library = empty_library(root.path());
    let other = directory(&["readme.txt"]);
    let open = |path: &str| library.open(path).unwrap_err();
    assert!(matches!(open(other.path().to_str().unwrap()), Error::NotAModel { .. }));
    let file = other.path().join("readme.txt");
    assert!(matches!(open(file.to_str().unwrap()), Error::NotAModel { .. }));
    assert!(matches!(open("./nowhere"), Error::Io { .. }));
    assert!(matches!(open("/nowhere/at/all"), Error::Io { .. }));
    assert!(matches!(open("nowhere"), Error::Unknown { .. }));
    assert!(matches!(open(""), Error::Io { .. }));
    assert!(matches!(open("m"), Error::NotInstalled { .. }));
}

#[test]
fn a_model_of_the_catalogue_must_be_complete() {
    let root = tempdir().unwrap();
    let library = empty_library(root.path());
    let model = library.root().join("m");
    fs::create_dir_all(&model).unwrap();
    let error = library.open("m").unwrap_err().to_string();
    for part in ["model.bin", "missing", "models pull m"] {
        assert!(error.contains(part), "{error}");
    }
    fs::write(model.join("model.bin"), "too long").unwrap();
    let error = library.open("m").unwrap_err().to_string();
    assert!(error.contains("expected 2 bytes, found 8"), "{error}");
    fs::write(model.join("model.bin"), "xy").unwrap();
    assert_eq!(library.open("m").unwrap().name, "m");
}
