//! Every format decodes to the sound that was encoded, without a shift in time.
#![allow(clippy::unwrap_used)]

mod common;

use audio::{ChannelMode, Error};
use common::*;

/// Expected properties of a decoded fixture.
struct Expected {
    file: &'static str,
    container: &'static str,
    codec: &'static str,
    rate: u32,
    channels: usize,
    seconds: f64,
    coding: Coding,
}

enum Coding {
    Lossless,
    /// Eight bits a sample, or four: noise, but no shift in time.
    Coarse,
    /// Lossy; the header contains the encoder's delay.
    Lossy,
    /// Lossy; the encoder's delay, in frames, is in no header that the decoder reads.
    Delayed(u32),
}

const fn expect(
    file: &'static str,
    (container, codec): (&'static str, &'static str),
    (rate, channels): (u32, usize),
    seconds: f64,
    coding: Coding,
) -> Expected {
    Expected { file, container, codec, rate, channels, seconds, coding }
}

use Coding::*;

/// ffmpeg's AAC encoder begins with an empty frame.
const AAC: Coding = Delayed(1024);
/// LAME's 576 frames and the 529 of every decoder (LAME's tech FAQ).
const LAME: Coding = Delayed(576 + 529);
/// The polyphase filter bank of encoder and decoder (mpegaudioenc: 512 - 32 + 1).
const MP2: Coding = Delayed(481);

const ALL: &[Expected] = &[
    expect("wav-u8.wav", ("wav", "pcm_u8"), (8000, 1), 0.5, Coarse),
    expect("wav-s16le.wav", ("wav", "pcm_s16le"), (8000, 1), 0.5, Lossless),
    expect("wav-s24le.wav", ("wav", "pcm_s24le"), (8000, 1), 0.5, Lossless),
    expect("wav-s32le.wav", ("wav", "pcm_s32le"), (8000, 1), 0.5, Lossless),
    expect("wav-f32le.wav", ("wav", "pcm_f32le"), (8000, 1), 0.5, Lossless),
    expect("wav-f64le.wav", ("wav", "pcm_f64le"), (8000, 1), 0.5, Lossless),
    expect("wav-alaw.wav", ("wav", "pcm_alaw"), (8000, 1), 0.5, Coarse),
    expect("wav-mulaw.wav", ("wav", "pcm_mulaw"), (8000, 1), 0.5, Coarse),
    expect("wav-adpcm-ms.wav", ("wav", "adpcm_ms"), (8000, 1), 0.5, Coarse),
    expect("wav-adpcm-ima.wav", ("wav", "adpcm_ima_wav"), (8000, 1), 0.5, Coarse),
    expect("wav-rf64.wav", ("wav", "pcm_s16le"), (8000, 1), 0.5, Lossless),
    expect("flac.flac", ("flac", "flac"), (16000, 1), 1.0, Lossless),
    expect("ogg-flac.ogg", ("ogg", "flac"), (16000, 1), 0.5, Lossless),
    expect("alac.m4a", ("mp4", "alac"), (16000, 1), 0.5, Lossless),
    expect("alac.caf", ("caf", "alac"), (16000, 1), 0.5, Lossless),
    expect("caf-s16be.caf", ("caf", "pcm_s16be"), (8000, 1), 0.5, Lossless),
    expect("caf-alaw.caf", ("caf", "pcm_alaw"), (8000, 1), 0.5, Coarse),
    expect("aiff-s16be.aiff", ("aiff", "pcm_s16be"), (8000, 1), 0.5, Lossless),
    expect("mp3-cbr-id3.mp3", ("mp3", "mp3"), (44100, 2), 1.0, Lossy),
    expect("mp3-16k.mp3", ("mp3", "mp3"), (16000, 1), 1.0, Lossy),
    expect("mp3-vbr-no-xing.mp3", ("mp3", "mp3"), (44100, 1), 1.0, LAME),
    expect("mp3.mp4", ("mp4", "mp3"), (44100, 1), 1.0, Lossy),
    expect("mp2.mp2", ("mp2", "mp2"), (44100, 1), 1.0, MP2),
    expect("vorbis.ogg", ("ogg", "vorbis"), (44100, 2), 1.0, Lossy),
    expect("vorbis.webm", ("webm", "vorbis"), (48000, 1), 1.0, Lossy),
    expect("opus.ogg", ("ogg", "opus"), (48000, 2), 1.0, Lossy),
    expect("opus.webm", ("webm", "opus"), (48000, 1), 1.0, Lossy),
    expect("opus.mp4", ("mp4", "opus"), (48000, 1), 1.0, Lossy),
    expect("aac.aac", ("aac", "aac"), (44100, 2), 1.0, AAC),
    expect("aac.m4a", ("mp4", "aac"), (44100, 2), 1.0, Lossy),
    expect("aac-faststart.m4a", ("mp4", "aac"), (16000, 1), 1.0, Lossy),
    expect("aac-fragmented.mp4", ("mp4", "aac"), (44100, 1), 1.0, AAC),
    expect("video.mp4", ("mp4", "aac"), (44100, 1), 1.0, Lossy),
];

