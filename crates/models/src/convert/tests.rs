//! Conversions of whole, damaged and foreign checkpoints, and what pulls and libraries make of them.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use errors::Chain;
use flate2::read::GzDecoder;
use tempfile::TempDir;

use super::checkpoint::Parameter;
use super::*;
use crate::{Catalogue, Inspection, Library, inspect};

const NAME: &str = "campplus_cn_common.bin";
const CONVERTED: &str = "campplus.onnx";

fn fixture() -> Vec<u8> {
    unpacked(&format!("campplus/{NAME}.gz"))
}

pub(super) fn unpacked(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name);
    let mut bytes = Vec::new();
    GzDecoder::new(fs::File::open(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// Writes a checkpoint to a directory of its own.
fn directory(checkpoint: &[u8]) -> (TempDir, PathBuf) {
    directory_of(NAME, checkpoint)
}

pub(super) fn directory_of(name: &str, checkpoint: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    fs::write(&path, checkpoint).unwrap();
    (directory, path)
}

#[test]
fn a_converted_checkpoint_is_a_usable_model() {
    let (directory, checkpoint) = directory(&fixture());
    let converted = convert(directory.path()).unwrap();
    assert_eq!(converted, directory.path().join(CONVERTED));
    let graph = Graph::open(&converted).unwrap();
    assert_eq!(graph.input("feature").unwrap().dimensions, [None, None, Some(80)]);
    assert_eq!(graph.output("embedding").unwrap().dimensions, [None, Some(192)]);
    let found: Inspection = inspect(directory.path()).unwrap();
    assert!(found.is_usable(), "{found}");
    assert_eq!(found.family, Family::CamPlusPlus);
    // Others may read it, as they may the files of a download.
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
    assert_eq!(mode(&converted), mode(&checkpoint));

    let bytes = fs::read(&converted).unwrap();
    convert(directory.path()).unwrap();
    assert!(fs::read(&converted).unwrap() == bytes, "the same bytes every time");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "no temporary file is left");
}

#[test]
fn a_directory_must_hold_one_checkpoint() {
    let (directory, _) = directory(b"x");
    fs::write(directory.path().join("campplus_en.pt"), "x").unwrap();
    let error = convert(directory.path()).unwrap_err().to_string();
    assert!(error.contains("2 PyTorch checkpoints"), "{error}");
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(convert(empty.path()), Err(Error::NotAModel { .. })));
    assert!(matches!(convert(&empty.path().join("none")), Err(Error::Io { .. })));
}

#[test]
fn damaged_checkpoints_are_refused() {
    let whole = fixture();
    let refused = |bytes: &[u8]| {
        let (directory, _) = directory(bytes);
        let error = convert(directory.path()).unwrap_err();
        assert!(!directory.path().join(CONVERTED).exists());
        Chain(&error).to_string()
    };
    assert!(refused(b"no model").contains("not a file of torch.save"));
    refused(&whole[..whole.len() / 2]);
    let replaced = |from: &[u8], to: &[u8]| {
        let at = whole.windows(from.len()).position(|window| window == from).unwrap();
        let mut bytes = whole.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    };
    // Another name for a parameter, another function, another type. The checksums of the archive
    // detect these, which is as good.
    for (from, to) in [
        (&b"head.conv1.weight"[..], &b"head.conv9.weight"[..]),
        (b"torch._utils\n_rebuild_tensor_v2", b"posix\nsystem"),
        (b"torch\nFloatStorage", b"torch\nBYTEStorage"),
    ] {
        let message = refused(&replaced(from, to));
        assert!(message.contains(NAME), "{message}");
    }
}

#[test]
fn incomplete_checkpoints_are_refused() {
    let (_directory, path) = directory(&fixture());
    let parameters = checkpoint::read(&path).unwrap();
    assert_eq!(parameters.len(), 815);
    let error = |parameters: Vec<Parameter>| campplus::to_onnx(parameters).unwrap_err().to_string();
    assert!(error(Vec::new()).contains("not a cam-plus-plus model"));
    for name in ["head.conv1.weight", "xvector.block3.tdnnd16.cam_layer.linear2.bias"] {
        let mut parameters = parameters.clone();
        parameters.retain(|parameter| parameter.name != name);
        assert!(error(parameters).contains(name));
    }
    let mut damaged = parameters.clone();
    damaged[7].values[0] = f32::NAN;
    assert!(error(damaged).contains(&parameters[7].name));
}

