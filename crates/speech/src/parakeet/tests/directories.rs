//! Model directories: what is found in them, and what is refused.

use std::{fs, path::Path};

use engine::Precision;
use errors::Chain;
use tempfile::TempDir;

use crate::{
    fixtures,
    parakeet::{
        decoder::{Decoder, DecoderFiles},
        files::{Files, vocabulary},
    },
    recognizer::Error,
};

/// Makes a directory of fixtures: pairs of a new name and the path of a fixture.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().expect("directory");
    for (name, fixture) in files {
        let from = fixtures::path("parakeet").join(fixture);
        fs::copy(from, directory.path().join(name)).expect(name);
    }
    directory
}

/// Returns the names of the files of the encoder and the decoder for a precision.
fn found(directory: &Path, precision: Precision) -> Result<Vec<String>, String> {
    let list = || {
        let mut files = Files::list(directory)?;
        let encoder = files.encoder(precision)?.path().to_owned();
        Ok(std::iter::once(encoder).chain(files.decoder(precision)?.paths()))
    };
    let paths = list().map_err(|error: Error| Chain(&error).to_string())?;
    Ok(paths.map(|path| path.file_name().expect("a name").display().to_string()).collect())
}

const ONNX_ASR: [(&str, &str); 5] = [
    ("a.onnx", "onnx-asr/decoder_joint-model.int8.onnx"),
    ("b.onnx", "onnx-asr/encoder-model.int8.onnx"),
    ("c.onnx", "onnx-asr/decoder_joint-model.onnx"),
    ("d.onnx", "onnx-asr/encoder-model.onnx"),
    ("e.txt", "onnx-asr/vocab.txt"),
];
const SHERPA: [(&str, &str); 6] = [
    ("a.onnx", "sherpa-onnx/joiner.int8.onnx"),
    ("b.onnx", "sherpa-onnx/decoder.int8.onnx"),
    ("c.onnx", "onnx-asr/encoder-model.int8.onnx"),
    ("d.onnx", "sherpa-onnx/joiner.onnx"),
    ("e.onnx", "sherpa-onnx/decoder.onnx"),
    ("f.onnx", "onnx-asr/encoder-model.onnx"),
];

#[test]
fn files_are_found_by_what_they_hold() {
    let both = directory(&ONNX_ASR);
    for precision in Precision::ALL {
        assert_eq!(found(both.path(), precision).expect("floats"), ["d.onnx", "c.onnx"]);
    }
    let both = directory(&SHERPA);
    for precision in Precision::ALL {
        assert_eq!(found(both.path(), precision).expect("floats"), ["f.onnx", "e.onnx", "d.onnx"]);
    }
    let quantized = directory(&SHERPA[..3]);
    assert_eq!(
        found(quantized.path(), Precision::Int8).expect("quantized"),
        ["c.onnx", "b.onnx", "a.onnx"]
    );
    for precision in [Precision::F32, Precision::Bf16] {
        let message = found(quantized.path(), precision).expect_err("no floats");
        assert!(message.contains("c.onnx: is quantized, but"), "{message}");
        assert!(message.contains("set the precision to auto or int8"), "{message}");
    }
}

#[test]
fn what_is_missing_is_said() {
    let message =
        |directory: &TempDir| found(directory.path(), Precision::Int8).expect_err("lacks");
    let empty = directory(&[]);
    assert!(message(&empty).contains("holds no encoder of Parakeet-TDT"), "{}", message(&empty));
    let other = directory(&[("model.onnx", "sherpa-onnx/joiner.onnx"), ONNX_ASR[3]]);
    assert!(message(&other).contains("holds no decoder"), "{}", message(&other));
    // A file that cannot be read may be the one.
    fs::write(other.path().join("broken.onnx"), "no ONNX").expect("write");
    assert!(
        message(&other).contains("broken.onnx: is not a usable ONNX model"),
        "{}",
        message(&other)
    );
    let twice = directory(&[ONNX_ASR[3], ("z.onnx", "onnx-asr/encoder-model.onnx")]);
    let found = message(&twice);
    assert!(found.contains("several encoder") && found.contains("z.onnx"), "{found}");
    assert!(Files::list(Path::new("/no/such/directory")).is_err());
}

#[test]
fn the_vocabulary_has_the_size_of_the_network() {
    let files = directory(&ONNX_ASR[4..]);
    for (name, text) in [("a.txt", "Read me.\n"), ("b.txt", "a 0\nb 1\n<blk> 2\n")] {
        fs::write(files.path().join(name), text).expect("write");
    }
    let found = vocabulary(files.path(), 80).expect("a vocabulary");
    assert!(found.path().ends_with("e.txt") && found.pieces().len() == 80);
    let message = vocabulary(files.path(), 81).expect_err("another size").to_string();
    assert!(message.contains("holds 80 pieces, but the network has 81"), "{message}");
    let message = vocabulary(directory(&[]).path(), 80).expect_err("none").to_string();
    assert!(message.contains("holds no vocabulary"), "{message}");
}

/// Opens what a damaged file still is.
fn open(path: &Path) {
    let Ok(mut files) = path.parent().map_or_else(|| unreachable!(), Files::list) else { return };
    for precision in Precision::ALL {
        if let Ok(files) = files.decoder(precision)
            && let Ok(decoder) = Decoder::open(&files, precision)
        {
            let frames = vec![0.5; 2 * decoder.frame_width()];
            // What it computes is of no interest.
            let _ = crate::parakeet::decode::greedy(
                &mut decoder.segment(&frames),
                2,
                decoder.blank(),
                &[],
            );
        }
    }
}

#[test]
fn damaged_files_do_not_panic() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("decoder.onnx");
    for name in ["onnx-asr/decoder_joint-model.onnx", "onnx-asr/decoder_joint-model.int8.onnx"] {
        let bytes = fs::read(fixtures::path("parakeet").join(name)).expect(name);
        let mut seed = 1u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % below
        };
        for round in 0..150 {
            let mut damaged = bytes.clone();
            if round % 5 == 0 {
                damaged.truncate(random(bytes.len()));
            } else {
                // Most of the graph is at both ends; the rest is weights.
                let at = if round % 2 == 0 { random(9000) } else { bytes.len() - 1 - random(9000) };
                damaged[at] = random(256) as u8;
            }
            fs::write(&path, &damaged).expect("write");
            open(&path);
        }
    }
}

#[test]
fn parts_of_different_models_are_refused() {
    let read = |name: &str| {
        engine::OnnxFile::read(&fixtures::path("parakeet").join(name)).expect("readable")
    };
    let files = DecoderFiles {
        prediction: read("sherpa-onnx/decoder.onnx"),
        joint: Some(read("sherpa-onnx/decoder.onnx")),
    };
    let message = Decoder::open(&files, Precision::F32).err().expect("no joint").to_string();
    assert!(message.contains("is not a network like Parakeet-TDT's"), "{message}");
    let files = DecoderFiles { prediction: read("sherpa-onnx/joiner.onnx"), joint: None };
    let message = Decoder::open(&files, Precision::F32).err().expect("no LSTM").to_string();
    assert!(message.contains("it has no LSTM"), "{message}");
}
