//! Inspections of Parakeet-TDT in both layouts, complete and broken.

use protobuf::{write_bytes, write_varint};

use super::super::tests::Model;
use super::*;
use crate::Catalogue;
use crate::tests::{parakeet, with_metadata};

/// sherpa-onnx's metadata, which only the encoder has.
const SHERPA: [(&str, &str); 3] =
    [("vocab_size", "80"), ("model_type", "EncDecRNNTBPEModel"), ("subsampling_factor", "8")];

fn onnx_asr(suffix: &str) -> Model {
    let file = |name: &str| parakeet(&format!("onnx-asr/{name}{suffix}.onnx"));
    Model::new()
        .with(&format!("encoder-model{suffix}.onnx"), file("encoder-model"))
        .with(&format!("decoder_joint-model{suffix}.onnx"), file("decoder_joint-model"))
        .with("vocab.txt", parakeet("onnx-asr/vocab.txt"))
        .with("config.json", parakeet("onnx-asr/config.json"))
}

fn sherpa(suffix: &str) -> Model {
    let file = |name: &str| parakeet(&format!("{name}{suffix}.onnx"));
    Model::new()
        .with("encoder.onnx", with_metadata(file("onnx-asr/encoder-model"), &SHERPA))
        .with("decoder.onnx", file("sherpa-onnx/decoder"))
        .with("joiner.onnx", file("sherpa-onnx/joiner"))
        .with("tokens.txt", parakeet("onnx-asr/vocab.txt"))
}

/// Returns the lines of a vocabulary.
fn vocabulary(symbols: usize) -> String {
    let pieces = (0..symbols - 1).map(|number| format!("▁t{number} {number}\n"));
    pieces.chain([format!("<blk> {}\n", symbols - 1)]).collect()
}

/// Returns a network of one node. Sizes of axes: 0 is any.
fn network(operator: &str, inputs: &[&[u64]], outputs: &[&[u64]]) -> Vec<u8> {
    let message = |field: u32, bytes: &[u8]| {
        let mut message = Vec::new();
        write_bytes(&mut message, field, bytes);
        message
    };
    let port = |field: u32, sizes: &[u64]| {
        let mut shape = Vec::new();
        for &size in sizes {
            let mut axis = Vec::new();
            if size > 0 {
                write_varint(&mut axis, 8);
                write_varint(&mut axis, size);
            }
            write_bytes(&mut shape, 1, &axis);
        }
        message(field, &message(2, &message(1, &message(2, &shape))))
    };
    let mut graph = message(1, &message(4, operator.as_bytes()));
    graph.extend(inputs.iter().flat_map(|sizes| port(11, sizes)));
    graph.extend(outputs.iter().flat_map(|sizes| port(12, sizes)));
    message(7, &graph)
}

/// Adds a weight of `count` elements to a network: its values are missing, or in another file.
fn with_weight(mut model: Vec<u8>, data_type: u64, count: u64, place: &[(&str, &str)]) -> Vec<u8> {
    let mut tensor = Vec::new();
    for (field, value) in [(1, count), (2, data_type)] {
        write_varint(&mut tensor, field << 3);
        write_varint(&mut tensor, value);
    }
    for (key, value) in place {
        let mut entry = Vec::new();
        write_bytes(&mut entry, 1, key.as_bytes());
        write_bytes(&mut entry, 2, value.as_bytes());
        write_bytes(&mut tensor, 13, &entry);
    }
    let mut graph = Vec::new();
    write_bytes(&mut graph, 5, &tensor);
    write_bytes(&mut model, 7, &graph);
    model
}

/// Returns the only problem: its file and message.
fn problem(model: &Model) -> (String, String) {
    let found = model.inspect();
    assert_eq!(found.family, Family::Parakeet);
    assert_eq!(found.problems.len(), 1, "{found}");
    let problem = &found.problems[0];
    assert!(!problem.remedy.is_empty(), "{found}");
    (problem.file.clone(), problem.message.clone())
}

#[test]
fn recognizes_both_layouts_in_both_formats() {
    for (suffix, format) in [("", WeightFormat::F32), (".int8", WeightFormat::Int8)] {
        for (model, layout) in
            [(onnx_asr(suffix), Layout::OnnxAsr), (sherpa(suffix), Layout::SherpaOnnx)]
        {
            let found = model.inspect();
            assert!(found.is_usable(), "{found}");
            assert_eq!((found.family, found.layout), (Family::Parakeet, layout));
            assert_eq!(found.weight_formats, [format]);
            assert_eq!(found.vocabulary, Some(81));
        }
    }
}

