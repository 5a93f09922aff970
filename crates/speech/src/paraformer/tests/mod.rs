//! Against ONNX Runtime and `funasr_onnx`; how the references were made is written beside them, in
//! `tests/fixtures/funasr` and `tests/fixtures/words`.

mod directories;
mod networks;
mod words;

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    time::Duration,
};

use audio::{Block, ChannelMode, DecodeOptions, Decoder, Limits};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// A file of one of the small models.
fn unpacked(model: &str, file: &str) -> Vec<u8> {
    let path = fixtures().join("funasr").join(model).join(format!("{file}.gz"));
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&*fs::read(path).unwrap()).read_to_end(&mut bytes).unwrap();
    bytes
}

/// The samples of a recording of `words`.
fn clip(name: &str) -> Vec<f32> {
    let path = fixtures().join(format!("words/audio/{name}.flac"));
    let source = Box::new(fs::File::open(path).unwrap());
    let limits =
        Limits { max_bytes: 1 << 30, max_duration: Duration::from_secs(60), max_channels: 1 };
    let options = DecodeOptions { limits, channels: ChannelMode::Mix, allow_truncated: false };
    let mut decoder = Decoder::open(source, &options).unwrap();
    let (mut block, mut samples) = (Block::default(), Vec::new());
    while decoder.next_block(&mut block).unwrap() {
        samples.extend_from_slice(&block.channels[0]);
    }
    samples
}
