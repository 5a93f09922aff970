//! Recordings: from the bytes of a file to PCM, through the container, the codec, the channels and the resampler.

use std::{io::Cursor, time::Duration};

use ::audio::{Block, ChannelMode, DecodeOptions, Decoder, Error, Limits, SAMPLE_RATE};

/// A small file may describe hours of silence, which take long to fill.
const MAX_SECONDS: u64 = 20;
/// The end of a block and the delay of the resampler.
const TOLERATED_SECONDS: f64 = 2.5;

/// Decodes a file in the ways in which jobs are run.
pub fn audio(bytes: &[u8]) {
    let Ok(channels) = decode(bytes, ChannelMode::Mix, true) else { return };
    if channels > 1 {
        // Refused or not, both end.
        let _ = decode(bytes, ChannelMode::Split, false);
        let _ = decode(bytes, ChannelMode::Auto, true);
    }
}

/// Decodes a file to its end, and returns the number of channels that it has.
fn decode(bytes: &[u8], channels: ChannelMode, allow_truncated: bool) -> Result<usize, Error> {
    let limits = Limits {
        max_bytes: 1 << 20,
        max_duration: Duration::from_secs(MAX_SECONDS),
        max_channels: 8,
        max_packet_bytes: 1 << 20,
    };
    let options = DecodeOptions { limits, channels, allow_truncated, ..DecodeOptions::default() };
    let mut decoder = Decoder::open(Box::new(Cursor::new(bytes.to_vec())), &options)?;
    let outputs = decoder.output_channels();
    assert!((1..=8).contains(&outputs), "{outputs} channels");
    let (mut block, mut samples) = (Block::default(), 0);
    while decoder.next_block(&mut block)? {
        assert_eq!(block.channels.len(), outputs);
        let length = block.channels[0].len();
        assert!(length > 0, "an empty block");
        samples += length;
        for channel in &block.channels {
            assert_eq!(channel.len(), length, "channels differ in length");
            assert!(channel.iter().all(|sample| sample.abs() <= 1.0), "a sample beyond 1");
        }
    }
    assert!(!decoder.next_block(&mut block)?, "a block follows the end");
    let (seconds, report) = (samples as f64 / f64::from(SAMPLE_RATE), decoder.report());
    assert!(report.duration.is_finite() && report.duration <= MAX_SECONDS as f64);
    assert!(
        (seconds - report.duration).abs() < TOLERATED_SECONDS,
        "{seconds} s of PCM, {} s reported",
        report.duration
    );
    assert!(report.warnings.len() < 100, "{} warnings", report.warnings.len());
    Ok(decoder.info().channels)
}