/// A library with a model `m` whose checkpoint was pulled by a version that did not convert it.
fn library(root: &Path) -> Library {
    let checkpoint = fixture();
    let model = root.join("m");
    fs::create_dir(&model).unwrap();
    fs::write(model.join(NAME), &checkpoint).unwrap();
    let sha256 = crate::digest::sha256(&model.join(NAME)).unwrap();
    let catalogue = Catalogue::parse(&format!(
        "[[model]]\nname = 'm'\nfamily = 'cam-plus-plus'\nlicence = 'MIT'\n\
         copyright = 'Copyright Somebody'\nlanguages = []\n\
         description = ''\nfiles = [{{ path = '{NAME}', size = {}, sha256 = '{sha256}', sources = [\
         {{ url = 'http://127.0.0.1:9/nobody-listens-here' }}] }}]",
        checkpoint.len()
    ));
    Library::new(root.to_owned(), catalogue.unwrap())
}

#[tokio::test]
async fn a_pull_converts_a_checkpoint_of_an_earlier_pull_without_a_download() {
    let root = tempfile::tempdir().unwrap();
    let library = library(root.path());
    let entry = &library.catalogue().models[0];
    let converted = root.path().join("m").join(CONVERTED);
    for error in [library.open("m").unwrap_err(), library.verify(entry).unwrap_err()] {
        assert!(matches!(error, Error::NotConverted { .. }), "{error}");
        assert!(error.to_string().contains("models pull m"), "{error}");
    }
    let pulled = library.pull(entry, &|_| ()).await.unwrap();
    assert_eq!(library.open("m").unwrap(), pulled.model);
    library.verify(entry).unwrap();
    assert!(inspect(&pulled.model.path).unwrap().is_usable());
    let licence = fs::read_to_string(pulled.model.path.join("LICENSE")).unwrap();
    assert!(licence.starts_with("MIT License\n\nCopyright Somebody\n"), "{licence}");

    // A damaged conversion is repaired, and one that is right is left as it is.
    let right = fs::read(&converted).unwrap();
    fs::write(&converted, "damaged").unwrap();
    let error = library.verify(entry).unwrap_err().to_string();
    assert!(error.contains(CONVERTED) && error.contains("models pull m"), "{error}");
    library.pull(entry, &|_| ()).await.unwrap();
    assert!(fs::read(&converted).unwrap() == right);
    let modified = || converted.metadata().unwrap().modified().unwrap();
    let before = modified();
    library.pull(entry, &|_| ()).await.unwrap();
    assert_eq!(modified(), before);
}

#[tokio::test]
async fn a_pull_of_a_foreign_checkpoint_installs_nothing() {
    let root = tempfile::tempdir().unwrap();
    let model = root.path().join("m");
    fs::create_dir(&model).unwrap();
    fs::write(model.join(NAME), "another format").unwrap();
    let sha256 = crate::digest::sha256(&model.join(NAME)).unwrap();
    let catalogue = Catalogue::parse(&format!(
        "[[model]]\nname = 'm'\nfamily = 'cam-plus-plus'\nlicence = 'MIT'\nlanguages = []\n\
         description = ''\nfiles = [{{ path = '{NAME}', sha256 = '{sha256}', sources = [\
         {{ url = 'http://127.0.0.1:9/nobody-listens-here' }}] }}]",
    ));
    let library = Library::new(root.path().to_owned(), catalogue.unwrap());
    let entry = &library.catalogue().models[0];
    let error = Chain(&library.pull(entry, &|_| ()).await.unwrap_err()).to_string();
    assert!(error.contains(NAME) && error.contains("not a file of torch.save"), "{error}");
    assert!(matches!(library.open("m"), Err(Error::NotConverted { .. })));
}