#[test]
fn names_of_files_do_not_matter() {
    let found = Model::new()
        .with("model.onnx", parakeet("onnx-asr/encoder-model.onnx"))
        .with("model_eb.onnx", parakeet("onnx-asr/decoder_joint-model.onnx"))
        .with("words.txt", parakeet("onnx-asr/vocab.txt"))
        .with("README.txt", "A model of 1\nlanguage 2\n")
        .with("LICENSE", "CC-BY-4.0")
        .inspect();
    assert!(found.is_usable(), "{found}");
    let purposes: Vec<_> = found.files.iter().map(|file| file.purpose).collect();
    let network = (Some("encoder"), Some("prediction network and joint"));
    assert_eq!(purposes, [Some("licence"), None, network.0, network.1, Some("vocabulary")]);
}

#[test]
fn a_directory_may_have_both_formats_and_other_networks() {
    let found = onnx_asr("")
        .with("encoder-model.int8.onnx", parakeet("onnx-asr/encoder-model.int8.onnx"))
        .with("decoder_joint-model.int8.onnx", parakeet("onnx-asr/decoder_joint-model.int8.onnx"))
        .with("nemo128.onnx", network("Conv", &[&[0, 0], &[0]], &[&[0, 128, 0], &[0]]))
        .with("._encoder-model.onnx", "left by an archive")
        // The same text under the name of the other layout, and a list.
        .with("tokens.txt", parakeet("onnx-asr/vocab.txt"))
        .with("list.txt", vocabulary(9))
        .inspect();
    assert!(found.is_usable(), "{found}");
    assert_eq!(found.weight_formats, [WeightFormat::Int8, WeightFormat::F32]);
    let unused = found.files.iter().filter(|file| file.purpose.is_none());
    let unused: Vec<_> = unused.map(|file| file.name.as_str()).collect();
    assert_eq!(
        unused,
        ["._encoder-model.onnx", "config.json", "list.txt", "nemo128.onnx", "vocab.txt"]
    );
}

#[test]
fn says_what_is_missing() {
    for (model, file, message) in [
        (onnx_asr("").without("encoder-model.onnx"), "encoder-model.onnx", "the encoder"),
        (
            onnx_asr(".int8").without("decoder_joint-model.int8.onnx"),
            "decoder_joint-model.int8.onnx",
            "the prediction network and joint",
        ),
        (onnx_asr("").without("vocab.txt"), "vocab.txt", "the vocabulary"),
        (sherpa("").without("encoder.onnx"), "encoder.onnx", "the encoder"),
        (sherpa(".int8").without("joiner.onnx"), "joiner.int8.onnx", "the joint"),
        (sherpa("").without("decoder.onnx"), "decoder.onnx", "the prediction network"),
        (sherpa("").without("tokens.txt"), "tokens.txt", "the vocabulary"),
    ] {
        assert_eq!(problem(&model), (file.to_owned(), format!("missing: {message}")));
    }
    let alone = sherpa("").without("decoder.onnx").without("joiner.onnx").inspect();
    assert_eq!((alone.layout, alone.problems.len()), (Layout::SherpaOnnx, 2), "{alone}");

    let damaged = &parakeet("onnx-asr/encoder-model.onnx")[..1000];
    let (file, message) = problem(&onnx_asr("").with("encoder-model.onnx", damaged));
    assert_eq!(file, "encoder-model.onnx");
    assert!(message.contains("damaged"), "{message}");
}

