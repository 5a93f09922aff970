//! The reader of ONNX files on fixtures, on damaged files, and on random bytes.

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

fn open(bytes: &[u8]) -> Result<Graph, GraphError> {
    let (_directory, path) = write(bytes);
    Graph::open(&path)
}

#[test]
fn reads_the_structure_between_the_weights() {
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
fn recognizes_quantized_graphs() {
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
fn damaged_files_are_errors() {
    let model = fixture("paraformer/model_quant.onnx");
    for (bytes, cause) in [
        (&b""[..], "no graph"),
        (b"x", "not an ONNX model"),
        (b"<html>Please log in</html>", "not an ONNX model"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", "git lfs pull"),
        (b"\x3a\x00", "no graph"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "truncated"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "varint of more than 10 bytes"),
        (&model[..model.len() / 2], "truncated"),
        (&model[..model.len() - 1], "truncated"),
    ] {
        let error = open(bytes).unwrap_err().to_string();
        assert!(error.contains(cause), "{error}");
    }
}

#[test]
fn random_bytes_cause_neither_panics_nor_large_allocations() {
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
    // A string beyond the limit is refused before it is read.
    let mut huge = vec![0x72];
    huge.extend([0x85, 0x80, 0x80, 0x40, 0x0a, 0x80, 0x80, 0x80, 0x40]);
    huge.resize(huge.len() + (1 << 27), b'a');
    assert!(open(&huge).unwrap_err().to_string().contains("at most 65536 are accepted"));
}
