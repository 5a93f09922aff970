//! Paraformer against ONNX Runtime and `funasr_onnx`. The READMEs in `tests/fixtures/funasr` and
//! `tests/fixtures/words` describe how the references were made.

mod directories;
mod networks;
mod words;

use std::fs;

use audio::{Block, DecodeOptions, Decoder};

use crate::fixtures;

/// Reads a file of one of the small models.
fn model_file(model: &str, file: &str) -> Vec<u8> {
    fixtures::gunzip(&format!("funasr/{model}/{file}.gz"))
}

/// Decodes a recording of the fixture `words`.
fn clip(name: &str) -> Vec<f32> {
    let path = fixtures::path(&format!("words/audio/{name}.flac"));
    let source = Box::new(fs::File::open(path).unwrap());
    let options = DecodeOptions::default();
    let mut decoder = Decoder::open(source, &options).unwrap();
    let (mut block, mut samples) = (Block::default(), Vec::new());
    while decoder.next_block(&mut block).unwrap() {
        samples.extend_from_slice(&block.channels[0]);
    }
    samples
}
