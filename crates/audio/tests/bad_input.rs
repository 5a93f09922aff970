//! Bad input gets the right error.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use audio::{ChannelMode, DecodeOptions, Decoder, Error, MediaSource};
use common::*;
use errors::Chain;

#[test]
fn an_empty_file() {
    let error = decode([], &mix()).unwrap_err();
    assert!(matches!(error, Error::Empty), "{error}");
}

#[test]
fn files_that_are_not_recordings_are_described() {
    let page = "<!DOCTYPE html><html><body>Not found</body></html>";
    let mut zip = b"PK\x03\x04".to_vec();
    zip.resize(100_000, 0xff);
    let cases: [(&[u8], &str); 5] = [
        (b"This is a note.\nNot a recording.", "it looks like text"),
        (page.as_bytes(), "an HTML page"),
        (&zip, "ZIP"),
        (&[0; 5000], "zero bytes"),
        (b"\x01\x02\x03", "01 02 03"),
    ];
    for (bytes, expected) in cases {
        match decode(bytes, &mix()) {
            Err(Error::Unrecognized(why)) => assert!(why.contains(expected), "{why}"),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn recordings_in_other_formats_are_named() {
    let mut speex = b"OggS\0\x02".to_vec();
    speex.resize(28, 0);
    speex.extend_from_slice(b"Speex   1.2");
    let cases: [(&[u8], &str); 3] =
        [(&speex, "Speex"), (b"RIFF\x10\0\0\0AVI LIST", "AVI"), (b"#!AMR\n\x04", "AMR")];
    for (bytes, expected) in cases {
        match decode(bytes, &mix()) {
            Err(Error::UnsupportedCodec { codec, .. }) => {
                assert!(codec.contains(expected), "{codec}");
            }
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn zero_channels_and_a_zero_sample_rate() {
    for (channels, rate, expected) in [(0, 16_000, "zero channels"), (1, 0, "sample rate")] {
        let mut bytes = wav_header(1, channels, rate, 16, 1036, 1000);
        bytes.resize(1044, 1);
        match decode(bytes, &mix()) {
            Err(error @ Error::Corrupt { .. }) => {
                let message = Chain(&error).to_string();
                assert!(message.contains(expected), "{message}");
            }
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn wrong_lengths_in_headers_are_ignored() {
    let audio: Vec<u8> = (0..16_000_u32).flat_map(|n| (n as i16).to_le_bytes()).collect();
    // Recorders and pipes write an unknown length as 0, as -1, or as a large number.
    for (riff, data) in [(0, 0), (36, 0), (u32::MAX, u32::MAX), (0x7fff_f024, 0x7fff_f000), (7, 0)]
    {
        let mut bytes = wav_header(1, 1, 16_000, 16, riff, data);
        bytes.extend_from_slice(&audio);
        let decoded = decode(bytes, &mix()).unwrap();
        assert_eq!(decoded.channels[0].len(), 16_000, "{riff:#x} {data:#x}");
        assert_eq!(decoded.info.declared_duration, None);
        assert_eq!(decoded.report.warnings, Vec::<String>::new());
    }
    // A RIFF shorter than its data, and chunks after the data.
    let mut bytes = wav_header(1, 1, 16_000, 16, 8, 32_000);
    bytes.extend_from_slice(&audio);
    bytes.extend_from_slice(b"LIST\x04\0\0\0INFO");
    assert_eq!(decode(bytes, &mix()).unwrap().channels[0].len(), 16_000);
    // A-law with the short fmt chunk of telephone systems.
    let mut bytes = wav_header(6, 1, 8000, 8, 8036, 8000);
    bytes.resize(44 + 8000, 0xd5);
    assert_eq!(decode(bytes, &mix()).unwrap().channels[0].len(), 16_000);
}

#[test]
fn fifty_milliseconds() {
    let decoded = decode(wav(44_100, &[tone(300.0, 44_100.0, 2205)]), &mix()).unwrap();
    assert_eq!(decoded.channels[0].len(), 800);
}

#[test]
fn samples_that_are_not_finite_become_zero() {
    let mut samples = tone(300.0, RATE, 16_000);
    samples[100] = f32::NAN;
    samples[200] = f32::INFINITY;
    samples[300] = f32::NEG_INFINITY;
    samples[400] = 1e30;
    for rate in [16_000, 48_000] {
        let decoded = decode(wav(rate, &[samples.clone()]), &mix()).unwrap();
        assert!(decoded.channels[0].iter().all(|x| x.abs() <= 1.0), "finite and in range");
        assert_eq!(decoded.report.warnings, ["3 samples were not finite and became zero"]);
    }
}

#[test]
fn truncated_recordings() {
    // Vorbis has a long header, which must stay whole.
    let files = [
        ("flac.flac", 0.4),
        ("mp3-cbr-id3.mp3", 0.4),
        ("mp3-16k.mp3", 0.4),
        ("aac-faststart.m4a", 0.4),
        ("opus.webm", 0.4),
        ("vorbis.webm", 0.76),
    ];
    for (file, share) in files {
        let mut bytes = fixture(file);
        bytes.truncate((bytes.len() as f64 * share) as usize);
        match decode(bytes.clone(), &mix()) {
            Err(Error::Truncated { declared, decoded }) => {
                assert!((declared - 1.0).abs() < 0.1, "{file}: {declared}");
                assert!(decoded > 0.05 && decoded < 0.5, "{file}: {decoded}");
            }
            other => panic!("{file}: {other:?}"),
        }
        let decoded = decode(bytes, &DecodeOptions { allow_truncated: true, ..mix() }).unwrap();
        assert!(decoded.seconds() > 0.05, "{file}");
        let warnings = &decoded.report.warnings;
        assert!(warnings.iter().any(|w| w.contains("truncated")), "{file}: {warnings:?}");
    }
    let mut bytes = wav_header(1, 1, 8000, 16, 160_036, 160_000);
    bytes.resize(100_000, 1);
    let error = decode(bytes, &mix()).unwrap_err();
    assert_eq!(error.to_string(), "truncated: the header declares 10.0 s, the file contains 6.2 s");
}

#[test]
fn an_mp4_without_its_index() {
    let mut bytes = fixture("aac.m4a");
    bytes.truncate(bytes.len() / 2);
    match decode(bytes, &mix()) {
        Err(Error::Corrupt { reason, .. }) => assert!(reason.contains("moov"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stream_without_a_declared_length_may_be_cut_off() {
    for file in ["opus.ogg", "vorbis.ogg", "aac.aac", "mp3-vbr-no-xing.mp3"] {
        let mut bytes = fixture(file);
        bytes.truncate(bytes.len() * 9 / 10);
        let decoded = decode(bytes, &mix()).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert!(decoded.seconds() < 1.05, "{file}");
    }
}

#[test]
fn a_browsers_recording_has_no_declared_length_and_no_warning() {
    let mut bytes = fixture("opus.webm");
    // The length of the segment becomes unknown, and its duration becomes a Void element.
    let at = |bytes: &[u8], id: &[u8]| bytes.windows(id.len()).position(|w| w == id).unwrap();
    let segment = at(&bytes, b"\x18\x53\x80\x67") + 4;
    bytes[segment..segment + 8].copy_from_slice(b"\x01\xff\xff\xff\xff\xff\xff\xff");
    let duration = at(&bytes, b"\x44\x89\x88");
    bytes[duration..duration + 3].copy_from_slice(b"\xec\x40\x08");
    let decoded = decode(bytes, &mix()).unwrap();
    assert_eq!(decoded.info.declared_duration, None);
    assert!((decoded.seconds() - 1.0).abs() < 0.02, "{}", decoded.seconds());
    assert_eq!(decoded.report.warnings, Vec::<String>::new());
}

#[test]
fn data_after_a_recording_is_ignored() {
    let mut tag = b"TAGA title".to_vec();
    tag.resize(128, b' ');
    let noise: Vec<u8> =
        (1..5000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let files = [
        "wav-s16le.wav",
        "mp3-cbr-id3.mp3",
        "mp3-vbr-no-xing.mp3",
        "aac.aac",
        "vorbis.ogg",
        "opus.webm",
        "aac.m4a",
        "aiff-s16be.aiff",
    ];
    for file in files {
        let bytes = fixture(file);
        let whole = decode(bytes.clone(), &mix()).unwrap();
        for tail in [&tag, &noise, &vec![0; 5000]] {
            let decoded = decode([&bytes[..], tail].concat(), &mix()).unwrap();
            assert_eq!(decoded.channels, whole.channels, "{file}");
            assert_eq!(decoded.report.warnings, Vec::<String>::new(), "{file}");
        }
    }
}

/// A recording whose header counts its samples is refused or gets a warning, wherever it is cut off.
#[test]
fn every_truncation_is_detected() {
    let speech = fixtures().join("../speech");
    for file in ["sentence.wav", "sentence.flac", "sentence.mp3", "sentence-mulaw-8k.wav"] {
        let bytes = std::fs::read(speech.join(file)).unwrap();
        let whole = decode(bytes.clone(), &mix()).unwrap().seconds();
        for percent in [20, 50, 80, 90, 96] {
            let cut = bytes[..bytes.len() * percent / 100].to_vec();
            let allowed = DecodeOptions { allow_truncated: true, ..mix() };
            let decoded = decode(cut.clone(), &allowed).unwrap();
            assert!(decoded.seconds() < whole - 0.05, "{file} {percent} %");
            let warnings = decoded.report.warnings.concat();
            assert!(warnings.contains("truncated"), "{file} {percent} %: {warnings:?}");
            match decode(cut, &mix()) {
                Err(Error::Truncated { declared, .. }) => {
                    assert!((declared - 3.29).abs() < 0.05, "{file}: {declared}");
                }
                Ok(_) if percent >= 80 => {}
                other => panic!("{file} {percent} %: {other:?}"),
            }
        }
    }
}

#[test]
fn isolated_damage_becomes_silence_and_much_damage_is_an_error() {
    // Twenty seconds, with the payload of one frame destroyed.
    let one = fixture("mp3-vbr-no-xing.mp3");
    let mut bytes = one.repeat(20);
    let whole = decode(bytes.clone(), &mix()).unwrap();
    let at = bytes.len() / 2;
    bytes[at..at + 60].fill(0xff);
    let damaged = decode(bytes.clone(), &mix()).unwrap();
    assert!((damaged.seconds() - whole.seconds()).abs() < 0.1, "{}", damaged.seconds());

    let mut bytes = fixture("flac.flac");
    let len = bytes.len();
    for at in (len / 10..len).step_by(97) {
        bytes[at] ^= 0x55;
    }
    let error = decode(bytes, &mix()).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. } | Error::Truncated { .. }), "{error}");
}

#[test]
fn limits() {
    let limited = |change: fn(&mut DecodeOptions)| {
        let mut options = mix();
        change(&mut options);
        options
    };
    let bytes = fixture("mp3-vbr-no-xing.mp3");
    let cases = [
        (limited(|o| o.limits.max_bytes = 1000), "the size"),
        (limited(|o| o.limits.max_duration = Duration::from_millis(400)), "the duration"),
    ];
    for (options, expected) in &cases {
        match decode(bytes.clone(), options) {
            Err(Error::LimitExceeded { quantity, .. }) => assert_eq!(quantity, *expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
    // The size, of a source that does not know it in advance.
    let source = Box::new(Unsized(io::Cursor::new(fixture("wav-s16le.wav").repeat(10))));
    match decode_source(source, &limited(|o| o.limits.max_bytes = 20_000)) {
        Err(Error::LimitExceeded { quantity, .. }) => assert_eq!(quantity, "the size"),
        Ok(decoded) => assert!(decoded.report.bytes_read <= 20_000),
        other => panic!("{other:?}"),
    }
    // The declared duration and the channels are checked before anything is decoded.
    let short = limited(|o| o.limits.max_duration = Duration::from_millis(400));
    let source = Box::new(io::Cursor::new(fixture("flac.flac")));
    assert!(matches!(Decoder::open(source, &short), Err(Error::LimitExceeded { .. })));
    for channels in [9, 65_535] {
        let mut bytes = wav_header(1, channels, 192_000, 8, 1_000_036, 1_000_000);
        bytes.resize(1_000_044, 0);
        let options = limited(|o| o.limits.max_channels = 8);
        match decode(bytes, &options) {
            Err(Error::LimitExceeded { quantity, .. }) => {
                assert_eq!(quantity, "the number of channels")
            }
            other => panic!("{other:?}"),
        }
    }
}

struct Unsized(io::Cursor<Vec<u8>>);

impl Read for Unsized {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Seek for Unsized {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl MediaSource for Unsized {
    fn is_seekable(&self) -> bool {
        false
    }

    fn byte_len(&self) -> Option<u64> {
        None
    }
}

/// A cause that a caller's source wraps in its errors.
#[derive(Debug, thiserror::Error)]
#[error("the object has changed")]
struct Changed;

/// Fails at every read of byte `at`.
struct Failing {
    bytes: io::Cursor<Vec<u8>>,
    at: u64,
    failed: Arc<AtomicBool>,
}

impl Read for Failing {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let available = self.at.saturating_sub(self.bytes.position());
        if available == 0 {
            self.failed.store(true, Ordering::Relaxed);
            return Err(io::Error::other(Changed));
        }
        let len = buf.len().min(available as usize).min(500);
        self.bytes.read(&mut buf[..len])
    }
}

impl Seek for Failing {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

impl MediaSource for Failing {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.bytes.get_ref().len() as u64)
    }
}

#[test]
fn a_failing_source_is_a_read_error_with_its_cause() {
    for entry in std::fs::read_dir(fixtures()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let len = bytes.len() as u64;
        let places = [0, 1, 10, 60, 500, len / 3, len / 2, len * 9 / 10, len - 1];
        for at in places.into_iter().filter(|&at| at < len) {
            let failed = Arc::new(AtomicBool::new(false));
            let bytes = io::Cursor::new(bytes.clone());
            let source = Failing { bytes, at, failed: failed.clone() };
            let result = decode_source(Box::new(source), &options(ChannelMode::Split));
            if !failed.load(Ordering::Relaxed) {
                continue; // The decoder stopped before that byte.
            }
            match result {
                Err(Error::Read(e)) => {
                    assert!(e.get_ref().is_some_and(|cause| cause.is::<Changed>()), "{e:?}");
                }
                other => panic!("{} failing at {at}: {other:?}", path.display()),
            }
        }
    }
}

/// A recording followed by zeros without end. Counts the bytes read.
struct Endless {
    start: io::Cursor<Vec<u8>>,
    bytes_read: Arc<AtomicU64>,
}

impl Read for Endless {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = match self.start.read(buf)? {
            0 => {
                buf.fill(0);
                self.start.set_position(self.start.position() + buf.len() as u64);
                buf.len()
            }
            n => n,
        };
        self.bytes_read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

impl Seek for Endless {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.start.seek(to)
    }
}

impl MediaSource for Endless {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(8 << 30)
    }
}

#[test]
fn a_packet_that_declares_gigabytes_is_not_read() {
    const SIZE: u32 = 1_500_000_000;
    let after = |bytes: &[u8], name: &[u8]| {
        let at = bytes.windows(name.len()).position(|window| window == name);
        at.unwrap() + name.len()
    };
    let mut mp4 = fixture("aac-faststart.m4a");
    // Version and flags, a common size of 0, the number of samples, the size of the first.
    let at = after(&mp4, b"stsz") + 12;
    mp4[at..at + 4].copy_from_slice(&SIZE.to_be_bytes());
    let mut mkv = fixture("opus.webm");
    // The first block of the first cluster, with a size of eight bytes. The cluster has to be as long.
    let at = after(&mkv, b"\x1f\x43\xb6\x75");
    mkv.truncate(at);
    mkv.extend_from_slice(b"\x01\xff\xff\xff\xff\xff\xff\xff\xe7\x81\x00\xa3\x01\0\0\0");
    mkv.extend_from_slice(&SIZE.to_be_bytes());
    mkv.extend_from_slice(b"\x81\0\0\x80");
    let mut header = fixture("aac-faststart.m4a");
    // A table of the index that declares to be long, and the atoms around it.
    let names: [&[u8]; 6] = [b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsz"];
    for (depth, name) in (0..).zip(names) {
        let at = after(&header, name) - 8;
        header[at..at + 4].copy_from_slice(&(SIZE - 1000 * depth).to_be_bytes());
    }
    let at = after(&header, b"stsz") + 8;
    header[at..at + 4].copy_from_slice(&(SIZE / 5).to_be_bytes());
    for (name, bytes, limit) in
        [("mp4", mp4, 16 << 20), ("mkv", mkv, 16 << 20), ("header", header, 8 * (16 << 20))]
    {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let source = Endless { start: io::Cursor::new(bytes), bytes_read: Arc::clone(&bytes_read) };
        let error = decode_source(Box::new(source), &mix()).unwrap_err();
        let message = Chain(&error).to_string();
        assert!(message.contains("more than") && message.contains("the limit"), "{message}");
        let read = bytes_read.load(Ordering::Relaxed);
        assert!(read < 2 * limit, "{name}: {read}: {message}");
    }
}