fn check(expected: &Expected, decoded: &Decoded) {
    let Expected { file, coding, seconds, .. } = expected;
    // Range of the lag in samples, maximum difference in seconds, minimum correlation, maximum error
    // of the gain.
    let (lags, max_difference, correlation, gain) = match coding {
        Lossless => (0..=0, 1.0 / RATE, 0.9999, 0.01),
        Coarse => (0..=0, 0.07, 0.99, 0.05),
        // ffmpeg's AAC encoder is noisy with sweeps; ffmpeg's own decoder gives the same.
        Lossy => (-5..=5, 0.03, 0.95, 0.1),
        Delayed(_) => (-5..=5, 0.1, 0.94, 0.1),
    };
    let delay = if let Delayed(frames) = coding { f64::from(*frames) } else { 0.0 };
    let original = delayed_sweep(16_000, delay / f64::from(expected.rate));
    let found = find(&original, &decoded.channels[0], 850);
    assert!(lags.contains(&found.lag), "{file}: {found:?}");
    assert!(found.correlation > correlation, "{file}: {found:?}");
    assert!((found.gain - 1.0).abs() < gain, "{file}: {found:?}");
    let difference = decoded.seconds() - seconds;
    assert!(difference.abs() <= max_difference, "{file}: {} s", decoded.seconds());
    assert!((decoded.report.duration - decoded.seconds()).abs() < 1e-3, "{file}");
    assert_eq!(decoded.report.warnings, Vec::<String>::new(), "{file}");
    assert!(decoded.report.bytes_read > 0);
}

#[test]
fn every_format_decodes_to_the_encoded_sound() {
    for expected in ALL {
        let decoded = decode(fixture(expected.file), &mix())
            .unwrap_or_else(|e| panic!("{}: {e}", expected.file));
        let Expected { file, container, codec, rate, channels, .. } = expected;
        let info = &decoded.info;
        assert_eq!((&*info.container, &*info.codec), (*container, *codec), "{file}");
        assert_eq!((info.sample_rate, info.channels), (*rate, *channels), "{file}");
        if let Some(declared) = info.declared_duration {
            assert!((declared - expected.seconds).abs() < 0.1, "{file}: {declared}");
        }
        check(expected, &decoded);
    }
}

#[test]
fn channels_can_be_split() {
    for expected in ALL.iter().filter(|e| e.channels == 2) {
        let decoded = decode(fixture(expected.file), &options(ChannelMode::Split)).unwrap();
        assert_eq!(decoded.channels.len(), 2);
        check(expected, &decoded);
    }
    let (left, right) = (tone(440.0, 44_100.0, 44_100), tone(1000.0, 44_100.0, 44_100));
    let stereo = wav(44_100, &[left, right]);
    let split = decode(stereo.clone(), &options(ChannelMode::Split)).unwrap();
    for (channel, hz) in split.channels.iter().zip([440.0, 1000.0]) {
        let found = find(&tone(hz, RATE, 16_000), channel, 4);
        assert!(found.lag == 0 && found.correlation > 0.9999, "{hz}: {found:?}");
    }
    let mixed = decode(stereo, &mix()).unwrap();
    for (n, sample) in mixed.channels[0].iter().enumerate() {
        let average = (split.channels[0][n] + split.channels[1][n]) / 2.0;
        assert!((sample - average).abs() < 1e-5);
    }
}

#[test]
fn eight_channels_at_192_khz() {
    let bytes = fixture("wav-192k-8ch.wav");
    let decoded = decode(bytes.clone(), &options(ChannelMode::Split)).unwrap();
    assert_eq!((decoded.info.sample_rate, decoded.info.channels), (192_000, 8));
    assert_eq!(decoded.channels.len(), 8);
    for channel in &decoded.channels {
        assert_eq!(channel.len(), 320);
        let found = find(&sweep(320), channel, 4);
        assert!(found.lag == 0 && found.correlation > 0.99, "{found:?}");
    }
    assert_eq!(decode(bytes, &mix()).unwrap().channels.len(), 1);
}

