//! Decoding of the encoder's outputs against onnx-asr's.

use engine::{OnnxFile, Precision};

use super::{CLIPS, Text, arrays, reference};
use crate::{
    fixtures,
    parakeet::{
        decode::{Token, greedy},
        decoder::{Decoder, DecoderFiles},
        script::Masks,
        words::said,
    },
};

/// Opens a decoder: `suffix` is "" or ".int8".
fn open(layout: &str, suffix: &str, precision: Precision) -> Decoder {
    let file = |name: &str| {
        let path = fixtures::path(&format!("parakeet/{layout}/{name}{suffix}.onnx"));
        OnnxFile::read(&path).expect("readable")
    };
    let files = match layout {
        "onnx-asr" => DecoderFiles { prediction: file("decoder_joint-model"), joint: None },
        _ => DecoderFiles { prediction: file("decoder"), joint: Some(file("joiner")) },
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

/// Other precisions than the files' own are close, and hear the same in most places.
#[test]
fn rounded_and_quantized_weights_are_close() {
    for (precision, tolerance) in [(Precision::Bf16, 0.1), (Precision::Int8, 0.25)] {
        let decoder = open("onnx-asr", "", precision);
        let encoded = arrays("reference.npz")["short.encoder.f32"].f32();
        let found = decode(&decoder, &encoded);
        let expected = &reference()["short"].f32;
        let ids: Vec<_> = found.iter().map(|token| token.id).collect();
        assert_eq!(ids, expected.tokens, "{precision}");
        for (token, expected) in found.iter().zip(&expected.log_probabilities) {
            let difference = (token.log_probability - expected).abs();
            assert!(difference < tolerance, "{precision}: {difference}");
        }
    }
}

#[test]
fn a_language_has_its_script() {
    let vocabulary = crate::parakeet::files::vocabulary(&fixtures::path("parakeet/onnx-asr"), 80);
    let vocabulary = vocabulary.expect("a vocabulary");
    let decoder = open("onnx-asr", "", Precision::F32);
    let encoded = arrays("reference.npz")["sentence.encoder.f32"].f32();
    let count = encoded.len() / decoder.frame_width();
    let text = |language: Option<&str>| {
        let masks = Masks::new(vocabulary.pieces());
        let forbidden = masks.forbidden(language);
        let tokens = greedy(&mut decoder.segment(&encoded), count, decoder.blank(), forbidden);
        said(&tokens.expect("finite"), vocabulary.pieces(), 0.0, 3.29).text
    };
    let is_cyrillic = |c: char| ('\u{400}'..='\u{4FF}').contains(&c);
    let free = text(None);
    assert!(free.contains(is_cyrillic) && free.contains('ü'), "{free}");
    let english = text(Some("en"));
    assert!(!english.is_empty() && !english.contains(is_cyrillic), "{english}");
    let russian = text(Some("ru"));
    assert!(russian.contains(is_cyrillic) && !russian.contains(|c: char| c.is_ascii_alphabetic()));
}
