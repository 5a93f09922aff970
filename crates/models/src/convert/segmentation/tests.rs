//! Conversions of whole, damaged and foreign checkpoints.

use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use proptest::prelude::*;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::super::tests::{directory_of, unpacked};
use super::super::{checkpoint, convert};
use super::*;
use crate::onnx::Graph as Structure;
use crate::{Error, Layout, WeightFormat, inspect};

const NAME: &str = "pytorch_model.bin";

fn fixture() -> Vec<u8> {
    unpacked("segmentation-checkpoint/pytorch_model.bin.gz")
}

fn parameters() -> Vec<Parameter> {
    let (_directory, path) = directory_of(NAME, &fixture());
    checkpoint::read(&path).unwrap()
}

/// crates/speech compares what it computes with the reference.
#[test]
fn a_converted_checkpoint_is_a_usable_model() {
    let (directory, _) = directory_of(NAME, &fixture());
    // Beside pyannote's checkpoint lies its configuration, which is not one of FunASR's.
    let config = "task:\n  duration: 10.0\nmodel:\n  _target_: pyannote.PyanNet\n";
    fs::write(directory.path().join("config.yaml"), config).unwrap();
    let before = inspect(directory.path()).unwrap();
    assert_eq!(before.family, Family::PyannoteSegmentation);
    assert_eq!(before.layout, Layout::Pytorch);
    assert!(before.problems[0].remedy.contains("models convert"), "{before}");

    let path = convert(directory.path()).unwrap();
    assert_eq!(path, directory.path().join("model.onnx"));
    let found = inspect(directory.path()).unwrap();
    assert!(found.is_usable(), "{found}");
    assert_eq!(found.family, Family::PyannoteSegmentation);
    assert_eq!(
        (found.layout, &found.weight_formats[..]),
        (Layout::SherpaOnnx, &[WeightFormat::F32][..])
    );
    let structure = Structure::open(&path).unwrap();
    assert_eq!(structure.input("x").unwrap().dimensions, [None, Some(1), None]);
    assert_eq!(structure.output("y").unwrap().dimensions, [None, None, Some(7)]);
    for (key, value) in METADATA {
        assert_eq!(structure.metadata[key], value);
    }
    let bytes = fs::read(&path).unwrap();
    convert(directory.path()).unwrap();
    assert!(fs::read(&path).unwrap() == bytes, "the same bytes every time");
}

#[test]
fn checkpoints_of_other_networks_are_refused() {
    let parameters = parameters();
    let refused = |change: &dyn Fn(&mut Vec<Parameter>)| {
        let mut changed = parameters.clone();
        change(&mut changed);
        to_onnx(changed).unwrap_err().to_string()
    };
    for name in ["lstm.weight_hh_l3_reverse", "sincnet.conv1d.0.filterbank.window_"] {
        let message = refused(&|changed| changed.retain(|parameter| parameter.name != name));
        assert!(message.contains(name), "{message}");
    }
    for index in 0..parameters.len() {
        let name = &parameters[index].name;
        let message = refused(&|changed| changed[index].values[0] = f32::NAN);
        assert!(message.contains(name) && message.contains("not finite"), "{message}");
        let message = refused(&|changed| changed[index].shape.push(1));
        assert!(message.contains(name) && message.contains("shape"), "{message}");
    }
    // The network before 3.0 has as many layers, and three classes.
    let message = refused(&|changed| {
        let classifier = changed.iter_mut().find(|p| p.name == "classifier.weight").unwrap();
        classifier.shape[0] = 3;
    });
    assert!(message.contains("[3, 128], not [7, 128]"), "{message}");
    // An empty band, and times that would divide by zero.
    for part in ["low_hz_", "n_"] {
        let message = refused(&|changed| {
            let found = changed.iter_mut().find(|p| p.name.ends_with(part)).unwrap();
            found.values.fill(if part == "n_" { 0.0 } else { 7950.0 });
        });
        assert!(message.contains("filters"), "{message}");
    }
}

#[test]
fn files_that_are_no_such_checkpoint_are_not_recognized() {
    let (directory, path) = directory_of(NAME, b"no checkpoint");
    assert!(matches!(inspect(directory.path()), Err(Error::NotAModel { .. })));
    assert!(matches!(convert(directory.path()), Err(Error::Convert { .. })));
    // A checkpoint of CAM++ under the name of any.
    fs::write(path, unpacked("campplus/campplus_cn_common.bin.gz")).unwrap();
    assert!(matches!(inspect(directory.path()), Err(Error::NotAModel { .. })));
    assert!(convert(directory.path()).unwrap().ends_with("campplus.onnx"));
}

#[test]
fn filters_are_even_and_odd() {
    let times: Vec<f32> = (1..=SIDE).rev().map(|tap| tap as f32 * -0.0004).collect();
    let (low, band) = (vec![-100.0; BANDS], vec![200.0; BANDS]);
    let bank = filters(&low, &band, &vec![1.0; SIDE], &times);
    for (index, filter) in bank.chunks_exact(TAPS).enumerate() {
        let is_even = index < BANDS;
        assert_eq!(filter[SIDE], if is_even { 1.0 } else { 0.0 });
        for tap in 0..SIDE {
            let sign = if is_even { 1.0 } else { -1.0 };
            assert_eq!(filter[tap], sign * filter[TAPS - 1 - tap]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// What a conversion makes of any pickle can be opened, or it is an error.
    #[test]
    fn damaged_checkpoints_are_errors(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (directory, path) = directory_of(NAME, &fixture());
        with_pickle(&path, |pickle| {
            let at = at.index(pickle.len());
            pickle[at] = byte;
        });
        if convert(directory.path()).is_ok() {
            let found = inspect(directory.path()).unwrap();
            prop_assert!(found.is_usable(), "{found}");
        }
    }
}

/// Changes the pickle of a checkpoint. The checksums of the archive would detect a change of its bytes.
fn with_pickle(checkpoint: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mut archive = ZipArchive::new(fs::File::open(checkpoint).unwrap()).unwrap();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).unwrap();
        let mut bytes = Vec::new();
        member.read_to_end(&mut bytes).unwrap();
        if member.name().unwrap().ends_with("data.pkl") {
            change(&mut bytes);
        }
        writer.start_file(member.name().unwrap(), stored).unwrap();
        writer.write_all(&bytes).unwrap();
    }
    fs::write(checkpoint, writer.finish().unwrap().into_inner()).unwrap();
}