#[test]
fn reports_files_that_do_not_fit() {
    let joiner = |operator, encoded, scores| {
        network(operator, &[&[0, encoded, 0], &[0, 32, 0]], &[&[0, 0, 0, scores]])
    };
    let encoder = |features| network("Conv", &[&[0, features, 0], &[0]], &[&[0, 64, 0], &[0]]);
    for (model, file, message) in [
        (onnx_asr("").with("vocab.txt", vocabulary(80)), "vocab.txt", "80 symbols, but"),
        (onnx_asr("").with("vocab.txt", vocabulary(86)), "vocab.txt", "RNN-T"),
        (onnx_asr("").with("vocab.txt", "a 0\nb 2\n"), "vocab.txt", "missing"),
        (onnx_asr("").with("vocab.txt", "a 0\nb 0\n"), "vocab.txt", "missing"),
        (onnx_asr("").with("vocab.txt", "<blk> 0\nb 1\n"), "vocab.txt", "not the blank"),
        (
            onnx_asr("").with("words.txt", vocabulary(81)),
            "vocab.txt",
            "beside another one, words.txt",
        ),
        (
            sherpa("").with("joiner.onnx", joiner("MatMul", 65, 86)),
            "joiner.onnx",
            "65 values per encoded frame",
        ),
        (
            sherpa("").with("joiner.int8.onnx", joiner("MatMulInteger", 64, 87)),
            "joiner.onnx",
            "86 scores, but joiner.int8.onnx has 87",
        ),
        (onnx_asr("").with("encoder-model.onnx", encoder(80)), "encoder-model.onnx", "80 values"),
        (
            onnx_asr("").with("encoder.onnx", parakeet("onnx-asr/encoder-model.onnx")),
            "encoder.onnx",
            "a second encoder in f32, beside encoder-model.onnx",
        ),
        (
            onnx_asr("").with("joiner.onnx", parakeet("sherpa-onnx/joiner.onnx")),
            "joiner.onnx",
            "a joint in sherpa-onnx's layout",
        ),
    ] {
        let (found, cause) = problem(&model);
        assert_eq!(found, file, "{cause}");
        assert!(cause.contains(message), "{cause}");
    }
}

#[test]
fn floats_of_16_bits_are_a_problem() {
    let half = |name: &str| with_weight(parakeet(&format!("onnx-asr/{name}")), 10, 1 << 40, &[]);
    let model = onnx_asr(".int8").with("encoder.fp16.onnx", half("encoder-model.onnx"));
    let (file, message) = problem(&model);
    assert_eq!(file, "encoder.fp16.onnx");
    assert!(message.contains("16-bit floats"), "{message}");
}

#[test]
fn checks_files_of_weights() {
    let place = |file: &str| {
        let encoder = parakeet("onnx-asr/encoder-model.onnx");
        let written = with_weight(encoder, 1, 10, &[("location", file)]);
        let place = [("location", file), ("offset", "4096"), ("length", "400")];
        onnx_asr("").with("encoder-model.onnx", with_weight(written, 1, 100, &place))
    };
    let with = |bytes: usize| place("encoder.weights").with("encoder.weights", vec![0; bytes]);
    for bytes in [4496, 8192] {
        let found = with(bytes).inspect();
        assert!(found.is_usable(), "{found}");
        let weights = found.files.iter().find(|file| file.name == "encoder.weights").unwrap();
        assert_eq!(weights.purpose, Some("weights"));
    }
    for bytes in [4495, 100_000] {
        let (file, message) = problem(&with(bytes));
        assert_eq!(file, "encoder.weights");
        assert_eq!(message, format!("it has {bytes} bytes, but encoder-model.onnx has 4496 in it"));
    }
    let missing =
        ("encoder.weights".to_owned(), "missing: the weights of encoder-model.onnx".into());
    assert_eq!(problem(&place("encoder.weights")), missing);
    for file in ["", "..", "/etc/passwd", "../weights", "a/../../weights", "a\\b"] {
        let (network, message) = problem(&place(file));
        assert_eq!(network, "encoder-model.onnx");
        assert!(message.contains("not a file beside it"), "{message}");
    }
}

#[test]
fn huge_and_wrong_places_of_weights_are_errors() {
    let place = |offset: &str| {
        let encoder = parakeet("onnx-asr/encoder-model.onnx");
        let place = [("location", "w"), ("offset", offset)];
        let encoder = with_weight(encoder, 1, u64::MAX, &place);
        onnx_asr("").with("encoder-model.onnx", encoder).with("w", [0; 4])
    };
    assert!(problem(&place("1")).1.contains(&u64::MAX.to_string()));
    assert!(problem(&place("-1")).1.contains("not a number"));
}

#[test]
fn symbols_may_be_in_any_order() {
    let text = vocabulary(81);
    let mut lines: Vec<&str> = text.lines().rev().collect();
    lines.insert(7, "");
    let text = format!("\u{feff}{}", lines.join("\r\n"));
    let found = onnx_asr("").with("vocab.txt", text).inspect();
    assert!(found.is_usable(), "{found}");
}

#[test]
fn the_vocabulary_tells_the_languages() {
    let languages =
        |symbols| onnx_asr("").with("vocab.txt", vocabulary(symbols)).inspect().languages;
    let catalogue = Catalogue::builtin();
    let known = |name| catalogue.get(name).unwrap().languages.clone();
    assert_eq!(languages(1025), known("parakeet-tdt-0.6b-v2"));
    assert_eq!(languages(8193), known("parakeet-tdt-0.6b-v3"));
    assert_eq!(languages(81), Vec::<String>::new());
}