#[test]
fn the_format_is_detected_behind_a_tag_and_junk() {
    // An ID3v2 tag with a "picture" of bytes that look like MP3 frames, then junk.
    let mut bytes = b"ID3\x04\0\0\0\0\x10\x0aAPIC\0\0\x10\0\0\0".to_vec();
    bytes.resize(10 + 16 * 128 + 10, 0xff);
    bytes.extend_from_slice(b"some junk");
    bytes.extend(fixture("mp3-16k.mp3"));
    let decoded = decode(bytes, &mix()).unwrap();
    assert_eq!(decoded.info.codec, "mp3");
    assert!((decoded.seconds() - 1.0).abs() < 0.05);
}

#[test]
fn he_aac_decodes_to_its_core() {
    // The fixture with the AudioSpecificConfig of explicit HE-AAC: AOT 5, the core's rate, mono,
    // twice the rate, AOT 2.
    let mut bytes = fixture("aac-faststart.m4a");
    let lc = [0x14, 0x08, 0x56, 0xe5, 0x00];
    let at = bytes.windows(5).position(|window| window == lc).unwrap();
    bytes[at..at + 5].copy_from_slice(&[0x2c, 0x0a, 0x88, 0x00, 0x00]);
    let decoded = decode(bytes, &mix()).unwrap();
    let found = find(&sweep(16_000), &decoded.channels[0], 1100);
    assert!(found.correlation > 0.97, "{found:?}");
}

#[test]
fn unsupported_codecs_are_named() {
    for (file, name) in [("ac3.mkv", "AC-3"), ("wav-gsm.wav", "GSM 6.10")] {
        match decode(fixture(file), &mix()) {
            Err(Error::UnsupportedCodec { codec, .. }) => assert!(codec.contains(name), "{codec}"),
            other => panic!("{file}: {other:?}"),
        }
    }
}

#[test]
fn a_video_without_sound_has_no_audio_track() {
    for (file, expected) in [("silent-video.mp4", "mp4"), ("silent-video.webm", "webm")] {
        match decode(fixture(file), &mix()) {
            Err(Error::NoAudioTrack { container }) => assert_eq!(container, expected),
            other => panic!("{file}: {other:?}"),
        }
    }
}

#[test]
fn chained_ogg_is_one_recording() {
    let mut bytes = fixture("vorbis.ogg");
    bytes.extend(fixture("opus.ogg"));
    let decoded = decode(bytes, &mix()).unwrap();
    assert!((decoded.seconds() - 2.0).abs() < 0.05, "{}", decoded.seconds());
    let second = find(&sweep(16_000), &decoded.channels[0][16_000..], 850);
    assert!(second.lag.abs() < 100 && second.correlation > 0.97, "{second:?}");
    let warnings = &decoded.report.warnings;
    assert!(warnings[0].contains("2 recordings one after the other"), "{warnings:?}");
    assert!(warnings[1].contains("48000 Hz"), "{warnings:?}");
}

#[test]
fn concatenated_mp3_files_are_one_recording() {
    let mut bytes = fixture("mp3-16k.mp3");
    bytes.extend(bytes.clone());
    bytes.extend(fixture("mp3-16k.mp3"));
    let decoded = decode(bytes, &mix()).unwrap();
    assert!(decoded.seconds() > 2.8, "{}", decoded.seconds());
    assert!(
        decoded.report.warnings[0].contains("continues after"),
        "{:?}",
        decoded.report.warnings
    );
}

#[test]
fn speech_survives_every_format() {
    let folder = fixtures().join("../speech");
    let load = |name: &str| decode(std::fs::read(folder.join(name)).unwrap(), &mix()).unwrap();
    let original = load("sentence.wav");
    for format in ["-mulaw-8k.wav", ".flac", ".m4a", ".mp3", ".mp4", ".ogg", ".opus", ".webm"] {
        let decoded = load(&format!("sentence{format}"));
        assert!((decoded.seconds() - 3.29).abs() < 0.1, "{format}: {} s", decoded.seconds());
        assert!((decoded.seconds() - original.seconds()).abs() < 0.05, "{format}");
        let found = find(&original.channels[0], &decoded.channels[0], 500);
        assert!(found.lag.abs() <= 2 && found.correlation > 0.97, "{format}: {found:?}");
        assert_eq!(decoded.report.warnings, Vec::<String>::new(), "{format}");
    }
}
