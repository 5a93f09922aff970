use std::fs;
use std::path::PathBuf;

use super::*;
use crate::tests::{fixture, with_metadata};

fn write(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.onnx");
    fs::write(&path, bytes).unwrap();
    (directory, path)
}

fn open(bytes: &[u8]) -> Result<Graph, String> {
    let (_directory, path) = write(bytes);
    Graph::open(&path)
}

#[test]
fn reads_what_lies_between_the_weights() {
    let graph = open(&fixture("seaco/model.onnx")).unwrap();
    let names = |ports: &[Port]| ports.iter().map(|port| port.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&graph.inputs), ["speech", "speech_lengths", "bias_embed"]);
    assert_eq!(names(&graph.outputs), ["logits", "token_num", "us_alphas", "us_cif_peak"]);
    assert_eq!(graph.input("speech").unwrap().dimensions, [None, None, Some(560)]);
    assert_eq!(graph.input("bias_embed").unwrap().width(), Some(64));
    assert_eq!(graph.output("logits").unwrap().width(), Some(32));
    assert_eq!(graph.output("us_alphas").unwrap().width(), None);
    assert!(!graph.is_quantized && !graph.is_half && graph.external.is_empty());
    assert!(graph.nodes > 100 && graph.metadata.is_empty());
}

#[test]
fn tells_a_quantized_graph() {
    for model in ["paraformer", "paraformer-loop", "bicif", "seaco", "sensevoice", "ct-punc"] {
        assert!(!open(&fixture(&format!("{model}/model.onnx"))).unwrap().is_quantized, "{model}");
        let quantized = open(&fixture(&format!("{model}/model_quant.onnx"))).unwrap();
        assert!(quantized.is_quantized, "{model}");
        assert_eq!(quantized.metadata["onnx.infer"], "onnxruntime.quant");
    }
}

#[test]
fn reads_metadata() {
    let model = with_metadata(fixture("paraformer/model.onnx"), &[("a", "1"), ("b", "，|。")]);
    let graph = open(&model).unwrap();
    assert_eq!(graph.metadata["a"], "1");
    assert_eq!(graph.metadata["b"], "，|。");
}

#[test]
fn a_damaged_file_is_an_error_and_no_more() {
    let model = fixture("paraformer/model_quant.onnx");
    for (bytes, cause) in [
        (&b""[..], "no graph"),
        (b"x", "not an ONNX model"),
        (b"<html>Please log in</html>", "not an ONNX model"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", "git lfs pull"),
        (b"\x3a\x00", "no graph"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "cut off"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "endless"),
        (&model[..model.len() / 2], "cut off"),
        (&model[..model.len() - 1], "cut off"),
    ] {
        let error = open(bytes).unwrap_err();
        assert!(error.contains(cause), "{error}");
    }
}

#[test]
fn no_bytes_make_it_panic_or_grow() {
    let model = fixture("ct-punc/model.onnx");
    let mut random = 1_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let (_directory, path) = write(&model);
    for _ in 0..200 {
        let mut bytes = model[..(next() % 20_000) as usize].to_vec();
        for _ in 0..20 {
            if let Some(length) = (bytes.len() as u64).checked_sub(1) {
                let index = (next() % (length + 1)) as usize;
                bytes[index] = next() as u8;
            }
        }
        fs::write(&path, &bytes).unwrap();
        let _ = Graph::open(&path);
    }
    // A string that claims more than is sensible is refused before it is read.
    let mut huge = vec![0x72];
    huge.extend([0x85, 0x80, 0x80, 0x40, 0x0a, 0x80, 0x80, 0x80, 0x40]);
    huge.resize(huge.len() + (1 << 27), b'a');
    assert!(open(&huge).unwrap_err().contains("sensible"));
}
