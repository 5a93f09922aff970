//! Decoding of the encoder's outputs against onnx-asr's.

use engine::{OnnxFile, Precision};

use super::{CLIPS, Text, arrays, reference};
use crate::{
    fixtures,
    parakeet::{
        decode::{Token, greedy},
        decoder::{Decoder, DecoderFiles},
    },
};

/// Opens a decoder: `suffix` is "" or ".int8".
fn open(layout: &str, suffix: &str, precision: Precision) -> Decoder {
    let file = |name: &str| {
        let path = fixtures::path(&format!("parakeet/{layout}/{name}{suffix}.onnx"));
        OnnxFile::read(&path).expect("readable")
    };
    let files = match layout {
        "onnx-asr" => DecoderFiles::Joined(file("decoder_joint-model")),
        _ => DecoderFiles::Separate { prediction: file("decoder"), joint: file("joiner") },
    };
    Decoder::open(&files, precision).expect("a decoder")
}

fn decode(decoder: &Decoder, frames: &[f32]) -> Vec<Token> {
    let count = frames.len() / decoder.frame_width();
    greedy(&mut decoder.segment(frames), count, decoder.blank(), &[]).expect("finite")
}

/// Decodes all clips, and returns the worst difference of a log-probability.
fn worst_difference(decoder: &Decoder, kind: &str) -> f32 {
    let (outputs, reference) = (arrays("reference.npz"), reference());
    let mut worst = 0f32;
    for name in CLIPS {
        let clip = &reference[name];
        let Text { tokens, frames, durations, log_probabilities, .. } =
            if kind == "f32" { &clip.f32 } else { &clip.int8 };
        let encoded = outputs[&*format!("{name}.encoder.{kind}")].f32();
        // Frames after the length are padding.
        let found = decode(decoder, &encoded[..clip.encoder_length * decoder.frame_width()]);
        let ids: Vec<_> = found.iter().map(|token| token.id).collect();
        assert_eq!(&ids, tokens, "{name}");
        assert_eq!(&found.iter().map(|token| token.frame).collect::<Vec<_>>(), frames, "{name}");
        let found_durations: Vec<_> = found.iter().map(|token| token.duration).collect();
        assert_eq!(&found_durations, durations, "{name}");
        for (token, expected) in found.iter().zip(log_probabilities) {
            worst = worst.max((token.log_probability - expected).abs());
        }
    }
    worst
}

#[test]
fn float_files_decode_as_onnx_asr_does() {
    for layout in ["onnx-asr", "sherpa-onnx"] {
        let worst = worst_difference(&open(layout, "", Precision::F32), "f32");
        assert!(worst <= 1e-3, "{layout}: off by {worst}");
    }
}

#[test]
fn quantized_files_decode_as_onnx_asr_does() {
    for layout in ["onnx-asr", "sherpa-onnx"] {
        let worst = worst_difference(&open(layout, ".int8", Precision::Int8), "int8");
        assert!(worst <= 1e-2, "{layout}: off by {worst}");
    }
}
