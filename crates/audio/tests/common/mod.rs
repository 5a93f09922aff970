//! Shared by the tests of this crate: fixtures, test signals, and comparison of signals.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod mkv;
pub mod mp4;
pub mod ogg;

use std::f64::consts::TAU;
use std::io::Cursor;
use std::path::PathBuf;
use std::time::Duration;

use audio::{Block, ChannelMode, DecodeOptions, Decoder, Error, Info, Limits, MediaSource, Report};

pub const RATE: f64 = 16_000.0;

pub fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/audio")
}

pub fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(fixtures().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

pub fn options(channels: ChannelMode) -> DecodeOptions {
    DecodeOptions {
        limits: Limits {
            max_bytes: 1 << 40,
            max_duration: Duration::from_secs(100 * 3600),
            max_channels: 64,
            ..Limits::default()
        },
        channels,
        ..DecodeOptions::default()
    }
}

pub fn mix() -> DecodeOptions {
    options(ChannelMode::Mix)
}

#[derive(Debug)]
pub struct Decoded {
    pub info: Info,
    pub report: Report,
    pub channels: Vec<Vec<f32>>,
}

impl Decoded {
    pub fn seconds(&self) -> f64 {
        self.channels[0].len() as f64 / RATE
    }
}

pub fn decode_source(
    source: Box<dyn MediaSource>,
    options: &DecodeOptions,
) -> Result<Decoded, Error> {
    let mut decoder = Decoder::open(source, options)?;
    let mut channels = vec![Vec::new(); decoder.output_channels()];
    let mut block = Block::default();
    while decoder.next_block(&mut block)? {
        assert_eq!(block.channels.len(), channels.len());
        for (all, new) in channels.iter_mut().zip(&block.channels) {
            assert_eq!(new.len(), block.channels[0].len(), "channels of one length");
            all.extend_from_slice(new);
        }
    }
    assert!(!decoder.next_block(&mut block)?, "no block follows the end");
    Ok(Decoded { info: decoder.info().clone(), report: decoder.report().clone(), channels })
}

pub fn decode(bytes: impl Into<Vec<u8>>, options: &DecodeOptions) -> Result<Decoded, Error> {
    decode_source(Box::new(Cursor::new(bytes.into())), options)
}

/// Returns the sweep that the fixtures contain, at 16 kHz.
pub fn sweep(samples: usize) -> Vec<f32> {
    delayed_sweep(samples, 0.0)
}

/// Returns the sweep after `delay` seconds of silence.
pub fn delayed_sweep(samples: usize, delay: f64) -> Vec<f32> {
    let at = |t: f64| 0.5 * (TAU * (300.0 * t + 1350.0 * t * t)).sin();
    (0..samples).map(|n| at((n as f64 / RATE - delay).max(0.0)) as f32).collect()
}

pub fn tone(hz: f64, rate: f64, samples: usize) -> Vec<f32> {
    (0..samples).map(|n| 0.5 * (TAU * hz * n as f64 / rate).sin() as f32).collect()
}

/// The similarity of two signals at the best lag.
#[derive(Debug)]
pub struct Match {
    /// Delay of the second signal in samples.
    pub lag: isize,
    pub correlation: f64,
    pub gain: f64,
}

/// Finds the lag, up to `max_lag`, at which `decoded` correlates best with `original`. Ignores the
/// ends, where codecs fade.
pub fn find(original: &[f32], decoded: &[f32], max_lag: usize) -> Match {
    let (start, end) = (max_lag, original.len().min(decoded.len()) - max_lag);
    let at = |lag: isize| {
        let (mut xy, mut xx, mut yy) = (0.0, 0.0, 1e-12);
        for n in start..end {
            let (x, y) = (f64::from(original[n]), f64::from(decoded[n.wrapping_add_signed(lag)]));
            (xy, xx, yy) = (xy + x * y, xx + x * x, yy + y * y);
        }
        Match { lag, correlation: xy / (xx * yy).sqrt(), gain: xy / xx }
    };
    let max = max_lag as isize;
    (-max..=max).map(at).max_by(|a, b| a.correlation.total_cmp(&b.correlation)).unwrap()
}

pub fn rms(samples: &[f32]) -> f64 {
    let power: f64 = samples.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    (power / samples.len().max(1) as f64).sqrt()
}

/// Encodes `planes` as a 32-bit float WAV.
pub fn wav(rate: u32, planes: &[Vec<f32>]) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: planes.len() as u16,
        sample_rate: rate,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut bytes = Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
    for n in 0..planes[0].len() {
        for plane in planes {
            writer.write_sample(plane[n]).unwrap();
        }
    }
    writer.finalize().unwrap();
    bytes.into_inner()
}

/// Returns a WAV header with the given values, valid or not.
pub fn wav_header(tag: u16, channels: u16, rate: u32, bits: u16, riff: u32, data: u32) -> Vec<u8> {
    let align = channels * bits.div_ceil(8);
    let mut header = Vec::new();
    header.extend_from_slice(b"RIFF");
    header.extend_from_slice(&riff.to_le_bytes());
    header.extend_from_slice(b"WAVEfmt \x10\0\0\0");
    header.extend_from_slice(&tag.to_le_bytes());
    header.extend_from_slice(&channels.to_le_bytes());
    header.extend_from_slice(&rate.to_le_bytes());
    header.extend_from_slice(&rate.wrapping_mul(u32::from(align)).to_le_bytes());
    header.extend_from_slice(&align.to_le_bytes());
    header.extend_from_slice(&bits.to_le_bytes());
    header.extend_from_slice(b"data");
    header.extend_from_slice(&data.to_le_bytes());
    header
}

/// Returns the peak memory of this process in megabytes.
pub fn peak_megabytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) / 1024
}
