//! The estimate of a transcription's memory, compared with what is allocated.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::{io::Cursor, sync::Arc};

use speech::{
    pipeline::{Models, Pipeline, PipelineConfig, Session, TranscribeOptions},
    recognizer::FakeRecognizer,
    vad::EnergyVad,
};
use support::{InlineCompute, fixture};

/// Returns the bytes that a transcription holds at most, and the estimate.
fn measured(seconds: usize, channels: u16, split: bool) -> (u64, u64) {
    let sentence = std::fs::read(fixture("speech/sentence.wav")).unwrap()[44..].to_vec();
    let samples = sentence.chunks_exact(2).cycle().take(seconds * 16_000);
    let data: Vec<u8> = samples.flat_map(|sample| sample.repeat(channels.into())).collect();
    let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0".to_vec();
    wav.extend(channels.to_le_bytes());
    wav.extend(16_000_u32.to_le_bytes());
    wav.extend((32_000 * u32::from(channels)).to_le_bytes());
    wav.extend((2 * channels).to_le_bytes());
    wav.extend(b"\x10\0data");
    wav.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    wav.extend(data);

    let three_words_a_second =
        |seconds| vec!["antidisestablishmentarianism"; (seconds * 3.0) as usize].join(" ");
    let models = Models {
        vad: Arc::new(EnergyVad),
        recognizer: Arc::new(FakeRecognizer::new("talkative", three_words_a_second)),
        punctuator: None,
        diarizer: None,
        normalizer: None,
    };
    let pipeline = Pipeline::new(models, PipelineConfig::default(), Arc::new(InlineCompute));
    let mode = if split { audio::ChannelMode::Split } else { audio::ChannelMode::Mix };
    let decoding = audio::DecodeOptions { channels: mode, ..audio::DecodeOptions::default() };
    let options = TranscribeOptions::default();
    let (mut estimate, mut text) = (0, 0);
    let counted = allocation_counter::measure(|| {
        let decoder = audio::Decoder::open(Box::new(Cursor::new(wav)), &decoding).unwrap();
        estimate = pipeline.memory_estimate(&decoder, &options);
        let session = Arc::new(Session::default());
        let outcome = pipeline.transcribe(decoder, &options, &session).unwrap();
        text = outcome.segments.iter().map(|segment| segment.text.len()).sum::<usize>();
    });
    assert!(text > seconds * 10, "it was speech");
    // The recording itself is freed within the measurement, and was allocated outside.
    (counted.bytes_max, estimate)
}

#[test]
fn the_estimate_is_near_to_what_is_allocated_and_not_below() {
    for (seconds, channels, split) in
        [(10, 1, false), (600, 1, false), (600, 2, true), (300, 6, false), (3600, 1, false)]
    {
        let (peak, estimate) = measured(seconds, channels, split);
        let case = format!("{seconds} s, {channels} channels, split {split}");
        println!("{case}: {peak} of {estimate}");
        assert!(peak <= estimate, "{case}: {peak} allocated, {estimate} estimated");
        assert!(estimate <= 12 * peak, "{case}: {peak} allocated, {estimate} estimated");
    }
}
