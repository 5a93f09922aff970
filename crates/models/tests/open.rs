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

#[test]
fn tells_the_family_by_the_files() {
    let whisper = &["model.bin", "config.json", "tokenizer.json", "vocabulary.txt"][..];
    for (files, family) in [
        (whisper, Family::Whisper),
        (&["am.mvn", "model.onnx", "config.yaml"], Family::FsmnVad),
        (&["vad.mvn", "model_quant.onnx", "vad.yaml"], Family::FsmnVad),
    ] {
        let (root, directory) = (tempdir().unwrap(), directory(files));
        let path = directory.path().canonicalize().unwrap();
        let library = empty_library(root.path());
        let model = library.open(directory.path().to_str().unwrap()).unwrap();
        assert_eq!(model.family, family);
        assert_eq!(model.path, path);
        assert_eq!(model.name, path.file_name().unwrap().to_str().unwrap());
        let trailing = format!("{}/./", path.display());
        assert_eq!(library.open(&trailing).unwrap(), model);

        fs::create_dir_all(library.root()).unwrap();
        std::os::unix::fs::symlink(&path, library.root().join("mine")).unwrap();
        assert_eq!(library.open("mine").unwrap().family, family, "by name, out of the catalogue");
    }
}

#[test]
fn names_the_file_that_is_missing() {
    let root = tempdir().unwrap();
    for (files, missing) in [
        (&["model.bin", "config.json"][..], "tokenizer.json"),
        (&["model.bin", "tokenizer.json"], "config.json"),
        (&["am.mvn", "config.yaml"], "model.onnx"),
        (&["vad.mvn", "model.onnx"], "config.yaml"),
    ] {
        let directory = directory(files);
        let opened = empty_library(root.path()).open(directory.path().to_str().unwrap());
        let error = opened.unwrap_err();
        assert!(
            matches!(&error, Error::Damaged { path, .. } if path.ends_with(missing)),
            "{error}"
        );
    }
}

#[test]
fn says_what_is_no_model() {
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
fn a_model_of_the_catalogue_must_have_its_files_in_full() {
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
