//! Weights in other files.

use super::*;

/// Makes a model of the weights `w`, `count` floats at `offset` of the file `location`.
fn model(location: &str, offset: u64, count: i64) -> pb::ModelProto {
    let entry = |key: &str, value: String| pb::StringStringEntryProto { key: key.into(), value };
    let weights = pb::TensorProto {
        name: "w".into(),
        dims: vec![count],
        data_type: pb::tensor_proto::DataType::Float as i32,
        data_location: Some(pb::tensor_proto::DataLocation::External as i32),
        external_data: vec![
            entry("location", location.into()),
            entry("offset", offset.to_string()),
            entry("length", (4 * count).to_string()),
        ],
        ..Default::default()
    };
    let graph = pb::GraphProto { initializer: vec![weights], ..Default::default() };
    pb::ModelProto { graph: Some(graph), ..Default::default() }
}

/// Opens `model` in a directory where `w.data` has the numbers from 0 to 2047.
fn open(model: pb::ModelProto) -> Result<OnnxFile, String> {
    let directory = tempfile::tempdir().expect("a directory");
    let values: Vec<u8> = (0..2048u16).flat_map(|value| f32::from(value).to_le_bytes()).collect();
    std::fs::write(directory.path().join("w.data"), values).expect("weights");
    let path = directory.path().join("model.onnx");
    let (source, external) =
        (Source::Memory(Box::default()), ExternalData::beside(directory.path()));
    OnnxFile::new(&path, model, &[], source, external).map_err(chain)
}

#[test]
fn weights_in_files_of_the_directory_are_read() {
    // One is read at once, the other when it is used.
    for (offset, count) in [(8, 3), (400, 1500)] {
        let file = open(model("w.data", offset, count)).expect("a file");
        let [external] = file.external_files() else { panic!("one file") };
        assert!(external.ends_with("w.data"));
        let weights = file.with_floats("w", <[f32]>::to_vec).expect("weights");
        let expected: Vec<f32> =
            (offset / 4..offset / 4 + count as u64).map(|value| value as f32).collect();
        assert_eq!(weights, expected);
        OnnxFile::free_buffers();
    }
    let file = open(model("w.data", 0, 2)).expect("a file");
    assert!(file.with_floats("v", <[f32]>::to_vec).is_err());
    assert!(file.with_bytes("w", <[u8]>::to_vec).is_err());
}

#[test]
fn weights_elsewhere_are_refused() {
    for location in ["../w.data", "/etc/passwd", "a/w.data", "..", "", "w.data/"] {
        let error = open(model(location, 0, 2)).expect_err(location);
        assert!(error.contains("no file beside the model"), "{location}: {error}");
    }
    let error = open(model("v.data", 0, 2)).expect_err("missing");
    assert!(error.contains("cannot open") && error.contains("v.data"), "{error}");
    for (offset, count) in [(8192, 1), (0, 2049), (u64::MAX, 1)] {
        let error = open(model("w.data", offset, count)).expect_err("too short");
        assert!(error.contains("truncated"), "{error}");
    }
    let mut other = model("w.data", 0, 2);
    let weights = &mut other.graph.as_mut().expect("a graph").initializer[0];
    weights.dims = vec![3];
    assert!(open(other).is_err(), "fewer values than the shape has");
}

/// The digest of most models does not cover other files, so that their weights could change unnoticed.
#[test]
fn models_that_must_be_one_file_are_refused() {
    let path = Path::new("model.onnx");
    let error = chain(from_proto(path, model("w.data", 0, 2)).expect_err("refused"));
    assert!(error.contains("another file (`w.data`)") && error.contains("onnx.save"), "{error}");
}
